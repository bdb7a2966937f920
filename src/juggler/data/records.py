"""Hold records as columns, and say what the columns mean; nothing here reads a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from juggler.errors import ConfigError, DataError
from juggler.nouns import Noun

UNKNOWN = -1
"""Code of a token that the schema's vocabulary does not hold."""


@dataclass(frozen=True)
class Column(Noun):
    """One column of a record.

    Attributes:
        name: the column's name.
        kind: `numeric` (a finite number, never negative) or `categorical` (a word of the vocabulary).
        vocabulary: the words of a categorical column; a word's position is its code.
        rate: whether the number is a share from 0 to 1.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    vocabulary: tuple[str, ...] = ()
    rate: bool = False

    def __post_init__(self) -> None:
        has_words = bool(self.vocabulary)
        if self.kind not in ("numeric", "categorical") or (self.kind == "categorical") != has_words:
            raise ConfigError(
                f"describe the column {self.name!r}",
                f"kind {self.kind!r} with {len(self.vocabulary)} words",
                "A categorical column has a vocabulary, a numeric one has none",
            )


@dataclass(frozen=True)
class Schema(Noun):
    """The columns of a record, in file order, and the classes of the attack names.

    Attributes:
        name: the schema's name, as its file spells it.
        version: raised whenever a column, a vocabulary or a class changes.
        columns: the columns in file order; after them a file may hold the attack name and a difficulty.
        header_features: the columns that packet headers alone can supply.
        classes: class names; the first is the normal one.
        attack_classes: class of every attack name, the normal one included.
        unseen: attack names that occur in test data only.
    """

    name: str
    version: int
    columns: tuple[Column, ...]
    header_features: tuple[str, ...]
    classes: tuple[str, ...]
    attack_classes: dict[str, str]
    unseen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        strangers = (
            {*self.header_features} - {*self.all_features}
            | {*self.attack_classes.values()} - {*self.classes}
            | {*self.unseen} - {*self.attack_classes}
        )
        if strangers or len({*self.all_features}) != len(self.columns):
            raise ConfigError(
                f"describe the schema {self.name!r}",
                f"names without a column or a class: {sorted(strangers)}, or a column named twice",
                "Every feature is a column, every class is in `classes`, every unseen attack has a class",
            )

    @cached_property
    def all_features(self) -> tuple[str, ...]:
        """Return the names of all columns, in file order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def column(self) -> dict[str, Column]:
        """Return the columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """Return the names of the numeric columns: the rows of `Records.numbers`."""
        return tuple(column.name for column in self.columns if column.kind == "numeric")

    @cached_property
    def categorical(self) -> tuple[str, ...]:
        """Return the names of the categorical columns: the rows of `Records.codes`."""
        return tuple(column.name for column in self.columns if column.kind == "categorical")

    @cached_property
    def numeric_at(self) -> tuple[int, ...]:
        """Return the positions of the numeric columns in a row of the file, from 0."""
        return tuple(i for i, column in enumerate(self.columns) if column.kind == "numeric")

    @cached_property
    def categorical_at(self) -> tuple[int, ...]:
        """Return the positions of the categorical columns in a row of the file, from 0."""
        return tuple(i for i, column in enumerate(self.columns) if column.kind == "categorical")

    @cached_property
    def code_of(self) -> dict[str, dict[str, int]]:
        """Return the codes of each categorical column's words."""
        return {name: {w: i for i, w in enumerate(self.column[name].vocabulary)} for name in self.categorical}

    @cached_property
    def upper(self) -> NDArray[np.float64]:
        """Return the largest value of each numeric column, `[numeric columns, 1]`: 1 for a rate."""
        limits = [1.0 if self.column[name].rate else np.finfo(np.float64).max for name in self.numeric]
        return np.array(limits)[:, None]

    def class_of(self, attack: str) -> str:
        """Return the class of an attack name.

        Raises:
            DataError: the schema does not know the name.
        """
        try:
            return self.attack_classes[attack]
        except KeyError:
            raise DataError(
                f"find the class of the attack {attack!r}",
                f"the schema {self.name} names {len(self.attack_classes)} attacks, and not this one",
                "Add it to the schema, or leave such rows out",
            ) from None


