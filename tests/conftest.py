"""Tests that need outside data run where JUGGLER_DATA is set; elsewhere their absence is counted."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from commands import Workshop

_REASON = "JUGGLER_DATA is not set"


def pytest_configure():
    # What a shell starts in the background ignores Ctrl-C, and so would the programs that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup does the same with a hang-up
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    if os.environ.get("JUGGLER_DATA"):
        return
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason=_REASON))


def pytest_terminal_summary(terminalreporter):
    # Counted from the reports, for with several workers the items are collected in other processes.
    skipped = terminalreporter.stats.get("skipped", [])
    absent = sum(_REASON in str(report.longrepr) for report in skipped)
    if absent:
        terminalreporter.write_line(
            f"{absent} tests that need outside data were not run: set JUGGLER_DATA to run them", yellow=True
        )


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Make a real detector: trained on the synthetic set in seconds, flattened, certified, exported."""
    from commands import Workshop  # noqa: PLC0415  # torch, which most tests do without

    return Workshop.make(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder that is home and cache too, with no data set in reach."""
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("JUGGLER_DATA", raising=False)
    monkeypatch.setenv("JUGGLER_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.chdir(tmp_path)
    return tmp_path
