"""End a run on Ctrl-C or SIGTERM between two records or two turns, and never inside one."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Note an interrupt (Ctrl-C, SIGTERM) instead of raising at a random place.

    The descriptor `fileno()` becomes readable with the request, so that who waits for input can wait
    for both. A second interrupt raises KeyboardInterrupt at once. Outside the main thread no signal
    can be caught: there the owner calls `request()`.

    Attributes:
        requested: whether the run is to end.
    """

    def __init__(self) -> None:
        self.requested = False
        read_end, write_end = os.pipe()
        # File objects, because a request that comes too late must not write to a number used anew.
        self._read_end, self._write_end = open(read_end, "rb", 0), open(write_end, "wb", 0)  # noqa: PTH123, SIM115
        self._before: dict[int, Callable[..., Any] | int | None] = {}

    def request(self) -> None:
        """Ask the run to end after what it has begun."""
        if not self.requested:
            self.requested = True
            with suppress(ValueError):  # the run has ended already
                self._write_end.write(b"!")

    def fileno(self) -> int:
        """Return the descriptor that becomes readable once the run is asked to end."""
        return self._read_end.fileno()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # A process that was told to ignore it (nohup, a shell's background job) goes on ignoring it.
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._read_end.close()
        self._write_end.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.request()

    def ask(self) -> None:
        """Do what `request` does: the name of the last release."""
        warnings.warn("StopRequest.ask is now request", DeprecationWarning, stacklevel=2)
        self.request()

    @property
    def asked(self) -> bool:
        """Return `requested`: the name of the last release."""
        warnings.warn("StopRequest.asked is now requested", DeprecationWarning, stacklevel=2)
        return self.requested
