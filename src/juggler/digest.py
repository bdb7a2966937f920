"""The digest of a network's weights: how checkpoints, certificates and provenance name them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def weights_sha256(module: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers: names, element types, shapes and bytes, sorted."""
    return tensors_sha256(module.state_dict())


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return the digest of named tensors, wherever they are and however their memory is laid out."""
    import torch  # noqa: PLC0415  # this layer imports without it

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
