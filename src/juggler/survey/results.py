"""What a survey gives: one noun a network, and all of them with the machine and the hardware described."""

from __future__ import annotations

from dataclasses import dataclass, field

from juggler.cost.hardware.sweep import Choice
from juggler.nouns import Machine, Noun, Skipped
from juggler.survey.amount import Amount

FORMAT = "juggler.survey/1"


@dataclass(frozen=True)
class Share(Noun):
    """What one kind of layer has of a network's work and of its cycles on an array, each 0 to 1."""

    kind: str
    macs: float
    cycles: float


@dataclass(frozen=True)
class AtPrecision(Noun):
    """A network with all numbers in so many bits, partial sums apart.

    Attributes:
        bits: of weights and activations.
        weight_mb: all weights of layers that multiply, each once, in 10^6 bytes.
        energy_mj: of one image on the survey's device; modelled.
        loss: points of top-1 accuracy lost against float32.
        operand_mb: second factors of products of two activations, which are no weights, in 10^6 bytes.
    """

    bits: int
    weight_mb: float
    energy_mj: float
    loss: Amount
    operand_mb: float = 0.0


@dataclass(frozen=True)
class WhatIf(Noun):
    """A network after a change, with numbers of the survey's widest precision; modelled.

    Attributes:
        name: of the change.
        weight_mb: weights that are left, with their indices, in 10^6 bytes.
        gmac: multiply-accumulates with weights that are left, in 10^9.
        cycles: on the array that is best for the network as it is.
        energy_mj: of one image on the survey's device.
        loss: points of top-1 accuracy lost against the network as it is.
    """

    name: str
    weight_mb: float
    gmac: float
    cycles: int
    energy_mj: float
    loss: Amount


@dataclass(frozen=True)
class Surveyed(Noun):
    """All that is known of one network.

    Attributes:
        name: in files.
        title: in tables.
        model: what it was opened from.
        shape: of one input.
        amounts: by the keys of `QUANTITIES`.
        paper: the paper's own values by the same keys; only those that it has.
        array: the best array and dataflow within the budget; modelled.
        cycles_on: on the array that is best for each network of the survey, by that network's name.
        shares: of each kind of layer, on its best array, the most cycles first.
        precisions: narrowest first.
        what_ifs: changes, the network as it is first.
        uncounted: operators that are in no count.
        notes: what must stand beside its figures.
    """

    name: str
    title: str
    model: str
    shape: tuple[int, ...]
    amounts: dict[str, Amount]
    paper: dict[str, Amount]
    array: Choice
    cycles_on: dict[str, int]
    shares: tuple[Share, ...]
    precisions: tuple[AtPrecision, ...]
    what_ifs: tuple[WhatIf, ...]
    uncounted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def value(self, key: str) -> float | None:
        """Return the number of a quantity; None where there is none."""
        return self.amounts[key].value

    def at(self, bits: int) -> AtPrecision | None:
        """Return the network at a precision, None where that was not asked for."""
        return next((at_precision for at_precision in self.precisions if at_precision.bits == bits), None)


@dataclass(frozen=True)
class Survey(Noun):
    """A survey, on one machine and for one described device.

    Attributes:
        format: `juggler.survey/1`.
        date: ISO 8601.
        machine: where times and accuracies were measured.
        backend: what ran the networks, with its release; empty where nothing was run.
        device: name and source of the device whose energy is modelled.
        budget: processing elements that an array may have.
        bits: precisions, narrowest first.
        networks: in the order of the tables.
        left_out: those that could not be surveyed.
        pictures: what accuracies were measured on; empty where there were none.
        meter: what measured energy, or why nothing did.
        verdict: what the figures say, in sentences; computed from them.
        settings: rounds, threads and the like.
    """

    format: str
    date: str
    machine: Machine
    backend: str
    device: str
    budget: int
    bits: tuple[int, ...]
    networks: tuple[Surveyed, ...]
    left_out: tuple[Skipped, ...]
    pictures: str
    meter: str
    verdict: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
