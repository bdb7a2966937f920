"""Networks found by name: one file of `families` offers one family, third parties theirs by entry point."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from torch import nn

from juggler.errors import ConfigError
from juggler.registry import Registry, normalise

Maker = Callable[..., nn.Module]
"""Makes a network from keyword options alone, every one of them with a default."""

FAMILIES: Registry[Mapping[str, Maker]] = Registry(
    "family", "juggler.models.networks.families", alias="juggler.families"
)


def names() -> tuple[str, ...]:
    """Return the names of all networks, sorted."""
    return tuple(sorted(_makers()))


def takes(name: str, option: str) -> bool:
    """Say whether a network has an option.

    Raises:
        ConfigError: there is no such network.
    """
    return option in inspect.signature(_maker(name)[1]).parameters


def defaults(name: str) -> dict[str, Any]:
    """Return the options of a network as they are where nothing is said.

    Raises:
        ConfigError: there is no such network.
    """
    return {
        key: parameter.default for key, parameter in inspect.signature(_maker(name)[1]).parameters.items()
    }


def create(name: str, **options: Any) -> nn.Module:
    """Make a network by name, in training mode, its weights drawn from torch's global generator.

    The name and *all* options, defaults included, stay on the module as `network_name` and
    `network_options`, so that its checkpoint can be loaded by a release with other defaults.

    Args:
        name: such as `juggler_resnet50`; hyphens do as well.
        options: what the maker of that network takes, such as `classes=10`.

    Raises:
        ConfigError: there is no such network or option, or a value cannot work.
    """
    key, maker = _maker(name)
    signature = inspect.signature(maker)
    for option in options:
        if option not in signature.parameters:
            raise ConfigError(
                f"create {key}",
                f"it has no option {option!r}",
                _hint(option, signature.parameters),
            )
    bound = signature.bind(**options)
    bound.apply_defaults()
    module = maker(**bound.arguments)
    # Plain attributes, which nn.Module's own annotations do not know.
    vars(module).update(network_name=key, network_options=dict(bound.arguments))
    return module


def origin(module: nn.Module) -> tuple[str, dict[str, Any]]:
    """Return the name and options that `create` made the module from.

    Raises:
        ConfigError: `create` did not make it.
    """
    name, options = getattr(module, "network_name", None), getattr(module, "network_options", None)
    if not isinstance(name, str) or not isinstance(options, dict):
        raise ConfigError(
            f"tell how this {type(module).__name__} was made",
            "it carries no network_name",
            "Make it with juggler.models.create; add a network of your own as a file in "
            "models/networks/families or as an entry point of the group juggler.models.networks.families",
        )
    return name, dict(options)


def _maker(name: str) -> tuple[str, Maker]:
    """Return the name as it is registered, and what makes that network."""
    makers, key = _makers(), normalise(name)
    if key not in makers:
        raise ConfigError(f"create the network {name!r}", "there is none", _hint(key, makers))
    return key, makers[key]


@cache
def _makers() -> dict[str, Maker]:
    return {name: maker for _, family in FAMILIES for name, maker in family.items()}


def _hint(word: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(word, known, n=1)
    return (f"Did you mean {close[0]!r}? " if close else "") + f"There are: {', '.join(sorted(known))}"
