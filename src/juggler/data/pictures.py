"""Hold labelled pictures as arrays, draw from them evenly over the classes, and say what a set of them is."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from juggler.errors import ConfigError, DataError

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from juggler.data.dataset import DataSet, Provenance
    from juggler.data.source import Source

Rows = NDArray[np.bool_] | NDArray[np.intp] | Sequence[int]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Labelled pictures.

    Attributes:
        images: `[n, C, H, W]`; may be a private map of a cached file, which writing to it does not change.
        labels: `[n]`, each the index of its class in `classes`.
        classes: names of the classes.
        source: where they came from, in words.
        sha256: digest of the decoded images and labels, as `pictures_sha256` takes it.
        notes: what must stand beside every number that is made with them.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    source: str
    sha256: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.labels)
        shapes = self.images.ndim == 4 and self.images.shape[0] == n and self.labels.ndim == 1
        if not shapes or self.images.dtype != np.uint8 or self.labels.dtype != np.int64:
            raise DataError(
                f"hold {n} pictures from {self.source}",
                f"images {self.images.dtype} {self.images.shape}, labels {self.labels.dtype} "
                f"{self.labels.shape}",
                "Expected uint8 [n, C, H, W] and int64 [n]",
            )
        if n and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise DataError(
                f"hold {n} pictures from {self.source}",
                f"labels from {self.labels.min()} to {self.labels.max()}, and {len(self.classes)} classes",
                "A label is the index of its class, from 0",
            )

    @classmethod
    def from_arrays(
        cls,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        classes: Sequence[str],
        source: str = "memory",
        notes: Sequence[str] = (),
    ) -> Self:
        """Return arrays as pictures, their digest taken.

        Raises:
            DataError: the arrays have other types or shapes, or a label has no class.
        """
        return cls(images, labels, tuple(classes), source, pictures_sha256(images, labels), tuple(notes))

    @classmethod
    def made(cls, *values: Any, **fields: Any) -> Self:
        """Return `from_arrays` of the same, whose name this was in 0.1.0."""
        warnings.warn(
            f"{cls.__name__}.made is now from_arrays; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return cls.from_arrays(*values, **fields)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(channels, height, width)`."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def counts(self) -> NDArray[np.int64]:
        """Return how many pictures each class has, `[classes]`."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)

    def take(self, rows: Rows) -> Self:
        """Return the pictures at the indices, or where the mask is true, as a copy of the same type."""
        at = np.asarray(rows)
        at = np.flatnonzero(at) if at.dtype == np.bool_ else at.astype(np.intp)
        images, labels = self.images[at], self.labels[at]
        return replace(self, images=images, labels=labels, sha256=pictures_sha256(images, labels))

    def subset(self, count: int, seed: int) -> Self:
        """Return `count` pictures, each class in proportion to its size, in the order they had.

        The same seed gives the same pictures.

        Raises:
            ConfigError: there are not as many, or none are asked for.
        """
        self._check(count, len(self), seed, "take a subset")
        return self.take(even_draw(self.labels, count, seed))

    def split(self, count: int, seed: int) -> tuple[Self, Pictures]:
        """Return the rest and `count` pictures that are held out, each class in proportion to its size.

        Both keep the order they had. What is held out may not be fitted on, so it is plain `Pictures`.

        Raises:
            ConfigError: there are not more than `count`, or none are asked for.
        """
        self._check(count, len(self) - 1, seed, "hold out")
        held = np.zeros(len(self), dtype=np.bool_)
        held[even_draw(self.labels, count, seed)] = True
        return self.take(~held), Pictures(**vars(self.take(held)))

    def _check(self, count: int, most: int, seed: int, request: str) -> None:
        if not 0 < count <= most or seed < 0:
            raise ConfigError(
                f"{request} of {count} pictures by seed {seed}",
                f"there are {len(self)} in {self.source}",
                f"Give a count from 1 to {most}, and a seed from 0",
            )


class TrainPictures(Pictures):
    """Pictures that may be learnt from: standards are fitted on these and on nothing else."""

    @classmethod
    def of(cls, pictures: Pictures) -> TrainPictures:
        """Declare pictures to be training data."""
        return cls(**vars(pictures))


def pictures_sha256(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> str:
    """Return the SHA-256 of the images' bytes in C order, the labels as int64, and the shape."""
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(tail_of(labels, images.shape))
    return digest.hexdigest()


def tail_of(labels: NDArray[np.int64], shape: tuple[int, ...]) -> bytes:
    """Return what a digest of pictures takes after the images' bytes, so that these can come in batches."""
    return labels.astype("<i8").tobytes() + repr(tuple(map(int, shape))).encode()


def even_draw(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.intp]:
    """Return `count` row numbers, sorted, drawn at random, each class in proportion to its size.

    By the largest remainder: no class is a whole picture off its share. Equal remainders draw lots.
    """
    rng = np.random.default_rng(seed)
    classes, sizes = np.unique(labels, return_counts=True)
    quotas, remainders = np.divmod(sizes * count, len(labels))
    first = np.lexsort((rng.random(len(classes)), -remainders))
    quotas[first[: count - int(quotas.sum())]] += 1
    rows = [
        rng.permutation(np.flatnonzero(labels == label))[:quota]
        for label, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate(rows))


@runtime_checkable
class PictureSet(Protocol):
    """What a file in `data/sets` offers as `SET` where it holds pictures."""

    @property
    def name(self) -> str:
        """Return the name, as its file spells it."""

    @property
    def synthetic(self) -> bool:
        """Say whether its pictures are made up; whatever shows results from it must say so."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names that `load` takes: `train` is the first, `test` among the others."""

    @property
    def provenance(self) -> Provenance:
        """Return where it comes from, and on what terms."""

    def at(self, source: Source) -> PictureSet:
        """Return the same set, its files looked for by `source`."""

    def load(self, part: str) -> Pictures:
        """Return the pictures of one part, checked."""

    def training(self) -> TrainPictures:
        """Return all the pictures that may be trained on."""


def is_pictures(data_set: DataSet | PictureSet) -> TypeIs[PictureSet]:
    """Say whether a data set holds pictures; the others hold records, which have a schema."""
    return not hasattr(data_set, "schema")
