"""The one kernel that a block of branches stands for, while it trains: found by linearity alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from juggler.models.branches import Branched
from juggler.models.layers.annealing import taken_as_linear


def equivalent_kernel(block: Branched) -> Tensor:
    """Return the kernel that the block has once it is flat, differentiable in the block's weights.

    The block is shown pictures of zeros with single ones in them. In the output, less what a picture of zeros
    gives, each pixel is one tap of the kernel. So nothing here knows a structure, and one that is new works.
    Its batch norms go by their running statistics and do not move them; annealed activations are taken for
    the straight lines that they end as, whatever their share now.

    The cost, forward and backward alike: one picture for each channel of a group, and one of zeros, with as
    many output pixels as the kernel has taps wherever the stride is 1 or 2. Beside one training step on n
    images with outputs of H' x W' that is about `(C / groups + 1) k^2 / (n H' W')` of the block's own
    multiply-accumulates: for batches of 256, 0.2 % at 64 channels on 32x32, 14 % at 256 channels on 8x8. (A
    1x1 kernel that pads has a margin to compute as well, at stride 1 `(2k - 1)^2` pixels for `k^2`.)

    Args:
        block: in training or evaluation mode, which it keeps. An activation behind it plays no part.

    Returns:
        `[C', C / groups, kh, kw]`, in the type and on the device of the block's weights; without the bias.
    """
    g = block.geometry
    rows, columns = (
        _axis(k, s, p, d) for k, s, p, d in zip(g.kernel, g.stride, g.padding, g.dilation, strict=True)
    )
    weight = next(block.parameters())
    pictures = torch.zeros(
        1 + g.in_channels // g.groups,
        g.in_channels,
        rows.length,
        columns.length,
        dtype=weight.dtype,
        device=weight.device,
    )
    # Groups do not see one another, so that one picture serves a channel of each of them.
    lit = torch.eye(len(pictures) - 1, dtype=weight.dtype, device=weight.device).repeat(1, g.groups)
    for row in rows.ones:
        for column in columns.ones:
            pictures[1:, :, row, column] = lit
    # The kernel is wanted in full, whatever the network around trains in.
    with _deployed(block), torch.autocast(weight.device.type, enabled=False):
        seen = block.linear(pictures)
    response = seen[1:] - seen[:1]  # the bias goes
    taps = response[:, :, list(rows.pixels)][:, :, :, list(columns.pixels)]
    return taps.transpose(0, 1)


@dataclass(frozen=True)
class _Axis:
    """Where the ones stand along one axis of a picture, and which output pixel sees which tap alone.

    Attributes:
        length: pixels of the picture.
        ones: places of the ones, so far apart that no output pixel sees two.
        pixels: for each tap of the kernel, the output pixel that a one reaches through it.
    """

    length: int
    ones: tuple[int, ...]
    pixels: tuple[int, ...]


def _axis(kernel: int, stride: int, padding: int, dilation: int) -> _Axis:
    """Lay out a short picture: where there is a stride, a single one reaches only some of the taps."""
    reach = dilation * (kernel - 1)
    ones: list[int] = []
    pixels: dict[int, int] = {}
    # Output pixel q sees the padded place s q + d t through tap t. From here on there is such a q of 0 or
    # more for each tap, and the place is inside the padding.
    place = max(reach, padding)
    while len(pixels) < kernel:
        steps = {tap: divmod(place - dilation * tap, stride) for tap in range(kernel)}
        reached = {tap: pixel for tap, (pixel, rest) in steps.items() if rest == 0}
        new = not reached.keys() <= pixels.keys()
        if new:
            ones.append(place - padding)
            pixels |= reached
        place += reach + 1 if new else 1
    last = stride * max(pixels.values()) + reach + 1
    length = max(ones[-1] + 1, last - 2 * padding)
    return _Axis(length, tuple(ones), tuple(pixels[tap] for tap in range(kernel)))


@contextmanager
def _deployed(block: Branched) -> Iterator[None]:
    """Evaluate the block as it will be once it is flat; modes and shares come back, also after an error."""
    modes = {part: part.training for part in block.modules()}
    try:
        with taken_as_linear(block):
            block.eval()
            yield
    finally:
        for part, training in modes.items():
            part.training = training
