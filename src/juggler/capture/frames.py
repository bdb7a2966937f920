"""Frames: what a capture holds, in blocks of arrays, before anything in them is understood."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Octets = NDArray[np.uint8]

PADDING = 256
"""Zero bytes behind the last frame of a block, so that a header is looked for before it is measured."""

BLOCK_FRAMES = 65_536
LONGEST_FRAME = 262_144
"""Bytes; libpcap's own limit of what a frame of a capture can hold."""


@dataclass(frozen=True)
class Frames:
    """Frames that follow one another in a capture.

    Attributes:
        octets: the bytes of all frames, and whatever lies between them; `PADDING` zeros at the end.
        starts: `[n]`, where each frame begins in them.
        captured: `[n]`, bytes of each that were captured.
        lengths: `[n]`, bytes that each had on the wire.
        times_ns: `[n]`, nanoseconds since 1970, as the capture says.
        links: `[n]`, link-layer header types (LINKTYPE numbers).
        first_number: the number of the first frame in the capture, from 1, as Wireshark shows it.
    """

    octets: Octets
    starts: Ints
    captured: Ints
    lengths: Ints
    times_ns: Ints
    links: Ints
    first_number: int

    def __len__(self) -> int:
        return len(self.starts)


@dataclass
class Account:
    """What became of every frame: received = processed + dropped, the reasons by name.

    Attributes:
        received: frames that the capture or the interface gave.
        processed: frames that belong to a flow.
        dropped: frames that do not, by reason.
        noted: what was seen and did not cost a frame, such as a clock that went back.
    """

    received: int = 0
    processed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)

    @property
    def balanced(self) -> bool:
        """Say whether nothing is unaccounted."""
        return self.received == self.processed + self.dropped.total()

    def drop(self, reason: str, frames: int | np.integer[Any]) -> None:
        """Count frames that are passed over."""
        if frames:
            self.dropped[reason] += int(frames)

    def note(self, what: str, times: int = 1) -> None:
        """Count what was seen."""
        if times:
            self.noted[what] += int(times)

    def described(self, flows: int) -> str:
        """Return in words what became of the frames."""
        lines = [f"{self.received:,} packets: {self.processed:,} in {flows:,} flows"]
        for counts, word in ((self.dropped, "passed over"), (self.noted, "noted")):
            if counts:
                items = ", ".join(
                    f"{name.replace('_', ' ')} {times:,}" for name, times in counts.most_common()
                )
                lines.append(f"{word}: {items}")
        return "; ".join(lines)
