"""The base of all nouns: a frozen dataclass that is written to and read from plain JSON."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from juggler.errors import ArtefactError
from juggler.reading.documents import parse_object
from juggler.reading.request import Request


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
            ArtefactError: a field is missing or unknown, or its value is of another type than it has.
        """
        if not isinstance(typing.cast(object, values), Mapping):  # a file has what it likes
            fault = f"a {type(values).__name__} where its fields belong"
            raise ArtefactError(f"read a {cls.__name__}", fault, "Write it again")
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
        restored = {}
        for name, value in values.items():
            # A field's own check may stumble over a value within it: a text in a list of numbers.
            with Request(f"read {name} of a {cls.__name__}", "Write it again").refusing(
                "value that makes sense"
            ):
                restored[name] = restored_value(hints[name], value)
        with Request(f"read a {cls.__name__}", "Write it again").refusing("one that makes sense"):
            return cls(**restored)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the noun from JSON text.

        Raises:
            ArtefactError: the text is not JSON, not an object, or has other fields.
        """
        return cls.from_dict(parse_object(text, Request(f"read a {cls.__name__}", "Write it again")))


_PLAIN = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


def restored_value(hint: Any, value: Any) -> Any:
    """Turn lists back into tuples and dicts back into nouns, guided by the type hint.

    Raises:
        TypeError: the value is of another type.
        ValueError: it is none of the words, or not as long, as the type says.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _restore_union(arguments, value)
    if isinstance(hint, type) and issubclass(hint, Noun):
        return value if isinstance(value, hint) else hint.from_dict(value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise TypeError(f"a {type(value).__name__} where a mapping belongs")
        return {key: restored_value(arguments[1], inner) for key, inner in value.items()}
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"a {type(value).__name__} where a list belongs")
        inner = arguments if arguments and arguments[-1] is not Ellipsis else (arguments[0],) * len(value)
        return tuple(restored_value(a, v) for a, v in zip(inner, value, strict=True))
    _check_plain(hint, value)
    return value


def _check_plain(hint: Any, value: Any) -> None:
    """Refuse a text, a number or a truth value that is none of its type, or none of its words."""
    if typing.get_origin(hint) is typing.Literal:
        if value not in typing.get_args(hint):
            raise ValueError(f"{value!r} is none of {', '.join(map(repr, typing.get_args(hint)))}")
    elif hint in _PLAIN and (
        not isinstance(value, _PLAIN[hint]) or isinstance(value, bool) != (hint is bool)
    ):
        raise TypeError(f"{value!r} is no {hint.__name__}")


def _restore_union(hints: tuple[Any, ...], value: Any) -> Any:
    """Return the value as the first type that it can be."""
    first, *others = (hint for hint in hints if hint is not type(None))
    try:
        return restored_value(first, value)
    except (TypeError, ValueError, ArtefactError):
        if not others:
            raise
        return _restore_union(tuple(others), value)
