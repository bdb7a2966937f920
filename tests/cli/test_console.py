"""Long work says how far it is, also where its output is no terminal."""

from __future__ import annotations

import pytest

from juggler.cli.console import LineProgress, bar
from juggler.nouns import Progress


def test_long_work_prints_a_line_a_minute_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 25))  # seconds, from one look to the next
    monkeypatch.setattr("juggler.cli.console.time.monotonic", lambda: float(next(clock)))
    with bar("measuring kernels") as report:
        for done in range(1, 8):
            report(Progress("measure kernels", done, 10))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["measuring kernels: 30% after 1 min", "measuring kernels: 60% after 2 min"]


def test_short_work_says_nothing_there(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("measuring kernels") as report:
        report(Progress("measure kernels", 1, None))
    assert capsys.readouterr().err == "" and LineProgress.every_s == 60.0
