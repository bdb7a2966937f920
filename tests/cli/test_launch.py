"""Where the program begins and ends: interrupts, and descriptors that are closed."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from juggler.cli import app
from juggler.cli.launch import main


def test_an_interrupt_is_heard_while_the_program_runs_and_not_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = []
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(app, "main", lambda: heard.append(signal.getsignal(signal.SIGINT)))
    try:
        main()
        assert heard == [signal.default_int_handler]
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_no_file_takes_the_number_of_a_closed_standard_error() -> None:
    code = "import os; from juggler.cli import launch; launch._hold_standard_descriptors(); print(os.dup(0))"
    command = ["bash", "-c", 'exec "$@" 2>&-', "bash", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) > 2
