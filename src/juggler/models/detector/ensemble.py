"""Several trained networks as one wider network that computes their mean: an ensemble, and still one chain.

Networks that began from other weights and saw the records in another order differ most where none of them
has met a record's like; their mean is surer there than each alone (Lakshminarayanan et al. 2017, "Simple and
Scalable Predictive Uncertainty Estimation using Deep Ensembles"). Side by side they are one network: their
first layers one layer, their convolutions one convolution with a group for each, their last layers one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from juggler.data import Encoder, Records, TrainRecords
from juggler.errors import ConfigError
from juggler.models.detector.plan import Plan
from juggler.models.networks.creation import create, origin, takes

_CLASS_POWER = 0.5  # a class with n records gives n^0.5 of the parents: rare attacks are mixed often
_MOST_FROM_SECOND = 0.5  # the share of columns from the second parent is drawn up to this
_WITH_THIRD, _FROM_THIRD = 0.3, 0.15
_WITH_ANY, _MOST_FROM_ANY = 0.3, 0.2


def mix_records(records: TrainRecords, count: int, seed: int) -> Records:
    """Return `count` unlabelled mixtures of training records, the same for the same seed.

    Raises:
        ConfigError: there are no records to mix, or `count` is negative.
    """
    if count < 0 or not len(records):
        raise ConfigError(
            f"make {count} mixtures", f"{len(records)} records", "Give some, and a count of 0 or more"
        )
    draw = np.random.default_rng([seed, count])
    parents = _parents(records.classes(), count, draw)
    shares = (
        draw.uniform(0, _MOST_FROM_SECOND, count),
        np.where(draw.random(count) < _WITH_THIRD, _FROM_THIRD, 0.0),
        np.where(draw.random(count) < _WITH_ANY, draw.uniform(0, _MOST_FROM_ANY, count), 0.0),
    )
    return Records(
        schema=records.schema,
        numbers=np.stack([_column(values, parents, shares, draw) for values in records.numbers]),
        codes=np.stack([_column(values, parents, shares, draw) for values in records.codes]),
        attacks=None,
        lines=np.arange(1, count + 1),
        source=f"mixtures of {records.source}",
    )


def _parents(classes: NDArray[np.int64], count: int, draw: np.random.Generator) -> NDArray[np.intp]:
    """Draw three records for each mixture, `[3, count]`, the classes evened out."""
    weights = np.bincount(classes)[classes] ** (_CLASS_POWER - 1)
    # By hand rather than with `choice(p=...)`, which checks the sum of the weights against rounding.
    limits = np.cumsum(weights)
    parents: NDArray[np.intp] = np.searchsorted(limits, draw.random((3, count)) * limits[-1], side="right")
    return parents


def _column(
    values: NDArray[Any],
    parents: NDArray[np.intp],
    shares: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    draw: np.random.Generator,
) -> NDArray[Any]:
    """Mix one column, `[n]` -> `[count]`."""
    count = parents.shape[1]
    mixed: NDArray[Any] = values[parents[0]]
    anyone = draw.integers(0, len(values), count)
    for others, share in zip((parents[1], parents[2], anyone), shares, strict=True):
        mixed = np.where(draw.random(count) < share, values[others], mixed)
    return mixed


def join(networks: Sequence[nn.Module]) -> nn.Module:
    """Return one network, in evaluation mode, whose logits are the mean of the networks' logits.

    It is what `create(name, ..., members=K)` makes, so it is saved, flattened and exported like any other.

    The mean is of logits, not of probabilities as in the source: the former is linear in what the last
    layers read, and so is one linear layer. The latter would need each member's exponentials before the
    sum, which no chain of linear layers and ReLUs has. So the probabilities are the members' geometric mean,
    scaled to a sum of 1.

    Args:
        networks: made by `create` with the same options, their last layer linear; they are not changed.

    Raises:
        ConfigError: there are none, they are not of one shape, or their kind cannot be joined.
    """
    request = f"join {len(networks)} networks"
    if not networks:
        raise ConfigError(request, "there are none", "Give at least one")
    name, options = origin(networks[0])
    if not takes(name, "members"):
        raise ConfigError(request, f"{name} takes no members", "Join networks of the family juggler_tabular")
    others = [kind for kind in map(origin, networks) if kind != (name, options)]
    if others:
        raise ConfigError(request, f"{(name, options)} and {others[0]}", "Make them with the same options")
    if options["members"] != 1:
        raise ConfigError(request, f"one is of {options['members']} members", "Join the members all at once")
    if options.get("novelty"):
        raise ConfigError(request, "one has novelty", "Join them first, and add novelty to the whole")
    last = [key for key, part in networks[0].named_modules() if isinstance(part, nn.Linear)][-1]
    states = [network.state_dict() for network in networks]
    with torch.device("meta"):
        joined = create(name, **{**options, "members": len(networks)})
    joined.load_state_dict({key: _together(key, last, states) for key in states[0]}, assign=True)
    return joined.eval()


def network_for(plan: Plan, encoder: Encoder, classes: int, seed: int) -> nn.Module:
    """Make a plan's network, or one of its members, for an encoder's images; its first weights by the seed.

    Raises:
        ConfigError: there is no such network, or it has not the plan's options.
    """
    channels, height, width = encoder.shape
    options = {**plan.options, "classes": classes, "in_channels": channels}
    if takes(plan.network, "image_size"):  # others take images of any size
        options["image_size"] = (height, width)
    after_training = {"members": 1, "novelty": 0.0}
    options |= {key: value for key, value in after_training.items() if key in options}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(plan.network, **options)


def member_seeds(seed: int, members: int) -> tuple[int, ...]:
    """Return a seed for each member: the first has the ensemble's own; near ones give unrelated others."""
    others = (int(np.random.SeedSequence([seed, i]).generate_state(1)[0] >> 1) for i in range(1, members))
    return (seed, *others)


def _together(key: str, last: str, states: Sequence[dict[str, Tensor]]) -> Tensor:
    """Return a tensor of the whole from the members': one after the other, and in the last layer the mean."""
    parts = [state[key] for state in states]
    if key == f"{last}.weight":
        return torch.cat(parts, 1) / len(parts)
    if key == f"{last}.bias":
        return torch.stack(parts).mean(0)
    if parts[0].ndim:
        return torch.cat(parts)
    if parts[0].is_floating_point() and any(not torch.equal(part, parts[0]) for part in parts):
        raise ConfigError(
            f"join {len(parts)} networks",
            f"{key} is {', '.join(f'{float(part):g}' for part in parts)}",
            "Join networks whose annealed activations stand alike, all of them trained to the end",
        )
    return torch.stack(parts).max()  # the share of an activation; or how many batches a norm has seen
