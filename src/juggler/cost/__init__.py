"""What a network should cost: layers, rooflines, and models of hardware that is not at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from juggler.lazy import face

if TYPE_CHECKING:
    from juggler.cost.factorise import asymmetric, merged, stacked_3x3
    from juggler.cost.layers import Layer
    from juggler.cost.roofline import Ceilings, measure_ceilings
    from juggler.cost.whatif import (
        Variant,
        account,
        array_cycles,
        energy,
        prune_blocks,
        prune_channels,
        prune_weights,
        quantise,
        what_if,
    )
    from juggler.cost.workloads import alexnet, resnet

__all__ = [
    "Ceilings",
    "Layer",
    "Variant",
    "account",
    "alexnet",
    "array_cycles",
    "asymmetric",
    "energy",
    "measure_ceilings",
    "merged",
    "prune_blocks",
    "prune_channels",
    "prune_weights",
    "quantise",
    "resnet",
    "stacked_3x3",
    "what_if",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "juggler.cost.factorise": ["asymmetric", "merged", "stacked_3x3"],
        "juggler.cost.layers": ["Layer"],
        "juggler.cost.roofline": ["Ceilings", "measure_ceilings"],
        "juggler.cost.whatif": [
            "Variant",
            "account",
            "array_cycles",
            "energy",
            "prune_blocks",
            "prune_channels",
            "prune_weights",
            "quantise",
            "what_if",
        ],
        "juggler.cost.workloads": ["alexnet", "resnet"],
    },
)
