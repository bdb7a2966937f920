"""End a run when it is asked to, between two records and never inside one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Note an interrupt (Ctrl-C, SIGTERM) instead of raising at a random place.

    The descriptor `fileno()` becomes readable with the request, so that who waits for input can wait
    for both. A second interrupt raises KeyboardInterrupt at once. Outside the main thread no signal
    can be caught: there the owner calls `ask()`.
    """

    def __init__(self) -> None:
        self.asked = False
        read_end, write_end = os.pipe()
        # File objects, because a request that comes too late must not write to a number used anew.
        self._read_end, self._write_end = open(read_end, "rb", 0), open(write_end, "wb", 0)  # noqa: PTH123, SIM115
        self._before: dict[int, Callable[..., Any] | int | None] = {}

    def ask(self) -> None:
        """Ask the run to end after the records that it has."""
        if not self.asked:
            self.asked = True
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
        if self.asked:
            raise KeyboardInterrupt
        self.ask()
