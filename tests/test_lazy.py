"""Lazy faces and names of the last release."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from juggler.errors import Unavailable
from juggler.extras import install_command
from juggler.lazy import face, renamed


@pytest.fixture
def room(monkeypatch):
    module = ModuleType("a_room")
    module.__all__ = ["Registry", "absent"]
    monkeypatch.setitem(sys.modules, "a_room", module)
    return face("a_room", {"juggler.registry": ["Registry"], "juggler_absent.file": ["absent"]})


def test_a_name_is_imported_when_it_is_first_asked_for(room):
    get, names = room
    assert get("Registry").__module__ == "juggler.registry"
    assert names() == ["Registry", "absent"]
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        get("nothing")


def test_a_package_that_is_not_installed_is_named_with_its_remedy(room):
    with pytest.raises(Unavailable, match="juggler_absent is not installed") as caught:
        room[0]("absent")
    assert install_command("train") in caught.value.remedy


def test_an_old_name_works_and_warns():
    get = renamed("juggler.old", {"Plugins": "juggler.registry:Registry"})
    with pytest.warns(DeprecationWarning, match=r"juggler\.old\.Plugins is now juggler\.registry\.Registry"):
        assert get("Plugins").__name__ == "Registry"
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        get("Other")
