"""Say what a data set is, and how attack types are held out of its training records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from juggler.data.records import UNKNOWN, Column, Records, Schema, TrainRecords, join
from juggler.errors import ConfigError
from juggler.nouns import Noun

if TYPE_CHECKING:
    from juggler.data.source import Source

__all__ = [
    "UNKNOWN",
    "Column",
    "DataSet",
    "FoldedSet",
    "Provenance",
    "Records",
    "Schema",
    "Split",
    "TrainRecords",
    "check_choice",
    "hold_out",
    "join",
]


@dataclass(frozen=True, eq=False)
class Split:
    """Training records, and validation records that share no row with them."""

    train: TrainRecords
    validation: Records


def hold_out(records: TrainRecords, types: Sequence[str], seed: int, share: float = 0.15) -> Split:
    """Hold out all rows of some attack types, and a random share of the other rows.

    Validation on attack types that training never saw is what a detector meets in the field; a random
    split alone scores 99.9 % where the test set then gives 75 %.

    Raises:
        ConfigError: no row is of these types, or nothing would be left to train on.
    """
    names = records.labels()
    held = np.isin(names.astype(str), list(types))
    others = np.flatnonzero(~held)
    chosen = np.random.default_rng(seed).permutation(others)[: round(share * len(others))]
    if not held.any() or len(chosen) == len(others):
        raise ConfigError(
            f"hold out {', '.join(types)} and {share:.0%} of the rest",
            f"{held.sum()} rows of these types and {len(others)} others in {records.source}",
            "Name attack types that occur, and a share below 1",
        )
    validation = held.copy()
    validation[chosen] = True
    plain = Records(**vars(records.take(validation)))  # no longer of the type that may be fitted on
    return Split(train=records.take(~validation), validation=plain)


@dataclass(frozen=True)
class Provenance(Noun):
    """Where a data set comes from.

    Attributes:
        name: the data set's name.
        synthetic: whether the package made it up itself; everything that shows results must say so.
        citation: the paper or page to cite.
        licence: on what terms it may be used.
        sha256: published digest of each part's file, or of each archive that holds all parts; empty for a set
            that has no published files.
    """

    name: str
    synthetic: bool
    citation: str
    licence: str
    sha256: dict[str, str]


@runtime_checkable
class DataSet(Protocol):
    """What a file in `data/sets` offers as `SET`."""

    @property
    def name(self) -> str:
        """Return the name, as its file spells it."""

    @property
    def synthetic(self) -> bool:
        """Say whether its records are made up; whatever shows results from it must say so."""

    @property
    def schema(self) -> Schema:
        """Return the schema of its records."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Return the names that `load` takes; `train` is the first."""

    @property
    def provenance(self) -> Provenance:
        """Return where it comes from, and on what terms."""

    def at(self, source: Source) -> DataSet:
        """Return the same set, its files looked for by `source`."""

    def load(self, part: str) -> Records:
        """Return the records of one part, labelled and checked."""

    def training(self) -> TrainRecords:
        """Return all the records that may be trained on."""

    def folds(self) -> int:
        """Return how many ways there are to hold attack types out of the training records."""

    def fold(self, i: int, seed: int) -> Split:
        """Return the training records less the held-out types of fold `i`, and what was held out."""


class FoldedSet:
    """How a set of records whose attack types are held out in folds is trained on.

    Attributes:
        held_out: the attack types of each fold.
    """

    name: str
    held_out: tuple[tuple[str, ...], ...]

    def load(self, part: str) -> Records:
        """Return the records of one part."""
        raise NotImplementedError

    def training(self) -> TrainRecords:
        """Return all the records that may be trained on; errors as `load`."""
        return TrainRecords.of(self.load("train"))

    def folds(self) -> int:
        """Return the number of folds."""
        return len(self.held_out)

    def fold(self, i: int, seed: int) -> Split:
        """Return the training records less the types of fold `i` and 15 % of the rest, and those."""
        check_choice(f"take a fold of {self.name}", i, range(len(self.held_out)))
        return hold_out(self.training(), self.held_out[i], seed)


def check_choice(request: str, value: object, choices: Sequence[object]) -> None:
    """Raise a ConfigError that lists the choices where `value` is none of them."""
    if value not in choices:
        raise ConfigError(request, f"{value!r}", f"There are: {', '.join(map(str, choices))}")
