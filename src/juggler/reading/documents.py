"""JSON and TOML: plain values, bounded in bytes, depth, number and digits."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from juggler.reading.content import MIB, read_content
from juggler.reading.request import Request

_DIGITS = re.compile(r"(?<![0-9.])[0-9.]{400}")
_KEY = r"(?:[\w-]++|\"[^\"\n]*+\"|'[^'\n]*+')[ \t]*+"
_DOTTED_KEY = re.compile(rf"(?<![\w-]){_KEY}(?:\.[ \t]*+{_KEY}){{32}}")
_CONTAINERS = (dict, list)


@dataclass(frozen=True)
class DocumentLimits:
    """What a document may hold.

    Attributes:
        size: bytes.
        depth: how deep objects and lists may lie within each other.
        containers: objects and lists, all together.
        values: values, all together.
        digits: of a whole number.
    """

    size: int = 32 * MIB
    depth: int = 64
    containers: int = 1_000_000
    values: int = 4_000_000
    digits: int = 20


JSON_LIMITS = DocumentLimits()
TOML_LIMITS = DocumentLimits(size=MIB)


class _FaultError(ValueError):
    """What is wrong with a value."""


def read_json(source: Path | bytes, request: Request, limits: DocumentLimits = JSON_LIMITS) -> Any:
    """Return the values of a JSON file, or of the bytes of one.

    Raises:
        JugglerError: of the request's kind: it cannot be read, is no JSON, holds a key twice, NaN or an
            infinity, text that cannot be written, or more than the limits allow.
    """
    return parse_json(read_content(source, request, limits.size), request, limits)


def parse_json(text: str | bytes, request: Request, limits: DocumentLimits = JSON_LIMITS) -> Any:
    """Return the values of a JSON text: see `read_json`."""
    with request.refusing("JSON text"):
        if len(text) > limits.size:
            raise _FaultError(f"{len(text):,} bytes; at most {limits.size:,} are read")
        plain = text if isinstance(text, str) else text.decode("utf-8-sig")
        _check_counts(plain, limits)
        value = json.loads(plain, parse_constant=_refuse_constant, object_pairs_hook=_object)
        check_values(value, limits)
        return value


def parse_object(text: str | bytes, request: Request, limits: DocumentLimits = JSON_LIMITS) -> dict[str, Any]:
    """Return the values of a JSON text that is an object: see `read_json`.

    Raises:
        JugglerError: as `read_json`, or it is something else.
    """
    value = parse_json(text, request, limits)
    if not isinstance(value, dict):
        raise request.refusal(f"a JSON {type(value).__name__} where an object belongs")
    return value


def read_toml(source: Path | bytes, request: Request, limits: DocumentLimits = TOML_LIMITS) -> dict[str, Any]:
    """Return the tables of a TOML file, or of the bytes of one.

    Raises:
        JugglerError: of the request's kind: as `read_json`.
    """
    return parse_toml(read_content(source, request, limits.size), request, limits)


def parse_toml(text: str | bytes, request: Request, limits: DocumentLimits = TOML_LIMITS) -> dict[str, Any]:
    """Return the tables of a TOML text: see `read_toml`."""
    with request.refusing("TOML"):
        if len(text) > limits.size:
            raise _FaultError(f"{len(text):,} bytes; at most {limits.size:,} are read")
        plain = text if isinstance(text, str) else text.decode("utf-8-sig")
        # The parser takes time with the square of a key's parts, and of a number's digits.
        if _DOTTED_KEY.search(plain):
            raise _FaultError("a key of more than 32 parts")
        _check_counts(plain, limits)
        try:
            value = tomllib.loads(plain)
        except tomllib.TOMLDecodeError as error:
            raise request.refusal(f"not TOML: {error}") from error
        check_values(value, limits)
        return value


def check_values(value: object, limits: DocumentLimits = JSON_LIMITS) -> None:
    """Refuse plain values that lie too deep, are too many or too long, NaN, infinite or no text.

    Raises:
        ValueError: says which.
    """
    level, depth, count = [value], 0, 0
    while level:
        count += len(level)
        if depth > limits.depth:
            raise _FaultError(f"values more than {limits.depth} deep")
        if count > limits.values:
            raise _FaultError(f"more than {limits.values:,} values")
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                for key in item:
                    _check_text(key)
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
            elif isinstance(item, str):
                _check_text(item)
            elif isinstance(item, float):
                # Neither JSON nor any field of ours knows NaN or an infinity.
                if item - item != 0.0:
                    raise _FaultError(f"the number {item}")
            elif isinstance(item, int) and abs(item) >= 10**limits.digits:
                raise _FaultError(f"a whole number of more than {limits.digits} digits")
        level, depth = inner, depth + 1


def _check_counts(text: str, limits: DocumentLimits) -> None:
    """Refuse what would take much memory or time, before any is taken.

    Brackets and commas within texts are counted too: a bound, and no more.
    """
    if text.count("{") + text.count("[") > limits.containers:
        raise _FaultError(f"more than {limits.containers:,} objects and lists")
    if text.count(",") > limits.values:
        raise _FaultError(f"more than {limits.values:,} values")
    if _DIGITS.search(text):
        raise _FaultError("a number of 400 digits or more")


def _check_text(text: object) -> None:
    if isinstance(text, str) and not text.isascii():
        text.encode("utf-8")  # half of a pair cannot be written: a UnicodeEncodeError, which is a ValueError


def _refuse_constant(name: str) -> NoReturn:
    raise _FaultError(f"the number {name}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise _FaultError(f"the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return values
