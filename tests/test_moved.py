"""Modules of the last release import from their new places, with a warning."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from juggler.moved import MOVED


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_module_is_found_by_its_old_name(old, new, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(new)
    assert module.__name__ == new
    assert module.__spec__.name == new
    assert importlib.util.find_spec(new).name == new


def test_a_name_that_never_was_is_still_an_error():
    with pytest.raises(ModuleNotFoundError, match=r"juggler\.transform\.nothing"):
        importlib.import_module("juggler.transform.nothing")


def test_old_imports_work_in_a_fresh_process():
    imports = "from juggler.transform.values import Scale; from juggler.cost.clock import race"
    code = f"{imports}; print(race.__module__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "juggler.clock.race"
