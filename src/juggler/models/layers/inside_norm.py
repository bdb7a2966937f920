"""Batch norm for a map that was padded before its convolution: statistics of the inside alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class InsideBatchNorm2d(nn.Module):
    """Normalise a padded map by the statistics of its inside.

    A map that was padded before a bias-free convolution carries a ring of zeros: 11 % of the pixels at
    32x32, 56 % at 4x4. Batch statistics over all of it would be off by as much, so while training the
    mean and variance, the running ones too, are taken without the ring, and applied to all of the map,
    ring included. In evaluation mode this *is* the plain `nn.BatchNorm2d` it holds: torch.fx's own tracer
    walks through and finds that leaf, so that no rewriting rule need know this class. A norm that is
    frozen (`.norm.eval()`) stays frozen while the block trains.

    Args:
        channels: channels of the map.
        ring: width of the ring that is left out, in pixels; a pair where rows and columns differ.
    """

    def __init__(self, channels: int, ring: int | tuple[int, int] = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.ring = (ring, ring) if isinstance(ring, int) else ring

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `[n, C, H, W]`, ring included, and return the same shape."""
        if self.norm.training:
            return self._by_batch(x)
        normalised: Tensor = self.norm(x)
        return normalised

    def inside(self, x: Tensor) -> Tensor:
        """Return the map `[n, C, H, W]` without its ring."""
        return x[_inside(self.ring)]

    def _by_batch(self, x: Tensor) -> Tensor:
        norm = self.norm
        mean, variance = _statistics(self.inside(x), norm.weight.dtype)
        self._remember(mean, variance)
        by_inside: Callable[..., Tensor] = _ByInside.apply
        return by_inside(x, norm.weight, norm.bias, mean, variance[0], norm.eps, self.ring)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: tuple[Tensor, Tensor]) -> None:
        """Move the running statistics as `nn.BatchNorm2d` does: unbiased variance, `momentum` or the mean."""
        norm = self.norm
        if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
            return
        norm.num_batches_tracked.add_(1)
        share = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(mean, share)
        norm.running_var.lerp_(variance[1], share)


def _inside(ring: tuple[int, int]) -> tuple[slice, ...]:
    # `-0` would cut everything: a ring of no width ends where the map does.
    return (slice(None), slice(None), *(slice(width, -width or None) for width in ring))


@torch.no_grad()
def _statistics(inside: Tensor, dtype: torch.dtype) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the mean `[C]` and the variances `[C]`, biased and unbiased, of a map `[n, C, h, w]`."""
    channels = inside.shape[1]
    values = inside.numel() // channels
    mean, unbiased = torch.zeros(2, channels, dtype=dtype, device=inside.device)
    # Of a whole map: over a view, a norm of a map with its channels innermost takes several times as long.
    layout = torch.channels_last if inside.stride(1) == 1 else torch.contiguous_format
    compact = inside.contiguous(memory_format=layout)
    # A norm of momentum 1 leaves the batch's statistics in its buffers: several times faster on a CPU than
    # torch.var_mean over three axes, and in `dtype` whatever autocast made of the map.
    F.batch_norm(compact, mean, unbiased, training=True, momentum=1.0)
    return mean, (unbiased * ((values - 1) / values), unbiased)


class _ByInside(torch.autograd.Function):
    """Normalise a whole map by statistics of its inside, on which the gradient depends too.

    Written out because torch's fused norm takes its statistics from all of what it normalises; the same
    in single operators took twice as long to train.
    """

    @staticmethod
    def forward(  # noqa: PLR0917  # torch calls it by position
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
        ring: tuple[int, int],
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.ring, ctx.eps = ring, eps
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the map, the weight and the bias.

        With g the gradient, s = weight / std, n the values a channel has inside, c = x - mean, and sums over
        the whole map: g s everywhere; inside also, through the statistics, minus s (sum g) / n and
        minus s c (sum g c) / (n std^2).
        """
        x, weight, mean, variance = ctx.saved_tensors
        eps, inner = ctx.eps, _inside(ctx.ring)
        # A norm in evaluation mode knows g s and both sums, in one pass over the map.
        to_x, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, variance, None, None, False, eps, [True, True, True]
        )
        inverse = torch.rsqrt(variance + eps)
        scale, values = weight * inverse / (x[inner].numel() // x.shape[1]), torch.ones_like(mean)
        through = F.batch_norm(x, mean, values, -scale * inverse * to_weight, -scale * to_bias, eps=0.0)
        to_x[inner].add_(through[inner])
        return to_x, to_weight, to_bias, None, None, None, None
