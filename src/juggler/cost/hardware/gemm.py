"""Ops as matrix products: what a systolic array, and every model of one, computes.

A convolution of `g` groups is `g` products `[M, K] x [K, N]`: M positions of all inputs of the batch, K taps
of the channels that one output sees, N outputs of one group. The input is unrolled (im2col); an array that
has to do it itself pays for it beyond what is counted here.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from juggler.checks import FINITE, Range, check_ranges
from juggler.count.geometry import Geometry
from juggler.errors import ConfigError
from juggler.nouns import Noun

LARGEST = 2**63 - 1  # of int64
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Gemm(Noun):
    """`count` products of `[m, k]` and `[k, n]`, one after another."""

    m: int
    k: int
    n: int
    count: int = 1

    def __post_init__(self) -> None:
        at_least_1 = Range(1, FINITE, "1 or more")
        check_ranges(self, dict.fromkeys(("m", "k", "n", "count"), at_least_1), "describe a product")

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of all products."""
        return self.m * self.k * self.n * self.count


@dataclass(frozen=True, eq=False)
class Gemms:
    """Many products as arrays of one shape `[layers]`: what the models compute on at once.

    Attributes:
        m: rows of each left factor.
        k: its columns.
        n: columns of each right factor.
        count: how many such products run one after another.
    """

    m: Whole
    k: Whole
    n: Whole
    count: Whole

    @classmethod
    def of(cls, gemms: Sequence[Gemm]) -> Self:
        """Put products side by side, in their order.

        Raises:
            ConfigError: there are none, or a number is beyond 64 bits.
        """
        if not gemms:
            raise ConfigError("model a network on an array", "no products", "Give it one layer or more")
        if max(max(g.m, g.k, g.n, g.count) for g in gemms) > LARGEST:
            raise ConfigError("model a network on an array", "a size beyond 64 bits", "Check its layers")
        columns = zip(*((g.m, g.k, g.n, g.count) for g in gemms), strict=True)
        return cls(*(np.array(column, dtype=np.int64) for column in columns))

    def __len__(self) -> int:
        return len(self.m)


def gemm_of(geometry: Geometry) -> Gemm:
    """Return the products that an op is.

    The weights of a transposed convolution give every tap of every pixel read, which are added up afterwards.
    A product of activations has other factors for each member of the batch, so the batch counts products
    there and rows elsewhere.
    """
    k = geometry.in_channels // geometry.groups
    n = geometry.out_channels // geometry.groups
    if geometry.kind == "matmul":
        return Gemm(geometry.positions, k, n, geometry.groups * geometry.batch)
    m = geometry.batch * geometry.positions
    if geometry.kind == "transposed":
        return Gemm(m, k, n * geometry.taps, geometry.groups)
    return Gemm(m, k * geometry.taps, n, geometry.groups)


def network_gemms(network: Sequence[Geometry], counts: Sequence[int] | None = None) -> Gemms:
    """Return the products of a network; equal ones are one, with their counts added.

    Args:
        network: its ops.
        counts: how often each runs; None is once each.

    Raises:
        ConfigError: there are no ops, other counts than ops, or a count below 1.
    """
    times = [1] * len(network) if counts is None else list(counts)
    if len(times) != len(network) or any(time < 1 for time in times):
        raise ConfigError(
            f"count {len(network)} ops", f"the counts {times[:8]}", "Give one count of 1 or more for each op"
        )
    merged: dict[tuple[int, int, int], int] = {}
    for geometry, time in zip(network, times, strict=True):
        gemm = gemm_of(geometry)
        shape = (gemm.m, gemm.k, gemm.n)
        merged[shape] = merged.get(shape, 0) + gemm.count * time
    return Gemms.of([Gemm(*shape, count) for shape, count in merged.items()])


def product(what: str, *factors: Whole) -> Whole:
    """Multiply whole numbers element by element, refusing what 64 bits cannot hold.

    Raises:
        ConfigError: names `what` came out too large.
    """
    shape = np.broadcast_shapes(*(f.shape for f in factors))
    if 0 in shape:
        return np.zeros(shape, np.int64)
    if math.prod(int(f.max()) for f in factors) > LARGEST:
        # The largest of each may never meet: only now look at every element, in floating point.
        rough = np.ones(shape)
        for factor in factors:
            rough = rough * factor
        if float(rough.max()) >= 0.999 * LARGEST:
            raise ConfigError(
                f"work out {what}", f"about {float(rough.max()):.2g}, beyond 64 bits", "Split the network"
            )
    return functools.reduce(operator.mul, factors)


def total(what: str, values: Whole) -> Whole:
    """Add whole numbers along the last axis, refusing what 64 bits cannot hold.

    Raises:
        ConfigError: names `what` came out too large.
    """
    rough = float(values.sum(axis=-1, dtype=np.float64).max(initial=0.0))
    if rough >= 0.999 * LARGEST:
        raise ConfigError(f"add up {what}", f"about {rough:.2g}, beyond 64 bits", "Split the network")
    out: Whole = values.sum(axis=-1)
    return out
