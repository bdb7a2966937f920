"""The base of all nouns: a frozen dataclass that is written to and read from plain JSON."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from juggler.errors import ArtefactError


class Noun:
    """Read and write a frozen dataclass as plain JSON; unknown and missing fields are named in the error.

    Attributes:
        former_names: fields by what the last releases called them, which is still read.
    """

    former_names: ClassVar[Mapping[str, str]] = {}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain numbers, strings, lists and dicts."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    def to_json(self, indent: int | None = None) -> str:
        """Return the fields as JSON text; NaN and infinities are refused, for they are not JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the noun from what `to_dict` gave, nested nouns included.

        Raises:
            ArtefactError: a field is missing or unknown.
        """
        values = {cls.former_names.get(name, name): value for name, value in values.items()}
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        required = {
            n
            for n, f in fields.items()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        }
        unknown, missing = set(values) - set(fields), required - set(values)
        if unknown or missing:
            raise ArtefactError(
                f"read a {cls.__name__}",
                f"unknown fields {sorted(unknown)}, missing fields {sorted(missing)}",
                "It was probably written by another release of juggler: write it again with this one",
            )
        hints = typing.get_type_hints(cls)
        return cls(**{name: _restore(hints[name], value) for name, value in values.items()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the noun from JSON text.

        Raises:
            ArtefactError: the text is not JSON, not an object, or has other fields.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ArtefactError(f"read a {cls.__name__}", f"not JSON ({error})", "Write it again") from error
        if not isinstance(values, dict):
            raise ArtefactError(f"read a {cls.__name__}", f"a {type(values).__name__}", "Expected an object")
        return cls.from_dict(values)


def _restore(hint: Any, value: Any) -> Any:
    """Turn lists back into tuples and dicts back into nouns, guided by the type hint."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _restore(next(a for a in arguments if a is not type(None)), value)
    if isinstance(hint, type) and issubclass(hint, Noun) and isinstance(value, Mapping):
        return hint.from_dict(value)
    if origin is dict and isinstance(value, Mapping):
        return {key: _restore(arguments[1], inner) for key, inner in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        inner = arguments if arguments and arguments[-1] is not Ellipsis else (arguments[0],) * len(value)
        return tuple(_restore(a, v) for a, v in zip(inner, value, strict=True))
    return value
