"""Weights that torch has packed for its int8 kernels: modules hold them instead of parameters.

A packed weight is an object of torch's own that a kernel takes as it is. It is unpacked to be counted; each
unpacking makes other tensors, so that what was seen before is known by its numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

WINDOW = ("stride", "padding", "dilation", "groups", "transposed")  # what a packed convolution knows


def is_packed(value: object) -> bool:
    """Say whether a value is a packed weight, an object whose methods torch has no types for."""
    return isinstance(value, torch.ScriptObject)


def packed_in(network: nn.Module) -> Iterator[Any]:
    """Yield the packed weights of a network's modules."""
    for module in network.modules():
        yield from (value for value in vars(module).values() if is_packed(value))


def unpacked(packed: Any) -> dict[str, Tensor]:
    """Return what is packed by name: a `weight` and a `bias`, or those of a recurrent cell in their order."""
    if packed._has_method("unpack"):
        content = packed.unpack()
        pair = (content,) if isinstance(content, Tensor) else content
        return {
            name: tensor for name, tensor in zip(("weight", "bias"), pair, strict=False) if tensor is not None
        }
    if packed._type().name() == "CellParamsBase":
        (_, biases, _, _, weights), _ = packed.__getstate__()
        tensors = [*(unpacked(weight)["weight"] for weight in weights), *biases]
        return {f"weight_{index}": tensor for index, tensor in enumerate(tensors)}
    return {}


def window_of(packed: Any) -> dict[str, Any]:
    """Return how a packed convolution slides, by the names of `aten.convolution`; nothing of others."""
    if not packed._has_method("stride"):
        return {}
    values = (packed.stride(), packed.padding(), packed.dilation(), packed.groups(), packed.transpose())
    return dict(zip(WINDOW, values, strict=True))


class Unpacker:
    """Unpacks, and gives the same tensors for the same numbers."""

    def __init__(self) -> None:
        self._tensors: dict[bytes, Tensor] = {}

    def __call__(self, packed: Any) -> dict[str, Tensor]:
        """Return what is packed by name, see `unpacked`."""
        return {
            name: self._tensors.setdefault(_digest(tensor), tensor)
            for name, tensor in unpacked(packed).items()
        }


def _digest(tensor: Tensor) -> bytes:
    plain = tensor.detach()
    plain = (plain.int_repr() if plain.is_quantized else plain).contiguous().view(torch.uint8)
    text = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    return hashlib.sha256(text + plain.numpy().tobytes()).digest()
