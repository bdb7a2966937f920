"""Energy by level of the row-stationary dataflow of Eyeriss (Chen, Emer, Sze, ISCA 2016).

`mapping` chooses how an op lies on the device; the paper's formulas, `reuse.read_accesses` and
`reuse.sum_accesses`, turn the reuse factors into accesses at each level, and the device's file gives their
energy. Padding is not fetched, zeros are not skipped and nothing is compressed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from juggler.checks import ABOVE_0, FINITE, Range, check_ranges
from juggler.cost.hardware.hierarchy import LEVELS, Hierarchy
from juggler.cost.hardware.mapping import Widths, cheapest_mapping, loops_of
from juggler.cost.hardware.reuse import Split, read_accesses, sum_accesses
from juggler.count.geometry import Geometry
from juggler.errors import ConfigError
from juggler.nouns import Noun


@dataclass(frozen=True)
class Numbers(Noun):
    """How numbers are kept and how many of them count.

    Attributes:
        weight_bits: of a weight.
        activation_bits: of an input or a result.
        accumulator_bits: of a partial sum.
        weight_share: bits of weights moved for each bit of the dense layer, indices included.
        mac_share: multiply-accumulates made for each of the dense layer.
    """

    weight_bits: int
    activation_bits: int
    accumulator_bits: int
    weight_share: float = 1.0
    mac_share: float = 1.0

    def __post_init__(self) -> None:
        width, share = Range(1, FINITE, "1 or more"), Range(ABOVE_0, FINITE, "more than 0")
        ranges = dict.fromkeys(("weight_bits", "activation_bits", "accumulator_bits"), width)
        check_ranges(self, ranges | dict.fromkeys(("weight_share", "mac_share"), share), "set bit widths")


@dataclass(frozen=True)
class LevelEnergy(Noun):
    """Words moved at one level, and their energy in the device's unit."""

    level: str
    input_words: float
    weight_words: float
    sum_words: float
    energy: float


@dataclass(frozen=True)
class MemoryEnergy(Noun):
    """What one op costs on a device; modelled.

    Attributes:
        device: its name.
        energy_unit: of all energies.
        macs: multiply-accumulates made.
        mac_energy: of all of them.
        levels: outermost first.
        inputs: reuse factors of an input.
        weights: of a weight.
        sums: of a result's partial sums.
    """

    device: str
    energy_unit: str
    macs: float
    mac_energy: float
    levels: tuple[LevelEnergy, ...]
    inputs: Split
    weights: Split
    sums: Split

    @property
    def energy(self) -> float:
        """Return the energy of arithmetic and all levels."""
        return self.mac_energy + sum(level.energy for level in self.levels)

    def at(self, name: str) -> LevelEnergy:
        """Return what happens at a level.

        Raises:
            ConfigError: there is none of that name.
        """
        for level in self.levels:
            if level.level == name:
                return level
        raise ConfigError(
            f"read the energy at {name!r}", "there is no such level", f"There are: {', '.join(LEVELS)}"
        )


@lru_cache(maxsize=4096)
def row_stationary(geometry: Geometry, hierarchy: Hierarchy, numbers: Numbers | None = None) -> MemoryEnergy:
    """Return the energy of an op by level under the row-stationary dataflow.

    Args:
        geometry: the op.
        hierarchy: the device.
        numbers: bit widths and shares; None is the device's own, dense.
    """
    numbers = numbers or device_numbers(hierarchy)
    loops = loops_of(geometry)
    bits = Widths(numbers.activation_bits, numbers.weight_bits, numbers.accumulator_bits)
    mapping = cheapest_mapping(loops, hierarchy, bits)
    words = (loops.inputs, loops.weights, loops.results)
    uses = (loops.macs / loops.inputs, loops.macs / loops.weights, float(loops.sums))
    inputs, weights, sums = (
        _split(*factors) for factors in zip(uses, mapping.dram, mapping.array, mapping.register, strict=True)
    )
    levels = []
    for level in LEVELS:
        # Only MACs that are made look into registers; what is not stored is not moved.
        inside = level == "register"
        share = numbers.mac_share if inside else 1.0
        stored = numbers.mac_share if inside else numbers.weight_share
        moved = (
            loops.times * words[0] * read_accesses(inputs)[level] * share,
            loops.times * words[1] * read_accesses(weights)[level] * stored,
            loops.times * words[2] * sum_accesses(sums)[level] * share,
        )
        total_bits = sum(count * width for count, width in zip(moved, bits, strict=True))
        if level == "dram":
            # The last write of each result is no partial sum any more: it has the width of an activation.
            total_bits += loops.times * words[2] * (bits.activation - bits.accumulator)
        levels.append(LevelEnergy(level, *moved, total_bits * hierarchy.energy_per_bit(level)))
    macs = geometry.macs * numbers.mac_share
    arithmetic = macs * mac_energy(hierarchy, numbers)
    return MemoryEnergy(
        hierarchy.name, hierarchy.energy_unit, macs, arithmetic, tuple(levels), inputs, weights, sums
    )


def device_numbers(hierarchy: Hierarchy) -> Numbers:
    """Return the bit widths that a device is made for."""
    return Numbers(hierarchy.word_bits, hierarchy.word_bits, hierarchy.accumulator_bits)


def mac_energy(hierarchy: Hierarchy, numbers: Numbers) -> float:
    """Return the energy of one MAC: a multiplier's grows with the product of its two widths.

    So do the figures of Horowitz (ISSCC 2014): 3.1 pJ for 32 x 32 bits and 0.2 pJ for 8 x 8.
    """
    return hierarchy.mac_energy * numbers.weight_bits * numbers.activation_bits / hierarchy.word_bits**2


def _split(uses: float, dram: float, array: float, register: float) -> Split:
    """Return factors whose product is `uses`; what is left over falls to the buffer."""
    a = min(max(1.0, dram), max(1.0, uses))
    d = max(1.0, min(register, uses / a))
    c = max(1.0, min(array, uses / (a * d)))
    return Split(a, max(1.0, uses / (a * c * d)), c, d)
