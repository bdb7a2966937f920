"""Fig. 8: ResNet against flat Juggler-ResNet at five depths, on every runtime."""

from __future__ import annotations

from collections.abc import Sequence

from juggler.reproduce.experiment import PRECISIONS, Pair, Race, Scale
from juggler.reproduce.networks import prepare_depth
from juggler.reproduce.results import Published

# Depth: multiply-accumulates of ResNet-k at 224 px, in 10^9; only to share out the time.
DEPTHS = {18: 1.8, 34: 3.7, 50: 4.1, 101: 7.8, 152: 11.6}
SUBJECTS = ("plain", "flat", "wide")
PAIRS = (Pair("flat", "plain"), Pair("wide", "plain"), Pair("flat", "wide"))
# The first is the main one; the paper has 256 px, batch 1 on its small device and 8 on its large one.
MAIN = (224, 1)
SIZES = (MAIN, (256, 1), (224, 8), (256, 8))
SLOW_TO_OPEN = ("torch_compile",)  # compiles for minutes where others take a second


class Fig8:
    """Time ResNet-k and Juggler-ResNet-k, flat and wide, batch norms folded in all of them.

    bfloat16, int8, memory and energy are measured at 224 px and batch 1 only, and a backend that compiles
    a network for minutes runs there only, unless the paper's sizes are asked for.
    """

    name = "fig8"
    title = "Fig. 8: ResNet against flat Juggler-ResNet"
    paper_rounds = 100
    minutes = 15.0
    published = (
        Published("flat", "NVIDIA V100 and Tx2, PyTorch", "times_low", 2.05, "Section IV-B2"),
        Published("flat", "NVIDIA V100 and Tx2, PyTorch", "times_high", 4.31, "Section IV-B2"),
        Published("flat", "NVIDIA Tx2", "times_high", 3.95, "Section IV-B2"),
        Published("flat", "TensorRT", "times_high", 3.17, "Section IV-B2"),
    )

    def races(self, scale: Scale) -> Sequence[Race]:
        """Return a race a depth, size and batch; the networks of a depth are made once."""
        return [
            self._race(depth, gmacs, side_px, batch, scale)
            for depth, gmacs in DEPTHS.items()
            for side_px, batch in SIZES
        ]

    def _race(self, depth: int, gmacs: float, side_px: int, batch: int, scale: Scale) -> Race:
        main = (side_px, batch) == MAIN
        quick = tuple(name for name in scale.backends if name not in SLOW_TO_OPEN)
        return Race(
            f"depth {depth}, {side_px} px, batch {batch}",
            {"depth": depth, "side_px": side_px, "batch": batch},
            prepare_depth(depth, side_px, SUBJECTS),
            PAIRS,
            # What every cell costs before its race, the race, and what the main one has besides.
            weight=1.5 + gmacs * (side_px / 224) ** 2 * (batch**0.5) + (4.0 + 1.5 * gmacs) * main,
            batches=(batch,),
            precisions=PRECISIONS if main or scale.paper else ("float32",),
            backends=None if main or scale.paper else quick,
            memory=main,
            energy=main,
        )


EXPERIMENT = Fig8()
