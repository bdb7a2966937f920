"""The shape of one op's arithmetic: all that a count, an array or a memory has to know of it.

A convolution of one, two or three dimensions, a transposed one, a linear layer and a product of two
activations are one noun, so that the models of hardware need no operators and no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from juggler.checks import check_wholes
from juggler.errors import ConfigError
from juggler.nouns import Noun

KINDS = ("conv", "transposed", "linear", "matmul")


@dataclass(frozen=True)
class Geometry(Noun):
    """Sizes of one op that multiplies and accumulates.

    Attributes:
        kind: `conv`, `transposed`, `linear`, or `matmul`, whose second factor is an activation too, so
            that each member of the batch has its own.
        batch: inputs at once.
        in_channels: channels read, all groups together; of a linear layer its input features; of a product
            `[m, k] x [k, n]` in `g` heads `g k`.
        out_channels: channels written, all groups together; of a product `g n`.
        kernel: taps along each dimension; empty for linear layers and products.
        stride: one number a dimension of the kernel, as are padding and dilation.
        padding: zeros on each side.
        dilation: distance of neighbouring taps.
        groups: groups of channels that do not see each other; heads of a product.
        in_size: positions read along each dimension. A linear layer on `[batch, tokens, features]` has
            `(tokens,)`, one on `[batch, features]` has `()`; a product has `(m,)`.
        out_size: positions written.
    """

    kind: str
    batch: int
    in_channels: int
    out_channels: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    in_size: tuple[int, ...] = ()
    out_size: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError("describe an op", f"the kind {self.kind!r}", f"Choose from {', '.join(KINDS)}")
        self._check_numbers()
        dimensions = len(self.kernel)
        widths = {len(self.stride), len(self.padding), len(self.dilation), dimensions}
        if self.windowed:
            widths |= {len(self.in_size), len(self.out_size)}
        if len(widths) > 1 or (dimensions == 0) == self.windowed:
            raise ConfigError(
                f"describe a {self.kind}",
                f"kernel {self.kernel}, stride {self.stride}, padding {self.padding}, dilation "
                f"{self.dilation}, in_size {self.in_size}, out_size {self.out_size}",
                "Give a convolution one number a dimension in each, and other ops none of the kernel's",
            )
        if self.kind == "conv":
            written = _out_size(self.in_size, self.kernel, self.stride, self.padding, self.dilation)
            if written != self.out_size:
                raise ConfigError(
                    f"describe a conv that writes {self.out_size}",
                    f"its kernel, stride, padding and dilation write {written} from {self.in_size}",
                    "Correct the sizes, or make it with Geometry.conv, which works them out",
                )

    def _check_numbers(self) -> None:
        request, numbers = f"describe a {self.kind}", {n: v for n, v in vars(self).items() if n != "kind"}
        check_wholes({"padding": numbers.pop("padding")}, request, least=0)
        check_wholes(numbers, request)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ConfigError(
                f"describe a {self.kind} of {self.groups} groups",
                f"{self.in_channels} channels in, {self.out_channels} out",
                "Make both multiples of the groups",
            )

    @classmethod
    def conv(
        cls,
        in_channels: int,
        out_channels: int,
        kernel: int | Sequence[int],
        in_size: Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        batch: int = 1,
    ) -> Self:
        """Describe a convolution and work out what it writes; one number stands for all dimensions.

        Raises:
            ConfigError: the sizes make no convolution.
        """
        size = tuple(in_size)
        kernel, stride, padding, dilation = (
            (value,) * len(size) if isinstance(value, int) else tuple(value)
            for value in (kernel, stride, padding, dilation)
        )
        if len({len(size), len(kernel), len(stride), len(padding), len(dilation)}) > 1 or 0 in stride:
            raise ConfigError(
                f"describe a convolution of {size}",
                f"kernel {kernel}, stride {stride}, padding {padding}, dilation {dilation}",
                "Give one number, or one a dimension; no stride is 0",
            )
        out = _out_size(size, kernel, stride, padding, dilation)
        if any(value < 1 for value in out):
            raise ConfigError(
                f"describe a convolution of {size}",
                f"it would write {out}",
                "Give a larger input, a smaller kernel or more padding",
            )
        return cls(
            "conv", batch, in_channels, out_channels, kernel, stride, padding, dilation, groups, size, out
        )

    @classmethod
    def linear(cls, in_features: int, out_features: int, *, positions: int = 1, batch: int = 1) -> Self:
        """Describe a linear layer on `[batch, positions, in_features]`.

        Raises:
            ConfigError: a size is below 1.
        """
        size = () if positions == 1 else (positions,)
        return cls("linear", batch, in_features, out_features, in_size=size, out_size=size)

    @classmethod
    def matmul(cls, m: int, k: int, n: int, *, heads: int = 1, batch: int = 1) -> Self:
        """Describe products `[m, k] x [k, n]` of two activations: one a head and member of the batch.

        Raises:
            ConfigError: a size is below 1.
        """
        return cls("matmul", batch, heads * k, heads * n, groups=heads, in_size=(m,), out_size=(m,))

    @property
    def windowed(self) -> bool:
        """Say whether a kernel slides over positions."""
        return self.kind in ("conv", "transposed")

    @property
    def taps(self) -> int:
        """Return the taps of the kernel: 9 for 3x3, 1 without a kernel."""
        return math.prod(self.kernel)

    @property
    def positions(self) -> int:
        """Return at how many positions of one input each weight is used.

        Those written; of a transposed convolution, which multiplies every pixel it reads, those read.
        """
        return math.prod(self.in_size if self.kind == "transposed" else self.out_size)

    @property
    def macs(self) -> int:
        """Return multiply-accumulates; taps that fall on padding count, as they do on an array."""
        positions = self.batch * self.positions
        macs: int = macs_of(
            positions, self.in_channels, self.out_channels, groups=self.groups, taps=self.taps
        )
        return macs

    @property
    def weight_words(self) -> int:
        """Return the numbers of the second factor: weights without bias, or a product's activations."""
        words = self.in_channels * self.out_channels // self.groups * self.taps
        return words * self.batch if self.kind == "matmul" else words

    @property
    def in_words(self) -> int:
        """Return the numbers read: the batch's activations, without padding."""
        return self.batch * self.in_channels * math.prod(self.in_size)

    @property
    def out_words(self) -> int:
        """Return the numbers written."""
        return self.batch * self.out_channels * math.prod(self.out_size)


