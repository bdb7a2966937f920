"""What was fitted, as plain JSON values and arrays: written and read field by field, by the fields' types."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import fields as fields_of
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from juggler.arrays import Arrays, Floats
from juggler.nouns import Noun
from juggler.nouns.noun import restored_value
from juggler.predict.learning.boosting import Boosters


class Stateful:
    """Base of dataclasses that are kept: numbers, words and nouns as JSON, the rest as arrays of its name.

    Attributes:
        apart: fields that are not kept, or in another way.
        renamed: what fields are called where they are kept, if otherwise; "" puts boosters in no folder.
    """

    apart: ClassVar[tuple[str, ...]] = ("history",)
    renamed: ClassVar[Mapping[str, str]] = {}

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays."""
        values: dict[str, Any] = {}
        arrays: Arrays = {}
        for name, key in self._keys():
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                arrays[key] = value
            elif isinstance(value, Boosters):
                arrays |= joined({key: value.arrays()})
            elif isinstance(value, Noun):
                values[key] = value.to_dict()
            else:
                values[key] = list(value) if isinstance(value, tuple) else value
        return values, arrays

    @classmethod
    def restore(cls, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Return what was kept.

        Raises:
            KeyError: a field is missing.
            TypeError: a field is of another type.
            ValueError: it is damaged.
        """
        return cls(**cls.restored(fields, arrays))

    @classmethod
    def restored(cls, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Return the values of the fields that are not kept apart."""
        hints = typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        for name, key in cls._keys():
            hint = hints[name]
            if hint == Floats:
                values[name] = np.asarray(arrays[key], np.float64)
            elif hint is Boosters:
                values[name] = Boosters.from_arrays(part(arrays, key))
            else:
                values[name] = restored_value(hint, fields[key])
        return values

    @classmethod
    def _keys(cls) -> list[tuple[str, str]]:
        """Return the fields that are kept, and what they are called there."""
        names = [field.name for field in fields_of(cls) if field.name not in cls.apart]  # type: ignore[arg-type]
        return [(name, cls.renamed.get(name, name)) for name in names]


def part(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> Arrays:
    """Return the arrays whose names begin with `prefix/`, without it; all where there is no prefix."""
    start = f"{prefix}/" if prefix else ""
    return {key[len(start) :]: value for key, value in arrays.items() if key.startswith(start)}


def joined(parts: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> Arrays:
    """Return the arrays of several parts in one mapping, each part's names begun with its own and `/`."""
    return {
        f"{prefix}/{key}" if prefix else key: value
        for prefix, arrays in parts.items()
        for key, value in arrays.items()
    }
