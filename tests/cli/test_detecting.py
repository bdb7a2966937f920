"""What a run of `juggler detect` ends with, and what it may write to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from juggler.cli.detecting import Account, SummaryError, check_targets, exit_code
from juggler.detect import Summary
from juggler.errors import ConfigError

WELL = Summary(9, 0, 0, 0, 0, 1.0, 0.5)


def test_of_several_exit_codes_the_one_that_must_be_known_first_counts() -> None:
    summary, codes = WELL, [exit_code(WELL, fail_on_alert=True)]
    for change in (
        {"bad_rows": 1},
        {"alerts": 2},
        {"doubts": ("service is unknown in 9 of 9 records",)},
        {"ended_by": "a request to stop"},
    ):
        summary = replace(summary, **change)  # type: ignore[arg-type]
        codes.append(exit_code(summary, fail_on_alert=True))
    assert codes == [0, 10, 1, 11, 130]
    assert exit_code(replace(WELL, alerts=2), fail_on_alert=False) == 0


def test_a_summary_that_cannot_be_written_has_the_code_of_results(tmp_path: Path) -> None:
    account = Account(tmp_path / "file" / "summary.json")
    (tmp_path / "file").write_text("", encoding="utf-8")
    account.end(WELL)
    with pytest.raises(SummaryError) as caught:
        account.close()
    assert caught.value.exit_code == 8
    account.close(ConfigError("a", "b", "c"))  # the error that there was before is the one to know


def test_targets_that_are_devices_or_new_are_taken(tmp_path: Path) -> None:
    records, artefact = tmp_path / "records.csv", tmp_path / "a.onnx"
    records.write_text("", encoding="utf-8")
    check_targets(str(records), "-", tmp_path / "new" / "summary.json", artefact)
    check_targets(str(records), "/dev/null", Path("/dev/null"), artefact)
    check_targets("-", None, None, artefact)
    with pytest.raises(ConfigError, match="it is a folder"):
        check_targets(str(records), "-", tmp_path, artefact)
