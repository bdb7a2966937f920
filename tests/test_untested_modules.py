"""A new module comes with a test: those without one are listed, and the list can only shrink."""

from __future__ import annotations

from pathlib import Path

import pytest

import untested_modules


def test_every_other_module_has_a_test() -> None:
    keys, allowed = set(untested_modules.untested()), untested_modules.listed()
    assert allowed == sorted(set(allowed))
    assert not keys - set(allowed), "write a test of them: see untested_modules.py for what counts as one"
    assert not set(allowed) - keys, "they have a test now, or are gone: untested_modules.py --write"


SOURCE = {
    "__init__.py": "if TYPE_CHECKING:\n    from juggler.room import Lazy\n",
    "alone.py": "",
    "bare.py": "",
    "room/__init__.py": "if TYPE_CHECKING:\n    from juggler.room.inner.lazy import Lazy\n",
    "room/named.py": "",
    "room/imported.py": "",
    "room/taken.py": "",
    "room/forgotten.py": 'KINDS: Registry[Kind] = Registry("kind", "juggler.room.kinds")\n',
    "room/other.py": 'def things():\n    return Registry("thing", "juggler.room.things")\n',
    "room/kinds/__init__.py": "",
    "room/kinds/first.py": "",
    "room/things/second.py": "",
    "room/inner/lazy.py": "",
    "room/inner/longer.py": "",
    "room/inner/same.py": "",
}
TESTS = {
    "test_alone.py": "",
    "room/test_named.py": "def test():\n    import juggler.room.imported\n",
    "room/test_inner_longer.py": "from juggler.room import taken\n",
    "other/test_same.py": "from juggler import Lazy\nfor kind in KINDS: ...\n",
}


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    for root, files in (("juggler", SOURCE), ("tests", TESTS)):
        for name, text in files.items():
            (tmp_path / root / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / root / name).write_text(text, encoding="utf-8")
    return tmp_path / "juggler", tmp_path / "tests"


def test_a_test_is_one_by_name_by_import_or_by_contract(trees: tuple[Path, Path]) -> None:
    assert untested_modules.untested(*trees) == [
        "bare",
        "room/forgotten",
        "room/other",
        "room/same",
        "room/second",
    ]


def test_a_longer_list_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    assert untested_modules.write(["a/b", "a/c"], path)
    assert not untested_modules.write(["a/b", "a/c", "a/d"], path)
    assert untested_modules.listed(path) == ["a/b", "a/c"]
    assert untested_modules.write(["a/d"], path)
    assert untested_modules.listed(path) == ["a/d"]
