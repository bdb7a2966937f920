"""A set of small pictures whose class is the place of a bright bar: what a network can learn in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from juggler.data import Pictures, Provenance, Source, TrainPictures

CLASSES = ("top", "middle", "bottom")
NOTE = "made-up pictures"
PROVENANCE = Provenance("bars", True, "made up", "any", {})


@dataclass(frozen=True)
class Bars:
    """A picture set without files."""

    source: Source = field(default_factory=Source)
    name: str = "bars"
    synthetic: bool = True
    parts: tuple[str, ...] = ("train", "test")
    count: int = 240
    side: int = 8
    provenance: Provenance = PROVENANCE

    def at(self, source: Source) -> Bars:
        return replace(self, source=source)

    def load(self, part: str) -> Pictures:
        draw = np.random.default_rng(self.parts.index(part))
        labels = draw.permutation(np.arange(self.count) % len(CLASSES)).astype(np.int64)
        images = draw.integers(0, 120, (self.count, 3, self.side, self.side), dtype=np.uint8)
        rows = 1 + labels * 3
        images[np.arange(self.count), :, rows] += 110
        return Pictures(images, labels, CLASSES, f"bars/{part}", f"{part}-sha", (NOTE,))

    def training(self) -> TrainPictures:
        found = self.load("train")
        return TrainPictures(
            found.images, found.labels, found.classes, found.source, found.sha256, found.notes
        )