@dataclass(frozen=True, eq=False)
class Records:
    """Records as columns.

    Attributes:
        schema: the columns' meaning.
        numbers: `[numeric columns, n]` float64, rows as in `schema.numeric`; NaN where a file lacks it.
        codes: `[categorical columns, n]` int16, rows as in `schema.categorical`; -1 is an unknown word.
        attacks: `[n]` attack names (str), or None where the records carry none.
        lines: `[n]` int64 line numbers in the source, from 1.
        source: where they were read, for messages.
        sha256: digest of the bytes they were read from, where it was taken.
        context: what else was said of each connection, `[n]` texts by the names of `layout.CONTEXT`.
    """

    schema: Schema
    numbers: NDArray[np.float64]
    codes: NDArray[np.int16]
    attacks: NDArray[np.object_] | None
    lines: NDArray[np.int64]
    source: str = "memory"
    sha256: str = ""
    context: dict[str, NDArray[np.object_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.lines)
        shapes = ((len(self.schema.numeric), n), (len(self.schema.categorical), n))
        if (self.numbers.shape, self.codes.shape) != shapes or len(self) != n:
            raise DataError(
                f"hold {n} records of {self.schema.name}",
                f"numbers {self.numbers.shape}, codes {self.codes.shape}",
                f"Expected {shapes[0]} and {shapes[1]}, and as many attack names as lines",
            )

    def __len__(self) -> int:
        return len(self.lines) if self.attacks is None else len(self.attacks)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return one column, `[n]`: a view, float64 where numeric, int16 codes where categorical."""
        if column in self.schema.numeric:
            numbers: NDArray[Any] = self.numbers[self.schema.numeric.index(column)]
            return numbers
        if column in self.schema.categorical:
            codes: NDArray[Any] = self.codes[self.schema.categorical.index(column)]
            return codes
        raise ConfigError(
            f"take the column {column!r}",
            f"the schema {self.schema.name} has none of that name",
            f"There are: {', '.join(self.schema.all_features)}",
        )

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Return all columns by name, in file order, as views."""
        return {name: self[name] for name in self.schema.all_features}

    def words(self, column: str) -> NDArray[np.object_]:
        """Return a categorical column as words, `[n]`; an unknown one reads `unknown`."""
        vocabulary = self.schema.column[column].vocabulary
        return np.array([*vocabulary, "unknown"], dtype=object)[self[column].astype(np.intp)]

    def unknown(self) -> dict[str, int]:
        """Count the unknown words of each categorical column that has any."""
        counts = (self.codes == UNKNOWN).sum(axis=1)
        return {name: int(n) for name, n in zip(self.schema.categorical, counts, strict=True) if n}

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp] | Sequence[int]) -> Self:
        """Return the records at the indices, or where the mask is true, as a copy of the same type."""
        at = np.asarray(which)
        at = np.flatnonzero(at) if at.dtype == np.bool_ else at.astype(np.intp)
        return replace(
            self,
            numbers=self.numbers[:, at],
            codes=self.codes[:, at],
            attacks=None if self.attacks is None else self.attacks[at],
            lines=self.lines[at],
            context={name: texts[at] for name, texts in self.context.items()},
        )

    def classes(self) -> NDArray[np.int64]:
        """Return each record's class as an index into `schema.classes`, `[n]`.

        Raises:
            DataError: the records carry no attack names, or one that the schema does not know.
        """
        names = self.labels()
        index = {attack: self.schema.classes.index(c) for attack, c in self.schema.attack_classes.items()}
        numbers = np.fromiter((index.get(name, UNKNOWN) for name in names), dtype=np.int64, count=len(names))
        refuse_strangers(self, numbers == UNKNOWN)
        return numbers

    def unseen(self) -> NDArray[np.bool_]:
        """Return where the record is of an attack type that training data do not hold, `[n]`."""
        names = self.labels()
        strange = frozenset(self.schema.unseen)
        return np.fromiter((name in strange for name in names), dtype=np.bool_, count=len(names))

    def labels(self) -> NDArray[np.object_]:
        """Return the attack names.

        Raises:
            DataError: the records carry none.
        """
        if self.attacks is None:
            raise DataError(
                f"take the classes of the records in {self.source}",
                "they carry no attack names",
                "Give a file with the attack name as the column after the features",
            )
        return self.attacks


class TrainRecords(Records):
    """Records that may be learnt from: encoders are fitted on these and on nothing else."""

    @classmethod
    def of(cls, records: Records) -> TrainRecords:
        """Declare labelled records to be training data.

        Raises:
            DataError: they carry no attack names.
        """
        records.labels()
        return cls(**vars(records))


def refuse_strangers(records: Records, strange: NDArray[np.bool_]) -> None:
    """Raise a DataError that lists the attack names at `strange`, `[n]`; do nothing where there are none."""
    if not strange.any():
        return
    names = sorted({str(name) for name in records.labels()[strange]})
    listed = ", ".join(repr(name[:40]) for name in names[:10]) + (", ..." if len(names) > 10 else "")
    raise DataError(
        f"read {records.source}, line {int(records.lines[strange][0])}",
        f"{strange.sum()} lines with attack names that {records.schema.name} does not know: {listed}",
        "Check that the file is of this data set; add a new attack to the schema with its class",
    )


def join(parts: Iterable[Records], source: str | None = None) -> Records:
    """Join records of one schema, in order; the attack names are kept if all the parts carry them.

    Raises:
        ConfigError: there is nothing to join, or the schemas differ.
    """
    lots = list(parts)
    if not lots or any(_key(part) != _key(lots[0]) for part in lots):
        raise ConfigError(
            f"join {len(lots)} lots of records",
            "none, or of several schemas",
            "Give some, all of one schema",
        )
    names = [part.attacks for part in lots if part.attacks is not None]
    return Records(
        schema=lots[0].schema,
        numbers=np.concatenate([part.numbers for part in lots], axis=1),
        codes=np.concatenate([part.codes for part in lots], axis=1),
        attacks=np.concatenate(names) if len(names) == len(lots) else None,
        lines=np.concatenate([part.lines for part in lots]),
        source=source or lots[0].source,
        context={
            name: np.concatenate([part.context.get(name, _no_text(part)) for part in lots])
            for name in dict.fromkeys(name for part in lots for name in part.context)
        },
    )


def _no_text(records: Records) -> NDArray[np.object_]:
    return np.full(len(records), "", dtype=object)


def _key(records: Records) -> tuple[str, int]:
    return records.schema.name, records.schema.version
