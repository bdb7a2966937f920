"""Tests that need outside data run where JUGGLER_DATA is set; elsewhere their absence is counted."""

import os

import pytest

_ABSENT = pytest.StashKey[int]()


def pytest_collection_modifyitems(config, items):
    if os.environ.get("JUGGLER_DATA"):
        config.stash[_ABSENT] = 0
        return
    absent = [item for item in items if item.get_closest_marker("data")]
    config.stash[_ABSENT] = len(absent)
    for item in absent:
        item.add_marker(pytest.mark.skip(reason="JUGGLER_DATA is not set"))


def pytest_terminal_summary(terminalreporter, config):
    absent = config.stash.get(_ABSENT, 0)
    if absent:
        terminalreporter.write_line(
            f"{absent} tests that need outside data were not run: set JUGGLER_DATA to run them", yellow=True
        )
