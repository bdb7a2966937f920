"""The program in this process, in an empty home."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import Program


@pytest.fixture
def program(elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Program:
    return Program(monkeypatch, capfd)
