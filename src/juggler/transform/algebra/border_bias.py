"""Where a bias leaks into zero padding: the two ways to carry it exactly (see `composition.border_class`).

Both take the fused convolution without the leaking bias, and add what the bias comes to. Inside the image
that is one number a channel; in the outermost ring it is less, because there the second convolution's padding
took the place of some of it.

- The **constant-one channel**: one more input channel of ones, whose kernel carries the bias. Zero padding
  makes it 0 outside the image by itself, so it is exact for every size and stride.
- The **bias map**: the same, worked out once for a known height and width and added.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from juggler.transform.algebra.composition import compose, split_bias
from juggler.transform.algebra.conv import Conv, NotFusible


def with_ones_channel(first: Conv, second: Conv) -> Conv | NotFusible:
    """Return the fused convolution of an input with a channel of ones appended."""
    if (first.groups, second.groups) != (1, 1):
        return NotFusible(
            "border: a constant-one channel would have to be one for each group", "Use the bias map instead"
        )
    taps = _inside_taps(first)
    if taps is None:
        return NotFusible(
            "border: the first convolution's own padding makes positions outside the image, where a "
            "constant-one channel is 0 and its bias is not",
            "Use the bias map instead",
        )
    split = split_bias(first, second)
    if isinstance(split, NotFusible):
        return split
    linear, carried = split
    weight = first.weight.new_zeros(1, 1, *first.kernel)
    weight[(0, 0, *taps)] = 1.0
    pick = replace(first, weight=weight, bias=None)
    carry = compose(pick, replace(second, weight=carried, bias=None))
    if isinstance(carry, NotFusible):
        return carry
    return replace(linear, weight=torch.cat((linear.weight, carry.weight), 1))


def _inside_taps(first: Conv) -> tuple[int, ...] | None:
    """Return, a dimension, the tap that is inside the image for every output; `None` where there is none."""
    taps = []
    for k, p, d in zip(first.kernel, first.padding, first.dilation, strict=True):
        reach = d * (k - 1)
        if p % d or 2 * p > reach:
            return None
        taps.append(p // d)
    return tuple(taps)


def bias_map(carried: Tensor, second: Conv, middle: tuple[int, ...]) -> Tensor:
    """Return what the leaking bias comes to, `[1, channels, *space]`, for a middle map of that size."""
    ones = carried.new_ones(1, 1, *middle)
    return replace(second, weight=carried, bias=None, groups=1)(ones)
