"""The blocks that wide networks are built of, and how their weights start.

A fusible block is made so that the three operators of the paper (section III-C) turn it into one 3x3
convolution exactly, at the border of the map as well as inside: it pads first. `BasicBlock` and
`Bottleneck` are ResNet's own, for comparison.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["BasicBlock", "Bottleneck", "FusibleBlock", "InsideBatchNorm2d", "conv_norm", "initialise"]


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
        ring: width of the ring that is left out, in pixels.
    """

    def __init__(self, channels: int, ring: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.ring = ring

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `[n, C, H, W]`, ring included, and return the same shape."""
        if self.norm.training:
            return self._by_batch(x)
        normalised: Tensor = self.norm(x)
        return normalised

    def _by_batch(self, x: Tensor) -> Tensor:
        norm, ring = self.norm, self.ring
        mean, variance = _statistics(x[:, :, ring:-ring, ring:-ring], norm.weight.dtype)
        self._remember(mean, variance)
        by_inside: Callable[..., Tensor] = _ByInside.apply
        return by_inside(x, norm.weight, norm.bias, mean, variance[0], norm.eps, ring)

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


@torch.no_grad()
def _statistics(inside: Tensor, dtype: torch.dtype) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the mean `[C]` and the variances `[C]`, biased and unbiased, of a map `[n, C, h, w]`."""
    channels = inside.shape[1]
    values = inside.numel() // channels
    mean, unbiased = torch.zeros(2, channels, dtype=dtype, device=inside.device)
    # A norm of momentum 1 leaves the batch's statistics in its buffers: several times faster on a CPU than
    # torch.var_mean over three axes, and in `dtype` whatever autocast made of the map.
    F.batch_norm(inside, mean, unbiased, training=True, momentum=1.0)
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
        ring: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps))
        ctx.ring = ring
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of the map, the weight and the bias.

        With g the gradient, s = weight / std, n the values a channel has inside, c = x - mean, and sums over
        the whole map: g s everywhere; inside also, through the statistics, minus s (sum g) / n and
        minus s c (sum g c) / (n std^2).
        """
        x, weight, mean, inverse = ctx.saved_tensors
        inner = (slice(None), slice(None), slice(ctx.ring, -ctx.ring), slice(ctx.ring, -ctx.ring))
        centred = x - _per_channel(mean)
        total = grad.sum((0, 2, 3), dtype=mean.dtype)
        against = (grad * centred).sum((0, 2, 3))
        scale, values = weight * inverse, x[inner].numel() // x.shape[1]
        to_x = grad * _per_channel(scale)
        slope, offset = -scale * inverse**2 * against / values, -scale * total / values
        to_x[inner].addcmul_(centred[inner], _per_channel(slope)).add_(_per_channel(offset))
        return to_x.to(x.dtype), against * inverse, total, None, None, None, None


def _per_channel(values: Tensor) -> Tensor:
    return values[None, :, None, None]


def conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Return a bias-free convolution, padded to keep the size at stride 1, and its batch norm."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Return the projection that a change of shape needs; `None` where the identity will do."""
    if stride == 1 and in_channels == out_channels:
        return None
    return conv_norm(in_channels, out_channels, 1, stride)


class FusibleBlock(nn.Module):
    """Compute the paper's fusible residual structure (section III-B, Fig. 4).

    1x1 C -> eC, norm, 3x3 eC -> eC with the stride, norm, 1x1 eC -> C', norm; plus the input, or a 1x1
    convolution and a norm of it where the shape changes; one ReLU at the end. It flattens into one 3x3
    convolution C -> C' with bias and a ReLU.

    What the paper leaves open: at the border. Batch norm makes the map between the first 1x1 and the 3x3
    non-zero outside the image, where the 3x3's zero padding says 0, so that the paper's Eq. 5-7 do not
    hold there. Here the padding sits on the first convolution and the 3x3 has none; then they hold
    everywhere, for every size and stride.

    Args:
        in_channels: C.
        out_channels: C'.
        stride: stride of the 3x3 and of the shortcut.
        expansion: e; the hidden width is `round(e * C)`, at least 1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, expansion: float = 2.0) -> None:
        super().__init__()
        hidden = max(1, round(expansion * in_channels))
        self.expand = nn.Conv2d(in_channels, hidden, 1, padding=1, bias=False)
        self.expand_norm = InsideBatchNorm2d(hidden)
        self.spatial = nn.Conv2d(hidden, hidden, 3, stride, padding=0, bias=False)
        self.spatial_norm = nn.BatchNorm2d(hidden)
        self.reduce = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self.reduce_norm = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', ceil(H / stride), ceil(W / stride)]`."""
        wide = self.expand_norm(self.expand(x))
        wide = self.spatial_norm(self.spatial(wide))
        wide = self.reduce_norm(self.reduce(wide))
        out: Tensor = self.activation(wide + (x if self.shortcut is None else self.shortcut(x)))
        return out


class BasicBlock(nn.Module):
    """Compute ResNet's two-convolution block: 3x3, norm, ReLU, 3x3, norm, add, ReLU (He et al., 2016)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.first = conv_norm(in_channels, out_channels, 3, stride)
        self.second = conv_norm(out_channels, out_channels, 3)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', ceil(H / stride), ceil(W / stride)]`."""
        inner = self.second(self.activation(self.first(x)))
        out: Tensor = self.activation(inner + (x if self.shortcut is None else self.shortcut(x)))
        return out


class Bottleneck(nn.Module):
    """Compute ResNet's bottleneck: 1x1 to a quarter of the output's width, 3x3, 1x1, add, ReLU.

    The stride sits on the 3x3, as in the form known as v1.5, not on the first 1x1 as in He et al.
    """

    narrowing = 4

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        narrow = max(1, out_channels // self.narrowing)
        self.reduce = conv_norm(in_channels, narrow, 1)
        self.spatial = conv_norm(narrow, narrow, 3, stride)
        self.expand = conv_norm(narrow, out_channels, 1)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, C, H, W]` to `[n, C', ceil(H / stride), ceil(W / stride)]`."""
        inner = self.activation(self.spatial(self.activation(self.reduce(x))))
        out: Tensor = self.activation(self.expand(inner) + (x if self.shortcut is None else self.shortcut(x)))
        return out


def initialise(module: nn.Module) -> None:
    """Draw the convolutions' weights anew, in place: normal, Kaiming, `fan_out`, gain of ReLU; biases 0.

    Batch norms start as the identity and linear layers as torch makes them. The paper does not say how it
    starts; this is what ResNet's common implementations do. Draws come from torch's global generator.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
