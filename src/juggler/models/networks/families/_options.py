"""What the families share: makers whose options are a checked dataclass, checks, and levers of all."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from torch import nn

from juggler.errors import ConfigError
from juggler.models.networks.blocks import FusibleBlock


class Options(Protocol):
    """The options of one kind of network: the fields of a frozen dataclass, all with defaults."""

    def check(self, network: str) -> None:
        """Refuse a value that cannot work, in the name of the network that it was meant for."""


Chosen = TypeVar("Chosen", bound=Options)


class FromOptions(Generic[Chosen]):
    """Make one network from keyword options, which are the fields of a dataclass.

    `juggler.models.create` reads them off its signature, as it would those of a function.

    Args:
        name: of the network.
        options: makes the options from keywords.
        build: makes the network from options that were checked.
    """

    def __init__(
        self, name: str, options: Callable[..., Chosen], build: Callable[[Chosen], nn.Module]
    ) -> None:
        self.name, self.options, self.build = name, options, build
        self.__signature__ = inspect.signature(options)

    def __call__(self, **values: Any) -> nn.Module:
        """Make the network.

        Raises:
            ConfigError: an option has a value that cannot work.
        """
        chosen = self.options(**values)
        chosen.check(self.name)
        return self.build(chosen)


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


def check_switch(network: str, **switches: object) -> None:
    """Refuse whatever is neither true nor false.

    Raises:
        ConfigError: names the option and its value.
    """
    for option, value in switches.items():
        if not isinstance(value, bool):
            raise ConfigError(f"create {network}", f"{option} is {value!r}", "Give true or false")


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
        expected = f"{length} numbers" if length else "at least one number"
        raise ConfigError(
            f"create {network}", f"{option} is {values!r}", f"Give {expected}, such as (32, 64)"
        )
    for value in values:
        check_counts(network, **{option: value})
    return tuple(values)


def scaled(widths: Sequence[int], width: float) -> tuple[int, ...]:
    """Return the widths times the multiplier, rounded, at least 1 each."""
    return tuple(max(1, round(channels * width)) for channels in widths)


@dataclass(frozen=True, kw_only=True)
class Levers:
    """Say how the fusible blocks of a network train; flat, each is one 3x3 convolution whatever is said here.

    The defaults are the paper's structure. `FusibleStructure` tells each lever's source.

    Attributes:
        expansion: width within a block, beside that of its input.
        branches: what stands beside the chain and the shortcut of a block: any of `spatial`, `pointwise`,
            `horizontal`, `vertical` and `average`.
        identity: what the input of a block passes where it is added: nothing (`bare`) or a batch norm
            (`norm`).
        start: whether the 1x1 kernels of a chain start drawn (`kaiming`) or as the identity (`identity`).
        activations: whether annealed activations stand between the convolutions of a chain; training must
            bring them to 1 (`linear_by` of the recipe) before the network can be flat.
    """

    expansion: float = 2.0
    branches: Sequence[str] = ()
    identity: str = "bare"
    start: str = "kaiming"
    activations: bool = False

    def check(self, network: str) -> None:
        """Refuse an expansion that cannot work; what else is wrong the first block refuses.

        Raises:
            ConfigError: names the option and its value.
        """
        check_positive(network, expansion=self.expansion)

    @property
    def block(self) -> partial[FusibleBlock]:
        """Return what makes a block from its input channels, its output channels and its stride."""
        return partial(
            FusibleBlock,
            expansion=self.expansion,
            branches=self.branches,
            identity=self.identity,
            start=self.start,
            activations=self.activations,
        )
