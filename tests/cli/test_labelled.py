"""Where labelled records come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from juggler.cli.labelled import attack_classes, check_used, origin, source_in
from juggler.data import load_record_set
from juggler.errors import ConfigError


def test_a_named_folder_is_the_only_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUGGLER_DATA", str(tmp_path / "other"))
    named, unnamed = source_in(tmp_path, print), source_in(None, print)
    assert [place for _, place in named.places()] == [tmp_path]
    assert [place for _, place in unnamed.places()] == [tmp_path / "other"]
    with pytest.raises(ConfigError, match="Leave --data out"):
        check_used(tmp_path, load_record_set("synthetic"))
    check_used(None, load_record_set("synthetic"))


def test_labels_and_their_classes_are_pairs() -> None:
    assert attack_classes(["slow=loris=dos", "brute=r2l"]) == {"slow=loris": "dos", "brute": "r2l"}
    assert attack_classes(None) == {}
    with pytest.raises(ConfigError, match="NAME=CLASS"):
        attack_classes(["slowloris"])


def test_where_records_come_from_stands_beside_their_number() -> None:
    records = load_record_set("synthetic").load("test")
    assert origin(records) == {"file": "synthetic/test", "sha256": records.sha256, "records": 2900}
