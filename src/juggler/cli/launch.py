"""Where the program begins: before its packages are imported, and until the last of it is gone.

An interrupt while packages are imported ends the process as signals do, without a word; one at the end, when
all is written, is not looked at. In between it is `juggler.cli.app` that hears it.
"""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the program `juggler`."""
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _hold_standard_descriptors()
    from juggler.cli.app import main as run  # noqa: PLC0415  # only now may it be interrupted

    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _hold_standard_descriptors() -> None:
    """Open what is closed of the first three on nothing: no file of alerts may become standard error."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free
