"""A lazy face imports a name's file when the name is first asked for, and says what to install for it."""

from __future__ import annotations

import sys
import types

import pytest

from juggler.errors import Unavailable
from juggler.extras import install_command
from juggler.lazy import face


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("room_of_this_test")
    module.__all__ = ["Torchless", "loads"]  # type: ignore[attr-defined]
    homes = {"json": ["loads"], "no_such_package.inside": ["Torchless"], "juggler.no_such_file": ["Ours"]}
    module.__getattr__, module.__dir__ = face(module.__name__, homes)  # type: ignore[attr-defined,method-assign]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def test_a_name_is_what_its_file_holds(room: types.ModuleType) -> None:
    assert room.loads("[1]") == [1]
    assert dir(room) == ["Torchless", "loads"]


def test_a_package_that_is_missing_is_named_with_what_installs_it(room: types.ModuleType) -> None:
    with pytest.raises(Unavailable, match=r"use room_of_this_test\.Torchless: no_such_package is") as caught:
        _ = room.Torchless
    assert install_command("train") in caught.value.remedy


def test_what_is_no_name_of_the_room_is_an_error_of_python(room: types.ModuleType) -> None:
    with pytest.raises(AttributeError, match="'room_of_this_test' has no attribute 'torchless'"):
        _ = room.torchless
    with pytest.raises(ModuleNotFoundError, match="no_such_file"):  # a fault of ours keeps its traceback
        _ = room.Ours
