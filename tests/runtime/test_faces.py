"""The rooms of runtime offer what their pages teach, and names of the last release still work."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

ROOMS = ["int8", "measure", "tuning"]


@pytest.mark.parametrize("room", ["juggler.runtime", *(f"juggler.runtime.{room}" for room in ROOMS)])
def test_a_room_offers_all_that_it_names(room):
    module = importlib.import_module(room)
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert set(dir(module)) == set(module.__all__)


def test_a_room_offers_what_the_last_release_had_in_its_file():
    code = (
        "from juggler.runtime.artefact import Artefact, seal; from juggler.runtime.deploy import deploy;"
        "from juggler.runtime.int8 import Budget, quantize, quantize_certified, read_record;"
        "from juggler.runtime.measure import measure; from juggler.runtime.tuning import flatten;"
        "print(all(map(callable, (Artefact, deploy, quantize, quantize_certified, measure, flatten))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("name", ["BackendStatus", "is_installed", "release_of", "status_of"])
def test_what_is_installed_is_still_asked_of_the_session(name):
    session = importlib.import_module("juggler.runtime.session")
    with pytest.warns(DeprecationWarning, match=f"is now juggler.packages.{name}"):
        assert getattr(session, name) is getattr(importlib.import_module("juggler.packages"), name)


@pytest.mark.parametrize(("name", "new_name"), [("Contest", "Contenders"), ("contend", "open_contenders")])
def test_a_room_offers_what_was_renamed(name, new_name):
    runtime = importlib.import_module("juggler.runtime")
    with pytest.warns(DeprecationWarning, match=f"is now juggler.runtime.measure.contenders.{new_name}"):
        assert getattr(runtime, name) is getattr(runtime, new_name)
