"""How the row-stationary dataflow lays an op on a device: what elements keep, and what the buffer holds.

Each element keeps a row of taps of `p` filters and `q` channels and slides it along a row of inputs. A set of
elements is as high as the kernel and `strip` output rows wide; `r` sets share out channels and `t` sets
filters. The buffer holds a tile of inputs, weights and partial sums at once. Both are searched for the least
energy, one apart from the other; what they have in common is the number of inputs that pass together.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from juggler.cost.hardware.hierarchy import LEVELS, Hierarchy
from juggler.count.geometry import Geometry

_TRIED = 24  # sizes tried for each side of a tile
_UNBOUNDED = 2.0**60
_Grid = NDArray[np.float64]


class Widths(NamedTuple):
    """Bits of an activation, a weight and a partial sum."""

    activation: int
    weight: int
    accumulator: int


class Loops(NamedTuple):
    """The loops of one group: `n` inputs, `m` filters, `c` channels, a kernel, rows and columns."""

    times: int
    n: int
    m: int
    c: int
    out_columns: int
    in_columns: int
    out_rows: int = 1
    in_rows: int = 1
    kernel_rows: int = 1
    kernel_columns: int = 1
    row_stride: int = 1
    column_stride: int = 1

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of a group."""
        return self.results * self.sums

    @property
    def results(self) -> int:
        """Return the numbers that a group writes."""
        return self.n * self.m * self.out_rows * self.out_columns

    @property
    def sums(self) -> int:
        """Return the products that are added up to one result."""
        return self.c * self.kernel_rows * self.kernel_columns

    @property
    def inputs(self) -> int:
        """Return the numbers that a group reads: where strides skip some, no more than it has MACs."""
        return min(self.n * self.c * self.in_rows * self.in_columns, self.macs)

    @property
    def weights(self) -> int:
        """Return the weights of a group."""
        return self.m * self.sums


class Mapping(NamedTuple):
    """The reuse factors of a choice: those of the array and the registers, and how often DRAM is asked.

    Each is a triple: of an input, of a weight, of a result's partial sums.
    """

    energy: float
    dram: tuple[float, float, float]
    array: tuple[float, float, float]
    register: tuple[float, float, float]


class _Side(NamedTuple):
    energy: float
    factors: tuple[float, ...]


def loops_of(geometry: Geometry) -> Loops:
    """Return an op's loops; what has no kernel is one row of positions, a transposed convolution a 1x1."""
    c, m = geometry.in_channels // geometry.groups, geometry.out_channels // geometry.groups
    if geometry.kind == "conv":
        return Loops(
            geometry.groups,
            geometry.batch,
            m,
            c,
            out_columns=math.prod(geometry.out_size[1:]),
            in_columns=math.prod(geometry.in_size[1:]),
            out_rows=geometry.out_size[0],
            in_rows=geometry.in_size[0],
            kernel_rows=geometry.kernel[0],
            kernel_columns=math.prod(geometry.kernel[1:]),
            row_stride=geometry.stride[0],
            column_stride=math.prod(geometry.stride[1:]),
        )
    places = geometry.positions
    if geometry.kind == "matmul":
        return Loops(geometry.groups * geometry.batch, 1, m, c, places, places)
    if geometry.kind == "transposed":
        m *= geometry.taps
    return Loops(geometry.groups, geometry.batch, m, c, places, places)


def cheapest_mapping(loops: Loops, hierarchy: Hierarchy, bits: Widths) -> Mapping:
    """Return the mapping of the least energy among those tried."""
    mappings = []
    for images in _pieces(loops.n):
        array = _on_array(loops, hierarchy, bits, int(images))
        buffer = _in_buffer(loops, hierarchy, bits, int(images))
        c_in, d_in, c_weight, d_weight, c_sum, d_sum = array.factors
        a_in, a_weight, a_sum = buffer.factors
        mappings.append(
            Mapping(
                array.energy + buffer.energy,
                (a_in, a_weight, a_sum),
                (c_in, c_weight, c_sum),
                (d_in, d_weight, d_sum),
            )
        )
    return min(mappings, key=lambda mapping: mapping.energy)


def _pieces(length: int) -> _Grid:
    """Return sizes of pieces to cut a length into, rising: at most `_TRIED`, 1 and all among them."""
    counts = np.unique(np.geomspace(1, length, _TRIED).round())
    return np.unique(np.ceil(length / counts))


