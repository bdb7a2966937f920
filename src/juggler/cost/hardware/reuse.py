"""Memory accesses: four for each multiply-accumulate, and what each kind of reuse saves.

A MAC reads an input, a weight and a partial sum and writes the partial sum (the analysis paper, Fig. 26). Its
section IV names what can be reused. Each kind divides one of the four by a whole number:

    convolutional   weights        positions of one output map, E^2
    image           inputs         filters that read the same channels, M
    filter          weights        inputs of the batch, N
    partial_sum     partial sums   all but one write an output: they stay where they are added up

Below that, accesses are split over the levels of a hierarchy by reuse factors, as in Eyeriss (ISCA 2016).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from juggler.cost.hardware.hierarchy import LEVELS, Hierarchy
from juggler.count.geometry import Geometry
from juggler.errors import ConfigError
from juggler.nouns import Noun

REUSES = ("convolutional", "image", "filter", "partial_sum")


@dataclass(frozen=True)
class Accesses(Noun):
    """Words moved between memory and the multiplier.

    Attributes:
        macs: multiply-accumulates that they serve.
        input_reads: activations read.
        weight_reads: weights read.
        sum_reads: partial sums read.
        sum_writes: partial sums and results written.
    """

    macs: int
    input_reads: int
    weight_reads: int
    sum_reads: int
    sum_writes: int

    @property
    def total(self) -> int:
        """Return all accesses."""
        return self.input_reads + self.weight_reads + self.sum_reads + self.sum_writes

    @property
    def per_mac(self) -> float:
        """Return the accesses of one multiply-accumulate: 4 without reuse."""
        return self.total / self.macs

    def __add__(self, other: Accesses) -> Accesses:
        return Accesses(
            self.macs + other.macs,
            self.input_reads + other.input_reads,
            self.weight_reads + other.weight_reads,
            self.sum_reads + other.sum_reads,
            self.sum_writes + other.sum_writes,
        )


@dataclass(frozen=True)
class Split(Noun):
    """How often a word is used at each level for each time that it comes from the level outside.

    Attributes:
        dram: times that a word is fetched from DRAM, `a` of the paper; of partial sums, how often one is
        taken
            up again in DRAM.
        buffer: uses in the buffer a fetch, `b`.
        array: deliveries to elements a use, `c`.
        register: uses in an element a delivery, `d`.
    """

    dram: float
    buffer: float
    array: float
    register: float

    def __post_init__(self) -> None:
        if min(self.dram, self.buffer, self.array, self.register) < 1:
            raise ConfigError(
                "split accesses over the levels",
                f"the factors {self.dram:g}, {self.buffer:g}, {self.array:g}, {self.register:g}",
                "A factor is 1 or more: 1 is no reuse at that level",
            )


def accesses(geometry: Geometry, reuse: Collection[str] = ()) -> Accesses:
    """Count the accesses of an op under some of the `REUSES`; none is four for each MAC.

    A product of two activations has no weights that its batch could share: `filter` saves nothing there.

    Raises:
        ConfigError: a reuse that there is not.
    """
    for name in reuse:
        if name not in REUSES:
            raise ConfigError(
                f"count accesses with the reuse {name!r}", "there is none", f"There are: {', '.join(REUSES)}"
            )
    macs = geometry.macs
    weight_uses = input_uses = 1
    if "convolutional" in reuse:
        weight_uses *= geometry.positions
    if "filter" in reuse and geometry.kind != "matmul":
        weight_uses *= geometry.batch
    if "image" in reuse:
        input_uses = geometry.out_channels // geometry.groups
    local = "partial_sum" in reuse
    return Accesses(
        macs=macs,
        input_reads=macs // input_uses,
        weight_reads=macs // weight_uses,
        sum_reads=0 if local else macs,
        sum_writes=geometry.out_words if local else macs,
    )


def access_energy(accesses: Accesses, hierarchy: Hierarchy, level: str = "dram") -> float:
    """Return the energy of accesses that all go to one level, in the hierarchy's `energy_unit`; no MACs.

    Raises:
        ConfigError: there is no such level.
    """
    return accesses.total * hierarchy.energy_per_bit(level) * hierarchy.word_bits


def read_accesses(split: Split) -> dict[str, float]:
    """Return the accesses of one input or weight at each level: `a, ab, abc, abcd`."""
    outside, by_level = 1.0, {}
    for level, factor in zip(LEVELS, (split.dram, split.buffer, split.array, split.register), strict=True):
        outside *= factor
        by_level[level] = outside
    return by_level


def sum_accesses(split: Split) -> dict[str, float]:
    """Return the accesses of one result's partial sums: `2a - 1, 2a(b - 1), ab(c - 1), 2abc(d - 1)`.

    Each addition reads and writes, but a neighbour's sum comes by one transfer, and the first of all in DRAM
    is written only.
    """
    a, b, c, d = split.dram, split.buffer, split.array, split.register
    return dict(
        zip(LEVELS, (2 * a - 1, 2 * a * (b - 1), a * b * (c - 1), 2 * a * b * c * (d - 1)), strict=True)
    )
