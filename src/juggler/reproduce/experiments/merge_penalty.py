"""Section II-C: what it costs to merge the blocks of an ordinary ResNet outright."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from juggler.reproduce.experiment import Pair, Prepared, Race, Scale
from juggler.reproduce.modules import (
    CHANNELS,
    SIDE_PX,
    basicblock,
    bottleneck,
    mergeable_basicblock,
    mergeable_bottleneck,
)
from juggler.reproduce.networks import exported, proved, randomised
from juggler.reproduce.results import Published

PAPER_BATCH = 32
CHECK_PX = 8  # the algebra knows no size; the certificate adds odd ones
_BLOCKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], int]] = {
    "basicblock": (basicblock, mergeable_basicblock, CHANNELS),
    "bottleneck": (bottleneck, mergeable_bottleneck, 4 * CHANNELS),
}


class MergePenalty:
    """Time a basicblock against one 5x5 and a bottleneck against one 3x3 of four times the width.

    The merged form is the block without its inner ReLUs and with its padding moved to the front, flattened
    by this project's own rules, more multiply-accumulates or not, and proved equal. The block that it is
    compared with is the ordinary one, as it stands in a ResNet.
    """

    name = "merge_penalty"
    title = "Section II-C: merging ordinary blocks outright"
    paper_rounds = 20
    minutes = 1.2
    published = (
        Published("basicblock merged", "counted", "parameter_ratio", 1.39, "Section III-B"),
        Published("bottleneck merged", "counted", "parameter_ratio", 2.76, "Section II-C"),
        Published("merged", "NVIDIA V100", "latency_penalty_low", 0.125, "Section II-C"),
        Published("merged", "NVIDIA V100", "latency_penalty_high", 0.207, "Section II-C"),
    )

    def races(self, scale: Scale) -> Sequence[Race]:
        """Return a race a block: batch 32 as Table II has it, or 1."""
        batch = PAPER_BATCH if scale.paper else 1
        return [
            Race(
                f"{name}, {SIDE_PX} px, batch {batch}",
                {"channels": CHANNELS, "side_px": SIDE_PX},
                _preparer(name),
                (Pair(f"{name} merged", name),),
                weight=1.0,
                batches=(batch,),
            )
            for name in _BLOCKS
        ]


def _preparer(name: str) -> Callable[[], Prepared]:
    ordinary, mergeable, channels = _BLOCKS[name]

    def prepare() -> Prepared:
        shape = (channels, SIDE_PX, SIDE_PX)
        wide = randomised(mergeable(), seed=1)
        merged, check = proved(wide, torch.randn(1, channels, CHECK_PX, CHECK_PX), policy="always")
        subjects = {
            name: exported(randomised(ordinary(), seed=1), shape),
            f"{name} merged": exported(merged, shape),
        }
        return Prepared(subjects, (check,))

    return prepare


EXPERIMENT = MergePenalty()
