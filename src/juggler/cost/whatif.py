"""What if: the same network with fewer bits, fewer weights or other kernels, counted again.

A change takes one op and returns the ops that stand for it; it leaves alone what it does not apply to.
Changes are applied one after another by `what_if`. Nothing here says what a change does to accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from juggler.cost.hardware.gemm import gemm_of
from juggler.cost.hardware.hierarchy import Hierarchy
from juggler.cost.hardware.row_stationary import MemoryEnergy, Numbers, device_numbers, row_stationary
from juggler.cost.hardware.systolic import estimate
from juggler.count.geometry import Geometry
from juggler.errors import ConfigError
from juggler.nouns import Noun

FLOAT_BITS = 32
MOST_BITS = 64


@dataclass(frozen=True)
class Variant(Noun):
    """One op, and how its numbers are kept; widths of None are float32 in a file and a device's own on it.

    Attributes:
        geometry: the op's sizes.
        weight_bits: of a weight.
        activation_bits: of an input or a result.
        accumulator_bits: of a partial sum.
        density: share of the weights that are kept.
        index_bits: bits that say where a kept weight belongs, for each of them.
        block: inputs and outputs (rows and columns of the weight matrix) that are kept or dropped together.
        skips_zeros: whether the hardware leaves out the multiplications of dropped weights.
        shared: whether its weights are those of an op before it, which has counted them.
    """

    geometry: Geometry
    weight_bits: int | None = None
    activation_bits: int | None = None
    accumulator_bits: int | None = None
    density: float = 1.0
    index_bits: float = 0.0
    block: tuple[int, int] = (1, 1)
    skips_zeros: bool = False
    shared: bool = False


@dataclass(frozen=True)
class Account(Noun):
    """What an op has to do and to keep.

    Attributes:
        macs: multiply-accumulates with kept weights.
        dense_macs: those of all weights, which a device that cannot skip makes.
        weights: kept, and counted with no op before it; a product of two activations has none.
        weight_bytes: of kept weights and their indices.
        operand_bytes: of the second factor of a product of two activations.
        input_bytes: of the activations read.
        output_bytes: of the activations written.
    """

    macs: int
    dense_macs: int
    weights: int
    weight_bytes: int
    operand_bytes: int
    input_bytes: int
    output_bytes: int


Change = Callable[[Variant], tuple[Variant, ...]]


def what_if(network: Iterable[Geometry | Variant], *changes: Change) -> tuple[Variant, ...]:
    """Apply changes to every op of a network, one change after another."""
    variants = tuple(op if isinstance(op, Variant) else Variant(op) for op in network)
    for change in changes:
        variants = tuple(after for before in variants for after in change(before))
    return variants


def account(variant: Variant) -> Account:
    """Count an op's work and bytes."""
    geometry = variant.geometry
    activation, weight = variant.activation_bits or FLOAT_BITS, variant.weight_bits or FLOAT_BITS
    is_product = geometry.kind == "matmul"
    weights = 0 if is_product or variant.shared else math.ceil(geometry.weight_words * variant.density)
    operands = geometry.weight_words if is_product else 0
    return Account(
        macs=math.ceil(geometry.macs * variant.density),
        dense_macs=geometry.macs,
        weights=weights,
        weight_bytes=math.ceil(weights * (weight + variant.index_bits) / 8),
        operand_bytes=math.ceil(operands * activation / 8),
        input_bytes=math.ceil(geometry.in_words * activation / 8),
        output_bytes=math.ceil(geometry.out_words * activation / 8),
    )


def energy(variant: Variant, hierarchy: Hierarchy) -> MemoryEnergy:
    """Return an op's energy on a device by level, see `row_stationary`."""
    device_widths = device_numbers(hierarchy)
    weight_bits = variant.weight_bits or device_widths.weight_bits
    numbers = Numbers(
        weight_bits,
        variant.activation_bits or device_widths.activation_bits,
        variant.accumulator_bits or device_widths.accumulator_bits,
        weight_share=variant.density * (1 + variant.index_bits / weight_bits),
        mac_share=variant.density if variant.skips_zeros else 1.0,
    )
    return row_stationary(variant.geometry, hierarchy, numbers)


