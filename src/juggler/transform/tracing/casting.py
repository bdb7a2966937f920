"""Copies of a graph in another element type, without a second copy on the way."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, fx, nn


def in_type(network: fx.GraphModule, dtype: torch.dtype) -> fx.GraphModule:
    """Return a copy whose floating-point numbers are of `dtype`; the network itself is not changed.

    `copy.deepcopy(network).to(dtype)` would hold the numbers three times for a while.
    """
    memo: dict[int, object] = {}
    for parameter in network.parameters():
        cast = parameter.detach().to(dtype, copy=True) if parameter.is_floating_point() else parameter
        memo[id(parameter)] = nn.Parameter(cast, requires_grad=parameter.requires_grad)
    for buffer in network.buffers():
        memo[id(buffer)] = _cast(buffer, dtype)
    return copy.deepcopy(network, memo)


def _cast(buffer: Tensor, dtype: torch.dtype) -> Tensor:
    return buffer.detach().to(dtype, copy=True) if buffer.is_floating_point() else buffer.clone()
