"""What a network should cost: layers, rooflines, and models of hardware that is not at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.cost.factorise import stacked_3x3
    from juggler.cost.roofline import Ceilings, measure_ceilings
    from juggler.cost.whatif import account, array_cycles, energy, prune_weights, quantise, what_if
    from juggler.cost.workloads import alexnet, resnet

__all__ = [
    "Ceilings",
    "account",
    "alexnet",
    "array_cycles",
    "energy",
    "measure_ceilings",
    "prune_weights",
    "quantise",
    "resnet",
    "stacked_3x3",
    "what_if",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.cost.factorise": ["stacked_3x3"],
        "juggler.cost.roofline": ["Ceilings", "measure_ceilings"],
        "juggler.cost.whatif": ["account", "array_cycles", "energy", "prune_weights", "quantise", "what_if"],
        "juggler.cost.workloads": ["alexnet", "resnet"],
    },
)
