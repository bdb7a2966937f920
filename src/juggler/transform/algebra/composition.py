"""One linear thing after another, written as one: the paper's vertical operator, and the border.

Juggler-ResNet (Zhu et al.) Eq. 5-7 fuse a 1x1 and a 3x3 convolution. What the paper leaves out is the border:
where the second one pads with zeros and the first one would have given something else outside the image, the
product is wrong in the outermost ring. `border_class` names the cases; `split_bias` is the way out for
networks that are trained already.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch
from torch import Tensor

from juggler.transform.algebra.conv import Conv, NotFusible, densify, fold_scale_shift
from juggler.transform.algebra.values import Pad, Pool, Scale, Transposed, Value

CLEAN, BIAS_LEAK, KERNEL_LEAK = "clean", "bias leak", "kernel leak"


def follow(first: Value, second: Value, channels: int) -> Value | NotFusible | None:
    """Write `second(first(x))` as one value; `None` where the algebra has nothing to say about the pair.

    Args:
        first: what is applied first.
        second: what reads it.
        channels: channels between the two.
    """
    if isinstance(second, Scale):
        return scale_after(first, second)
    if isinstance(first, Scale):
        return scale_before(first, second)
    if isinstance(first, Pad):
        return pad_before(first, second)
    if isinstance(first, Transposed) or isinstance(second, Transposed):
        return _with_transposed(first, second)
    first_conv, second_conv = (_as_conv(value, channels, (first, second)) for value in (first, second))
    if first_conv is None or second_conv is None or len(first_conv.kernel) != len(second_conv.kernel):
        return None
    return compose(first_conv, second_conv)


def _as_conv(value: Value, channels: int, pair: tuple[Value, Value]) -> Conv | None:
    if isinstance(value, Pool):
        like = next(
            (neighbour.weight for neighbour in pair if isinstance(neighbour, Conv)), torch.empty(0).double()
        )
        return value.as_conv(channels, like)
    return value if isinstance(value, Conv) else None


def scale_after(first: Value, scale: Scale) -> Value | NotFusible | None:
    """Fold a scale into what comes before it. Always exact (Eq. 2-4)."""
    if isinstance(first, Scale) and first.rank == scale.rank:
        shift = first.shift_or_zeros() * scale.scale + scale.shift_or_zeros()
        bare = first.shift is None and scale.shift is None
        return Scale(first.scale * scale.scale, None if bare else shift, scale.rank)
    if isinstance(first, Conv) and len(first.kernel) == scale.rank:
        folded = fold_scale_shift(first, scale.scale, scale.shift_or_zeros())
        return replace(folded, bias=None) if first.bias is None and scale.shift is None else folded
    if isinstance(first, Transposed) and first.weight.ndim - 2 == scale.rank:
        g = first.groups
        spread = scale.scale.reshape(g, 1, -1, *[1] * scale.rank)
        weight = first.weight.reshape(g, -1, *first.weight.shape[1:]) * spread
        bias = torch.zeros_like(scale.scale) if first.bias is None else first.bias * scale.scale
        return replace(first, weight=weight.reshape(first.weight.shape), bias=bias + scale.shift_or_zeros())
    return None


def scale_before(scale: Scale, second: Value) -> Value | NotFusible | None:
    """Fold a scale into the convolution that reads it; a shift must not meet zero padding."""
    if not isinstance(second, Conv) or len(second.kernel) != scale.rank:
        return None
    diagonal = _diagonal(scale)
    objection = _border(diagonal, second)
    if objection:
        return objection
    g = second.groups
    columns = scale.scale.reshape(g, 1, -1, *[1] * scale.rank)
    weight = second.weight.reshape(g, -1, *second.weight.shape[1:]) * columns
    return replace(second, weight=weight.reshape(second.weight.shape), bias=_product_bias(diagonal, second))


def _diagonal(scale: Scale) -> Conv:
    """Return the depthwise 1x1 convolution that a scale is."""
    ones, zeros = (1,) * scale.rank, (0,) * scale.rank
    weight = scale.scale.reshape(-1, 1, *ones)
    return Conv(weight, scale.shift, ones, zeros, ones, groups=len(weight))


def pad_before(pad: Pad, second: Value) -> Value | NotFusible | None:
    """Take zero padding into what reads it, where both sides are the same."""
    if isinstance(second, Pad) and len(second.before) == len(pad.before):
        before = tuple(a + b for a, b in zip(pad.before, second.before, strict=True))
        return Pad(before, tuple(a + b for a, b in zip(pad.after, second.after, strict=True)))
    if not isinstance(second, Conv | Pool) or len(second.kernel) != len(pad.before):
        return None
    if pad.before != pad.after:
        return NotFusible(
            f"border: zeros are put unevenly, {pad.before} before and {pad.after} after, and a convolution "
            "pads both sides alike",
            "Nothing to do: runtimes fold it themselves",
        )
    padding = tuple(a + b for a, b in zip(pad.before, second.padding, strict=True))
    if isinstance(second, Pool) and any(p > k // 2 for p, k in zip(padding, second.kernel, strict=True)):
        return None
    return replace(second, padding=padding)


def _with_transposed(first: Value, second: Value) -> Value | NotFusible | None:
    """Fuse a transposed convolution with a 1x1 before or after it."""
    if isinstance(first, Transposed) and isinstance(second, Conv):
        return _transposed_then_point(first, second)
    if isinstance(first, Conv) and isinstance(second, Transposed):
        return _point_then_transposed(first, second)
    return None


def _is_point(conv: Conv, beside: Transposed) -> bool:
    plain = {*conv.kernel, *conv.stride} == {1} and set(conv.padding) == {0}
    return plain and (conv.groups, beside.groups) == (1, 1)


def _transposed_then_point(first: Transposed, second: Conv) -> Value | None:
    if not _is_point(second, first):
        return None
    matrix = second.weight.flatten(1)
    weight = torch.einsum("im...,om->io...", first.weight, matrix)
    bias = second.bias if first.bias is None else matrix @ first.bias + second.bias_or_zeros()
    return replace(first, weight=weight, bias=bias)


def _point_then_transposed(first: Conv, second: Transposed) -> Value | NotFusible | None:
    if not _is_point(first, second):
        return None
    if first.bias is not None:
        return NotFusible(
            "border: a transposed convolution reads the first one's bias a different number of times at "
            "every position",
            "Train the first without bias and without batch norm",
        )
    return replace(second, weight=torch.einsum("mi,mo...->io...", first.weight.flatten(1), second.weight))


def compose(first: Conv, second: Conv) -> Conv | NotFusible:
    """Fuse two convolutions, one after another, into one (the paper's vertical operator, Eq. 5-7).

    With `y[p] = sum_a W1[a] x[s1 p + d1 a - p1] + b1` and `z[q] = sum_b W2[b] y[s2 q + d2 b - p2] + b2`
    the taps of the product lie at `s1 d2 b + d1 a`. They form a regular kernel where one of the two is
    a single tap, or where `s1 = 1` and `d1 = d2`. The border is exact where the second does not pad, or
    where it pads what the first maps to zero: no bias, and either a single tap or full padding already.
    """
    objection = _geometry(first, second) or _border(first, second)
    if objection:
        return objection
    if first.groups != second.groups:
        common = math.gcd(first.groups, second.groups)
        first = first if _works_by_channel(first) and second.groups == 1 else densify(first, common)
        second = densify(second, common)
    return Conv(
        weight=_product(first, second),
        bias=_product_bias(first, second),
        stride=tuple(a * b for a, b in zip(first.stride, second.stride, strict=True)),
        padding=tuple(
            p1 + s1 * p2 for p1, s1, p2 in zip(first.padding, first.stride, second.padding, strict=True)
        ),
        dilation=tuple(
            s1 * d2 if k1 == 1 else d1
            for k1, s1, d1, d2 in zip(
                first.kernel, first.stride, first.dilation, second.dilation, strict=True
            )
        ),
        groups=second.groups,
    )


def _works_by_channel(conv: Conv) -> bool:
    return conv.groups == conv.in_channels == conv.out_channels


def _geometry(first: Conv, second: Conv) -> NotFusible | None:
    """Say why the taps of the product do not form a regular kernel, if so."""
    for dim, (k1, k2) in enumerate(zip(first.kernel, second.kernel, strict=True)):
        if k1 == 1 or k2 == 1:
            continue
        if first.stride[dim] != 1 or first.dilation[dim] != second.dilation[dim]:
            return NotFusible(
                f"a kernel of {k1} with stride {first.stride[dim]} and dilation {first.dilation[dim]} before "
                f"a kernel of {k2} with dilation {second.dilation[dim]} makes no regular kernel",
                "Put the stride on the second convolution, or make one of the two a 1x1",
            )
    return None


def border_class(first: Conv, second: Conv) -> str:
    """Name what the second convolution's zero padding does to a fusion of the two.

    - `clean`: it does not pad; or what it pads is what the first gives there, because the first has no
      bias and is a single tap, or is fully padded itself. The product is exact everywhere.
    - `bias leak`: outside the image the first would give its bias, and the padding says 0. The product is
      exact once the bias is carried apart: see `split_bias`.
    - `kernel leak`: outside the image the first's kernel still reaches into it, and the padding says 0. No
      single kernel computes that.
    """
    padded = [dim for dim, p in enumerate(second.padding) if p > 0]
    if any(first.padding[dim] < first.dilation[dim] * (first.kernel[dim] - 1) for dim in padded):
        return KERNEL_LEAK
    return BIAS_LEAK if padded and first.bias is not None else CLEAN


def _border(first: Conv, second: Conv) -> NotFusible | None:
    """Say why the product is wrong at the border, if so."""
    leak = border_class(first, second)
    if leak == BIAS_LEAK:
        return NotFusible(
            "border: the second convolution pads with zeros where the first one would have given its bias, "
            "so the fused kernel would be wrong in the outermost ring",
            "Pad before the first convolution and not between the two (Conv2d(1x1, padding=1) -> "
            "Conv2d(3x3, padding=0), as juggler's fusible blocks do), or train the first without bias and "
            "without batch norm",
        )
    if leak == KERNEL_LEAK:
        return NotFusible(
            "border: the second convolution pads with zeros where the first one's kernel still reaches into "
            "the image",
            "Move all padding to the first convolution",
        )
    return None


def split_bias(first: Conv, second: Conv) -> tuple[Conv, Tensor] | NotFusible:
    """Fuse two convolutions whose border is a `bias leak`, and return the bias apart.

    `second(first(x))` is the fused convolution of `x` plus the second one, its own bias left out, of a map
    that is the first one's bias everywhere inside the image. That map has one value a channel, so the kernel
    by which it is carried has a single input channel, which is 1 inside and 0 outside.

    Returns:
        The fused convolution with the second's bias, and the carrying kernel, `[out, 1, *kernel of second]`.
    """
    if first.bias is None:
        return NotFusible("the first convolution has no bias", "Compose the two")
    linear = compose(replace(first, bias=None), second)
    if isinstance(linear, NotFusible):
        return linear
    g = second.groups
    taps = second.weight.reshape(g, second.out_channels // g, *second.weight.shape[1:])
    carried = torch.einsum("gom...,gm->go...", taps, first.bias.reshape(g, -1))
    return linear, carried.reshape(second.out_channels, 1, *second.kernel)


def _product(first: Conv, second: Conv) -> Tensor:
    """Return the kernel of the product, group by group: `[out, in / groups, *(k1 + k2 - 1)]`."""
    if second.groups == 1 and _works_by_channel(first):
        return _product_of_depthwise(first, second)
    g = first.groups
    w1 = first.weight.reshape(g, first.out_channels // g, *first.weight.shape[1:])
    w2 = second.weight.reshape(g, second.out_channels // g, *second.weight.shape[1:])
    size = tuple(a + b - 1 for a, b in zip(first.kernel, second.kernel, strict=True))
    product = w1.new_zeros(g, w2.shape[1], w1.shape[2], *size)
    for tap in itertools.product(*(range(k) for k in second.kernel)):
        window = tuple(slice(t, t + k) for t, k in zip(tap, first.kernel, strict=True))
        matrix = w2[(slice(None),) * 3 + tap]
        product[(slice(None),) * 3 + window] += torch.einsum("gom,gmi...->goi...", matrix, w1)
    return product.reshape(second.out_channels, w1.shape[2], *size)


def _product_of_depthwise(first: Conv, second: Conv) -> Tensor:
    """Return the product where the first works channel by channel, without writing its zeros out."""
    size = tuple(a + b - 1 for a, b in zip(first.kernel, second.kernel, strict=True))
    product = second.weight.new_zeros(*second.weight.shape[:2], *size)
    spread = (slice(None), slice(None), *[None] * len(first.kernel))
    for tap in itertools.product(*(range(k) for k in second.kernel)):
        window = tuple(slice(t, t + k) for t, k in zip(tap, first.kernel, strict=True))
        matrix = second.weight[(slice(None),) * 2 + tap]
        product[(slice(None),) * 2 + window] += matrix[spread] * first.weight[:, 0]
    return product


def _product_bias(first: Conv, second: Conv) -> Tensor | None:
    if first.bias is None:
        return second.bias
    g = second.groups
    taps = second.weight.reshape(*second.weight.shape[:2], -1).sum(-1)
    taps = taps.reshape(g, second.out_channels // g, -1)
    carried = torch.einsum("gom,gm->go", taps, first.bias.reshape(g, -1)).reshape(-1)
    return carried + second.bias_or_zeros()
