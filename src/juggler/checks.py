"""Checks of configs: the types, ranges and choices of a dataclass's fields, all refused in the same words."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from juggler.errors import ConfigError

ABOVE_0, BELOW_1 = math.ulp(0.0), math.nextafter(1.0, 0.0)
FINITE = sys.float_info.max
"""The upper limit of a number that may be as large as it likes, but no infinity."""


class Range(NamedTuple):
    """What a field may be: its least and its greatest value, and the same as the end of `Give ...`."""

    least: float
    greatest: float
    remedy: str


def bad_field(asked: str, name: str, value: object, remedy: str) -> ConfigError:
    """Return the error of a field whose value cannot work."""
    return ConfigError(asked, f"{name} is {value!r}", remedy)


def check_types(config: Any, asked: str) -> None:
    """Refuse a field that is not of its default's type; a whole number becomes a float where one is due.

    Args:
        config: a dataclass, frozen or not, all of whose fields have plain defaults.
        asked: what was asked, such as `make a recipe`.

    Raises:
        ConfigError: names the field.
    """
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), type(field.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            object.__setattr__(config, field.name, float(value))
        elif isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
            raise bad_field(asked, field.name, value, f"Give {words[kind]}")


def check_ranges(config: Any, ranges: Mapping[str, Range], asked: str) -> None:
    """Refuse a field outside of its range, and NaN in any; None is no value and passes.

    Raises:
        ConfigError: names the field.
    """
    for name, (least, greatest, remedy) in ranges.items():
        value = getattr(config, name)
        if value is not None and not least <= value <= greatest:
            raise bad_field(asked, name, value, f"Give {remedy}")


def check_choices(config: Any, choices: Mapping[str, Sequence[str]], asked: str) -> None:
    """Refuse a field that is none of its choices.

    Raises:
        ConfigError: names the field.
    """
    for name, options in choices.items():
        if getattr(config, name) not in options:
            raise bad_field(asked, name, getattr(config, name), f"Give one of {', '.join(options)}")


def check_wholes(
    values: Mapping[str, object], asked: str, *, least: int = 1, lengths: Mapping[str, int] | None = None
) -> None:
    """Refuse what is no whole number, or a tuple of them, or is below the least.

    Args:
        values: numbers or tuples of numbers, by name.
        asked: what was asked.
        least: that each may be.
        lengths: of tuples, by name; others may have any length.

    Raises:
        ConfigError: names the value.
    """
    for name, value in values.items():
        count = (lengths or {}).get(name)
        numbers = value if isinstance(value, tuple) else (value,) if count is None else ()
        fits = count in (None, len(numbers))
        if not fits or any(type(number) is not int or number < least for number in numbers):
            kind = "whole numbers" if isinstance(value, tuple) or count else "a whole number"
            raise ConfigError(
                asked, f"{name} {value!r}", f"Give {f'{count} ' if count else ''}{kind}, {least} or more"
            )


def refuse_faults(asked: str, faults: Mapping[str, bool], remedy: str) -> None:
    """Refuse what has faults, all of them in one message.

    Args:
        asked: what was asked.
        faults: by its words, whether there is each fault.
        remedy: what to do about any of them.

    Raises:
        ConfigError: there is a fault.
    """
    texts = [text for text, is_so in faults.items() if is_so]
    if texts:
        raise ConfigError(asked, ", ".join(texts), remedy)
