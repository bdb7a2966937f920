"""Check the options that the makers of all families share, before anything is built."""

from __future__ import annotations

import math
from collections.abc import Sequence

from juggler.errors import ConfigError


def check_counts(network: str, **counts: object) -> None:
    """Refuse whatever is not a whole number of at least 1.

    Raises:
        ConfigError: names the option and its value.
    """
    for option, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(
                f"create {network}", f"{option} is {value!r}", "Give a whole number of at least 1"
            )


def check_positive(network: str, **numbers: object) -> None:
    """Refuse whatever is not a finite number above 0.

    Raises:
        ConfigError: names the option and its value.
    """
    for option, value in numbers.items():
        real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not real or not value > 0:  # type: ignore[operator]  # `real` says that it is a number
            raise ConfigError(f"create {network}", f"{option} is {value!r}", "Give a number above 0")


def check_choice(network: str, option: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a word that is not one of the choices.

    Raises:
        ConfigError: names the option, its value and the choices.
    """
    if value not in choices:
        raise ConfigError(f"create {network}", f"{option} is {value!r}", f"Give one of {', '.join(choices)}")


def check_share(network: str, **shares: object) -> None:
    """Refuse whatever is not a number from 0 up to, but without, 1.

    Raises:
        ConfigError: names the option and its value.
    """
    for option, value in shares.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ConfigError(f"create {network}", f"{option} is {value!r}", "Give a number in [0, 1)")


def counts(network: str, option: str, values: object, length: int | None = None) -> tuple[int, ...]:
    """Return a sequence of whole numbers of at least 1 as a tuple.

    Raises:
        ConfigError: it is none, or it has another length than it must.
    """
    if not isinstance(values, list | tuple) or not values or length not in (None, len(values)):
        wanted = f"{length} numbers" if length else "at least one number"
        raise ConfigError(f"create {network}", f"{option} is {values!r}", f"Give {wanted}, such as (32, 64)")
    for value in values:
        check_counts(network, **{option: value})
    return tuple(values)


def scaled(widths: Sequence[int], width: float) -> tuple[int, ...]:
    """Return the widths times the multiplier, rounded, at least 1 each."""
    return tuple(max(1, round(channels * width)) for channels in widths)