def array_cycles(variant: Variant, rows: int, columns: int, dataflow: str) -> int:
    """Return an op's cycles on a systolic array, see `systolic.cycles`.

    Widths do not matter to it, and scattered zeros keep their element busy. Only where whole blocks are
    dropped and a block fills the array a number of times, in a weight-stationary array, are folds left out.

    Raises:
        ConfigError: an array without elements or an unknown dataflow.
    """
    result = estimate(gemm_of(variant.geometry), rows, columns, dataflow)
    spent, folds = int(result.cycles), int(result.folds)
    fits = variant.block[0] % rows == 0 and variant.block[1] % columns == 0
    if dataflow == "weight_stationary" and fits:
        return math.ceil(folds * variant.density) * (spent // folds)
    return spent


def quantise(weight_bits: int, activation_bits: int, accumulator_bits: int = 32) -> Change:
    """Keep numbers in so many bits.

    Raises:
        ConfigError: a width below 1 or above 64.
    """
    widths = {"weight": weight_bits, "activation": activation_bits, "accumulator": accumulator_bits}
    for name, bits in widths.items():
        if not 1 <= bits <= MOST_BITS:
            raise ConfigError(f"quantise to {bits} bits", f"the {name} width {bits}", "Use 1 to 64 bits")
    return lambda op: (
        replace(
            op,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            accumulator_bits=accumulator_bits,
        ),
    )


def prune_weights(density: float, *, index_bits: float = 0.0, skips_zeros: bool = False) -> Change:
    """Keep a share of the weights, wherever they stand.

    Args:
        density: share that is kept.
        index_bits: for each kept weight; 0 leaves the overhead of the format out.
        skips_zeros: whether the hardware leaves out multiplications by dropped weights.

    Raises:
        ConfigError: a density outside (0, 1], or fewer than 0 index bits.
    """
    return prune_blocks(density, (1, 1), index_bits=index_bits, skips_zeros=skips_zeros)


def prune_blocks(
    density: float, block: tuple[int, int], *, index_bits: float = 0.0, skips_zeros: bool = False
) -> Change:
    """Keep a share of the blocks of the weight matrix `[inputs x taps, outputs]`.

    Args:
        density: share that is kept.
        block: its rows and columns.
        index_bits: for each kept block, shared by its weights.
        skips_zeros: whether the hardware leaves out multiplications by dropped weights.

    Raises:
        ConfigError: a density outside (0, 1], an empty block, or fewer than 0 index bits.
    """
    _check_density(density)
    if min(block) < 1 or index_bits < 0:
        raise ConfigError(
            "prune blocks", f"blocks of {block}, {index_bits:g} index bits", "Use 1 x 1 and 0 bits or more"
        )
    each = index_bits / (block[0] * block[1])

    def change(op: Variant) -> tuple[Variant, ...]:
        if op.geometry.kind == "matmul":
            return (op,)
        # What is left of scattered weights has no blocks to leave out any more.
        return (
            replace(
                op,
                density=op.density * density,
                index_bits=each,
                block=block if op.density == 1 else (1, 1),
                skips_zeros=skips_zeros,
            ),
        )

    return change


def prune_channels(density: float, *, inputs: bool = True, outputs: bool = True) -> Change:
    """Keep a share of the channels, at least one a group; products of activations are left alone.

    A depthwise convolution has the channels that its input has: `inputs` decides.

    Raises:
        ConfigError: a density outside (0, 1].
    """
    _check_density(density)

    def change(op: Variant) -> tuple[Variant, ...]:
        was = op.geometry
        if was.kind == "matmul":
            return (op,)
        groups, per_in, per_out = was.groups, was.in_channels // was.groups, was.out_channels // was.groups
        if per_in == 1 and groups > 1:
            groups = _share(groups, density) if inputs else groups
        else:
            per_in = _share(per_in, density) if inputs else per_in
            per_out = _share(per_out, density) if outputs else per_out
        now = replace(was, groups=groups, in_channels=groups * per_in, out_channels=groups * per_out)
        return (replace(op, geometry=now),)

    return change


def narrow(network: Sequence[Geometry | Variant], density: float) -> tuple[Variant, ...]:
    """Keep a share of all channels but those that the network reads and those that it answers with.

    Raises:
        ConfigError: a density outside (0, 1].
    """
    variants = what_if(network)
    last = len(variants) - 1
    changes = (prune_channels(density, inputs=i > 0, outputs=i < last) for i in range(len(variants)))
    return tuple(op for before, change in zip(variants, changes, strict=True) for op in change(before))


def _share(channels: int, density: float) -> int:
    return max(1, math.floor(channels * density + 0.5))


def _check_density(density: float) -> None:
    if not 0 < density <= 1:
        raise ConfigError("prune", f"a density of {density:g}", "Keep more than 0 and at most 1")
