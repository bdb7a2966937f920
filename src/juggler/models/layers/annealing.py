"""Activations that fade into straight lines: non-linear while training begins, fused away at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from juggler.errors import ConfigError


class AnnealedReLU(nn.Module):
    """Compute `(1 - share) * relu(x) + share * x`: a ReLU at share 0, nothing at all at share 1.

    Source: Chen et al., "VanillaNet: the Power of Minimalism in Deep Learning" (NeurIPS 2023), the deep
    training strategy of section 3. Between the two ends it is a leaky ReLU whose slope is the share, so
    torch's own operator computes it. At share 1 the input itself comes back: torch.fx sees no activation
    there, and the kernels on both sides of it can be one.

    The share is part of the state dict, as float64 of no dimensions, so checkpoints and runs keep it.

    Args:
        share: of the straight line, from 0 to 1.

    Raises:
        ConfigError: the share is no number from 0 to 1.
    """

    def __init__(self, share: float = 0.0) -> None:
        super().__init__()
        self._share = _checked(share)

    @property
    def share(self) -> float:
        """Return the share of the straight line, from 0 to 1."""
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        self._share = _checked(share)

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to the same shape."""
        if self._share == 1:
            return x
        return F.relu(x) if self._share == 0 else F.leaky_relu(x, self._share)

    def get_extra_state(self) -> Tensor:
        """Return the share for the state dict: a tensor, because safetensors keeps nothing else."""
        # On the CPU even where a network is made on the meta device, which would lose the number.
        return torch.tensor(self._share, dtype=torch.float64, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Take the share from a state dict."""
        self.share = float(state)

    def extra_repr(self) -> str:
        """Return what `print` shows between the brackets."""
        return f"share={self._share:g}"


def anneal(module: nn.Module, share: float) -> None:
    """Set the share of every annealed activation within, in place; a module without any stays as it is.

    Raises:
        ConfigError: the share is no number from 0 to 1; none is set then.
    """
    share = _checked(share)
    for activation in _annealed(module):
        activation.share = share


def has_annealed(module: nn.Module) -> bool:
    """Say whether the module holds an annealed activation, whatever its share."""
    return next(_annealed(module), None) is not None


@contextmanager
def taken_as_linear(module: nn.Module) -> Iterator[None]:
    """Treat every annealed activation within as the straight line it ends as; their shares come back."""
    shares = {activation: activation.share for activation in _annealed(module)}
    anneal(module, 1.0)
    try:
        yield
    finally:
        for activation, share in shares.items():
            activation.share = share


def _annealed(module: nn.Module) -> Iterator[AnnealedReLU]:
    return (part for part in module.modules() if isinstance(part, AnnealedReLU))


def _checked(share: float) -> float:
    real = isinstance(share, int | float) and not isinstance(share, bool)
    if not real or not 0 <= share <= 1:
        raise ConfigError("anneal an activation", f"the share is {share!r}", "Give a number from 0 to 1")
    return float(share)
