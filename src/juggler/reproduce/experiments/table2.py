"""Table II: the same work in five shapes, from a plain stack to a bottleneck."""

from __future__ import annotations

from collections.abc import Sequence

from juggler.reproduce.experiment import Pair, Prepared, Race, Scale
from juggler.reproduce.modules import BLOCKS, CHANNELS, INPUT_CHANNELS, SIDE_PX
from juggler.reproduce.networks import exported, randomised
from juggler.reproduce.results import Published

PAPER_BATCH = 32
_PUBLISHED = {  # subject: multiply-accumulates at batch 32 in 10^9, ms, the same a second in 10^12
    "vgg": (118.3, 7.147, 16.55),
    "basicblock": (118.4, 8.312, 14.24),
    "basicblock+": (92.16, 9.793, 9.41),
    "bottleneck": (112.4, 16.845, 6.67),
    "bottleneck+": (135.04, 25.714, 5.25),
}


class Table2:
    """Time Fig. 2's blocks, C = 256 at 56 px, and compare each with the plain stack."""

    name = "table2"
    title = "Table II: the same work in five shapes"
    paper_rounds = 20
    minutes = 1.2
    published = tuple(
        Published(subject, "NVIDIA V100", quantity, value * factor, "Table II")
        for subject, values in _PUBLISHED.items()
        for (quantity, factor), value in zip(
            (("gmacs", 1.0), ("latency_ms", 1.0), ("gmac_per_s", 1e3)), values, strict=True
        )
    )

    def races(self, scale: Scale) -> Sequence[Race]:
        """Return one race of all blocks: batch 32 as in the paper, or 1."""
        batch = PAPER_BATCH if scale.paper else 1
        return [
            Race(
                f"{SIDE_PX} px, batch {batch}",
                {"channels": CHANNELS, "side_px": SIDE_PX},
                _prepare,
                tuple(Pair(subject, "vgg") for subject in BLOCKS if subject != "vgg"),
                weight=1.0,
                batches=(batch,),
            )
        ]


def _prepare() -> Prepared:
    return Prepared(
        {
            name: exported(randomised(make(), seed), (INPUT_CHANNELS[name], SIDE_PX, SIDE_PX))
            for seed, (name, make) in enumerate(BLOCKS.items())
        }
    )


EXPERIMENT = Table2()
