"""A second opinion from the same features: an alarm where these are unlike those of any normal record.

A classifier is trained to tell the attacks that it knows from normal records; what is neither may fall on the
normal side. How far a record's features lie outside of what normal records have is a sign of that (Lee et al.
2018, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks", which
measures a Mahalanobis distance). Here the distance is a sum of ReLUs, so that the network stays a chain.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from juggler.data import TrainRecords
from juggler.errors import ConfigError, DataError
from juggler.models.networks.creation import create, origin, takes

FLOOR = 1e-3
"""Least variance along an axis, as a share of the mean one: narrower axes are rounding."""
MOST = 20_000
"""Normal records that are looked at."""
WITHIN = 0.999
"""Share of normal records within an axis's limit; and novelty 1 is that of the one in a thousand beyond."""


def with_ood_score(network: nn.Module, normals: Tensor, weight: float) -> nn.Module:
    """Return a network whose log-odds of an alarm are higher by `weight` times a record's novelty.

    With V the whitened principal axes of what the last layer reads of normal records, m their mean along
    these and l the 0.999 quantile of `abs(V x - m)`, novelty is `sum(relu(V x - m - l) + relu(m - l - V x))`,
    over its own 0.999 quantile. The features are outputs of a ReLU and pass one more unchanged, so that is
    one linear layer more with a ReLU behind it: a chain still. The logit of the first class, the normal one,
    is lowered.

    Args:
        network: made by `create`, trained, its last layer linear; it is not changed.
        normals: images of normal training records, `[n, C, H, W]`.
        weight: log-odds that a novelty of 1 adds.

    Raises:
        ConfigError: the kind of network has no such layer, or has it already.
        DataError: there are no more normal records than features.
    """
    name, options = origin(network)
    if not takes(name, "novelty") or options["novelty"] or weight < 0:
        raise ConfigError("add novelty", f"{name} takes none, or has it", "Give a plain juggler_tabular")
    head = cast(nn.Sequential, network.head)
    last = cast(nn.Linear, head[-1])
    read = _read(network, normals)
    if len(read) <= read.shape[1]:
        raise DataError("add novelty", f"{len(read)} normal records, {read.shape[1]} features", "Give more")
    first, second = _layers(read, last, weight)
    if not weight:
        return network
    extended = create(name, **{**options, "novelty": float(weight)})
    state = {k: v for k, v in network.state_dict().items() if not k.startswith("head.")}
    at = len(head) - 1
    state |= {f"head.{at}.{key}": value for key, value in first.items()}
    state |= {f"head.{at + 2}.{key}": value for key, value in second.items()}
    extended.load_state_dict(state)
    return extended.eval()


def sample_normals(records: TrainRecords, seed: int) -> TrainRecords:
    """Return training records of the first class, drawn at random where there are more than `MOST`."""
    rows = np.flatnonzero(records.classes() == 0)
    return records.take(np.random.default_rng(seed).permutation(rows)[:MOST])


def _read(network: nn.Module, images: Tensor) -> Tensor:
    """Return what the last layer reads, float64 `[n, inputs]`."""
    batches: list[Tensor] = []
    head = cast(nn.Sequential, network.head)
    hook = head[-1].register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0].double()))
    try:
        with torch.inference_mode():
            for batch in torch.split(images, 1024):
                network.eval()(batch)
    finally:
        hook.remove()
    return torch.cat(batches).clone()


def _layers(read: Tensor, last: nn.Linear, weight: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights and biases of the layer between and of the last one."""
    variances, axes = torch.linalg.eigh(torch.cov(read.T))
    axes = (axes / variances.clamp(min=FLOOR * float(variances.mean())).sqrt()).T
    mean = axes @ read.mean(0)
    along = read @ axes.T - mean
    # numpy's, for torch's takes 16 million numbers at most.
    limit = torch.from_numpy(np.quantile(along.abs().numpy(), WITHIN, axis=0))
    beyond = (along.abs() - limit).clamp(min=0).sum(1)
    unit = float(np.quantile(beyond.numpy(), WITHIN)) or 1.0
    inputs = read.shape[1]
    first = {
        "weight": torch.cat([torch.eye(inputs, dtype=read.dtype), axes, -axes]),
        "bias": torch.cat([torch.zeros(inputs, dtype=read.dtype), -mean - limit, mean - limit]),
    }
    new = torch.zeros(last.out_features, 2 * inputs, dtype=read.dtype)
    new[0] = -weight / unit
    second = {"weight": torch.cat([last.weight.detach().double(), new], 1), "bias": last.bias.detach()}
    return first, second
