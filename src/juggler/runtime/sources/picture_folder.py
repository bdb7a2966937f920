"""A folder of pictures to measure networks on: one folder a class, resized and cut as ImageNet's are.

A picture's short side is resized to 8/7 of the network's (256 for 224 px), and the middle is cut out: one
crop. Pixels are standardised by ImageNet's mean and deviation unless the network says otherwise. Pictures are
decoded as they are needed, so that a large folder needs no room.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from juggler.data.pictures import even_draw
from juggler.data.readers.folder import TEST_NAMES, Listing, listing
from juggler.data.source import DataNotFound
from juggler.data.standard import Standard
from juggler.errors import ConfigError

IMAGENET = Standard((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CALIBRATION, AT_MOST = 128, 0.25


@dataclass(frozen=True, eq=False)
class PictureFolder:
    """Pictures to test on, and some others to calibrate int8 on.

    Attributes:
        root: the folder.
        test: what accuracies are measured on.
        calibration: pictures that `test` does not hold.
        taken: how the two were chosen, in words.
    """

    root: Path
    test: Listing
    calibration: Listing
    taken: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, sorted: a network's outputs are in this order."""
        return self.test.classes

    def __len__(self) -> int:
        return len(self.test.files)


def picture_folder(root: str | Path, sample: int | None = None, seed: int = 0) -> PictureFolder:
    """List a folder of pictures; none is read yet.

    Where the folder has `train` beside `test` or `val`, the test pictures are those of the latter. Where it
    has only class folders, all pictures are test pictures but those drawn to calibrate on.

    Args:
        root: the folder.
        sample: test on so many, each class in proportion to its size; None is all.
        seed: draws the calibration pictures and the sample.

    Raises:
        DataNotFound: there is no such folder.
        DataError: it has no classes, or a class without pictures.
        ConfigError: a sample below 1.
    """
    place = Path(root)
    if not place.is_dir():
        raise DataNotFound(
            "find a folder of pictures", f"{place} is no folder", "Give one folder a class in it"
        )
    if sample is not None and sample < 1:
        raise ConfigError("take a sample of the pictures", f"{sample}", "Give 1 or more")
    train, test = listing(place, "train"), listing(place, "test")
    if any((place / name).is_dir() for name in TEST_NAMES) and (place / "train").is_dir():
        rows = even_draw(train.labels, min(CALIBRATION, len(train.files)), seed)
        calibration, taken = _at(train, rows), f"{test.root.name}: its test part"
    else:
        pictures = _joined(train, test)
        count = max(1, min(CALIBRATION, int(AT_MOST * len(pictures.files))))
        rows = even_draw(pictures.labels, count, seed)
        rest = np.setdiff1d(np.arange(len(pictures.files)), rows)
        calibration, test = _at(pictures, rows), _at(pictures, rest)
        taken = f"{place.name}: all pictures but {count} to calibrate on"
    if sample is not None and sample < len(test.files):
        test = _at(test, even_draw(test.labels, sample, seed))
        taken += f", a sample of {sample}"
    return PictureFolder(place, test, calibration, taken)


def crops(
    pictures: Listing, side: int, standard: Standard = IMAGENET
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Yield pictures `[n, 3, side, side]`, standardised, and their labels `[n]`, some hundreds at a time.

    Raises:
        DataError: a picture cannot be read or decoded.
        Unavailable: Pillow is not installed.
    """
    resized_side = resized(side)
    start = (resized_side - side) // 2
    for batch in pictures.batches(resized_side):
        cut = batch.images[:, :, start : start + side, start : start + side]
        yield standard.apply(np.ascontiguousarray(cut)), batch.labels


def resized(side: int) -> int:
    """Return the short side before the crop: 256 for 224 px, 342 for 299."""
    return round(side * 8 / 7)


def _joined(first: Listing, second: Listing) -> Listing:
    files = (*first.files, *second.files)
    labels = np.concatenate([first.labels, second.labels])
    order = sorted(range(len(files)), key=lambda row: (int(labels[row]), files[row]))
    return replace(first, files=tuple(files[row] for row in order), labels=labels[order], notes=())


def _at(pictures: Listing, rows: Sequence[int] | NDArray[np.intp]) -> Listing:
    return replace(pictures, files=tuple(pictures.files[row] for row in rows), labels=pictures.labels[rows])