def macs_of(positions: Any, in_channels: Any, out_channels: Any, *, groups: Any = 1, taps: Any = 1) -> Any:
    """Return multiply-accumulates: each weight is used once at each position.

    This is the one formula of the house. It takes whole numbers, or arrays of them.

    Args:
        positions: those written, over the batch; of a transposed convolution those read.
        in_channels: channels read, all groups together.
        out_channels: channels written, all groups together.
        groups: groups of channels that do not see each other.
        taps: taps of the kernel.
    """
    return positions * (in_channels // groups) * out_channels * taps


def macs_of_layer(
    weight: Sequence[int], read: Sequence[int], written: Sequence[int], *, transposed: bool = False
) -> int:
    """Return the multiply-accumulates of a convolution or a linear layer by the shapes of its tensors.

    Args:
        weight: `[out, in / groups, *kernel]`; of a transposed convolution `[in, out / groups, *kernel]`.
        read: `[batch, in, *space]`, or `[..., in]` of a linear layer.
        written: likewise.
        transposed: whether it is a transposed convolution.
    """
    positions = math.prod(read if transposed else written) // max(weight[0], 1)
    macs: int = macs_of(positions, weight[1], weight[0], taps=math.prod(weight[2:]))
    return macs


def _out_size(
    in_size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> tuple[int, ...]:
    return tuple(
        (size + 2 * pad - gap * (taps - 1) - 1) // step + 1
        for size, taps, step, pad, gap in zip(in_size, kernel, stride, padding, dilation, strict=True)
    )