def _on_array(loops: Loops, hierarchy: Hierarchy, bits: Widths, images: int) -> _Side:
    """Choose p, q, r, t and the strip; factors: array and register of inputs, of weights, of sums."""
    elements = hierarchy.rows * hierarchy.columns
    high = min(loops.kernel_rows, elements)
    p = _pieces(loops.m)[:, None, None]
    strip = _pieces(loops.out_rows)[:, None]
    t = _pieces(loops.m)
    taps, q, fits = _in_registers(loops, hierarchy, bits, p)
    placed = (high * strip * t <= elements) & (t < loops.m / p + 1) | (strip == 1) & (t == 1)
    r = np.clip(elements // (high * strip * t), 1, np.ceil(loops.c / q))
    d_in = np.maximum(1, p * taps / loops.column_stride)
    c_in = np.maximum(1, np.minimum(loops.kernel_rows / loops.row_stride, strip)) * t
    d_weight = np.float64(loops.out_columns * images)
    d_sum = taps * q
    c_sum = np.minimum(high * r, loops.sums / d_sum)
    factors = np.broadcast_arrays(c_in, d_in, strip, d_weight, c_sum, d_sum)
    energy = np.where(fits & placed, _inner_energy(loops, hierarchy, bits, factors), np.inf)
    place = np.unravel_index(int(energy.argmin()), energy.shape)
    return _Side(float(energy[place]), tuple(float(factor[place]) for factor in factors))


def _in_registers(
    loops: Loops, hierarchy: Hierarchy, bits: Widths, p: _Grid
) -> tuple[int, _Grid, NDArray[np.bool_]]:
    """Return the taps of a row that an element keeps, the channels beside p filters, and whether they fit."""
    room = _room(hierarchy, "register")
    taps = int((room - bits.accumulator) // (bits.weight + bits.activation))
    taps = max(1, min(loops.kernel_columns, taps))
    each = taps * (p * bits.weight + bits.activation)
    q = np.clip((room - p * bits.accumulator) // each, 1, loops.c)
    fits = q * each + p * bits.accumulator <= room
    sums = hierarchy.level("register").sum_bytes
    if sums is not None:
        fits &= p * bits.accumulator <= sums * 8
    # One filter and one channel is what every device can do: registers below that are not modelled.
    return taps, q, (p == 1) | fits


def _inner_energy(loops: Loops, hierarchy: Hierarchy, bits: Widths, factors: tuple[_Grid, ...]) -> _Grid:
    """Return the energy of array, buffer and registers; what no choice changes is left out."""
    c_in, d_in, c_weight, d_weight, c_sum, d_sum = factors
    inputs = loops.macs / d_in * bits.activation
    weights = loops.macs / d_weight * bits.weight
    sums = float(loops.macs) * bits.accumulator
    price = {level: hierarchy.energy_per_bit(level) for level in LEVELS}
    passed = inputs + weights + sums / d_sum * (c_sum - 1) / c_sum
    buffered = inputs / c_in + weights / c_weight + 2 * sums * (1 / (c_sum * d_sum) - 1 / loops.sums)
    accumulated = 2 * sums * (d_sum - 1) / d_sum
    energy: _Grid = price["array"] * passed + price["buffer"] * buffered + price["register"] * accumulated
    return energy


def _in_buffer(loops: Loops, hierarchy: Hierarchy, bits: Widths, images: int) -> _Side:
    """Choose the tile and what stays there longest; factors are how often DRAM is asked."""
    rows = _pieces(loops.out_rows)[:, None, None]
    filters = _pieces(loops.m)[:, None]
    channels = _pieces(loops.c)
    seen = np.minimum(loops.in_rows, (rows - 1) * loops.row_stride + loops.kernel_rows)
    size = (
        images * channels * seen * loops.in_columns * bits.activation
        + images * filters * rows * loops.out_columns * bits.accumulator
        + filters * channels * (loops.kernel_rows * loops.kernel_columns) * bits.weight
    )
    strips = np.ceil(loops.out_rows / rows)
    again = np.maximum(1, strips * seen / loops.in_rows)  # rows that two strips share are fetched twice
    by_filters = again * np.ceil(loops.m / filters)
    by_images = math.ceil(loops.n / images) * strips
    by_channels = np.ceil(loops.c / channels)
    once = np.ones(1)
    orders = [
        np.broadcast_arrays(by_filters, by_images, once, size)[:3],  # partial sums stay
        np.broadcast_arrays(again, by_images, by_channels, size)[:3],  # inputs stay
        np.broadcast_arrays(by_filters, once, by_channels, size)[:3],  # weights stay
    ]
    # Where not even the smallest tile fits, it is cut along its rows, which costs nothing more.
    fits = (size <= _room(hierarchy, "buffer")) | (size == size.min())
    best = _Side(math.inf, ())
    for a_in, a_weight, a_sum in orders:
        energy = np.where(fits, _outer_energy(loops, hierarchy, bits, (a_in, a_weight, a_sum)), np.inf)
        place = np.unravel_index(int(energy.argmin()), energy.shape)
        if energy[place] < best.energy:
            best = _Side(float(energy[place]), tuple(float(a[place]) for a in (a_in, a_weight, a_sum)))
    return best


def _outer_energy(
    loops: Loops, hierarchy: Hierarchy, bits: Widths, fetches: tuple[_Grid, _Grid, _Grid]
) -> _Grid:
    """Return the energy of DRAM: a result is written once, and each pass before that is written and read."""
    inputs, weights, sums = fetches
    moved: _Grid = (
        float(loops.inputs) * inputs * bits.activation
        + float(loops.weights) * weights * bits.weight
        + float(loops.results) * (bits.activation + 2 * (sums - 1) * bits.accumulator)
    )
    return moved * hierarchy.energy_per_bit("dram")


def _room(hierarchy: Hierarchy, level: str) -> float:
    capacity = hierarchy.level(level).capacity_bytes
    return _UNBOUNDED if capacity is None else capacity * 8.0
