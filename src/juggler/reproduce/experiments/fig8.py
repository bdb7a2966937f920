"""Fig. 8: ResNet against flat Juggler-ResNet at five depths, on every runtime."""

from __future__ import annotations

from collections.abc import Sequence

from juggler.reproduce.experiment import PRECISIONS, SLOW_TO_OPEN, Pair, Race, Scale
from juggler.reproduce.networks import prepare_depth
from juggler.reproduce.results import Published

# Depth: multiply-accumulates of ResNet-k at 224 px, in 10^9; only to share out the time.
DEPTHS = {18: 1.8, 34: 3.7, 50: 4.1, 101: 7.8, 152: 11.6}
SUBJECTS = ("plain", "flat", "wide")
PAIRS = (Pair("flat", "plain"), Pair("wide", "plain"), Pair("flat", "wide"))
# Side in pixels and batch, and about how many seconds a race takes: whatever the network, and more a 10^9
# multiply-accumulates. The first is the main one; the paper has 256 px, batch 1 on its small device and 8 on
# its large one.
SECONDS = {(224, 1): (50.0, 13.0), (224, 8): (6.0, 3.0), (256, 1): (6.0, 1.6), (256, 8): (8.0, 4.0)}
SIZES = tuple(SECONDS)
MAIN = SIZES[0]
REMEMBERED = (18, 50, 152)  # depths whose memory is measured: each takes a process a network and runtime


class Fig8:
    """Time ResNet-k and Juggler-ResNet-k, flat and wide, batch norms folded in all of them.

    The wide form, bfloat16 and int8 are measured at 224 px and batch 1 only, and a backend that compiles a
    network before it runs it works there only, and in float32, unless the paper's sizes are asked for.
    """

    name = "fig8"
    title = "Fig. 8: ResNet against flat Juggler-ResNet"
    paper_rounds = 100
    minutes = 11.0
    published = (
        Published("flat", "NVIDIA V100 and Tx2, PyTorch", "times_low", 2.05, "Section IV-B2"),
        Published("flat", "NVIDIA V100 and Tx2, PyTorch", "times_high", 4.31, "Section IV-B2"),
        Published("flat", "NVIDIA Tx2", "times_high", 3.95, "Section IV-B2"),
        Published("flat", "TensorRT", "times_high", 3.17, "Section IV-B2"),
    )

    def races(self, scale: Scale) -> Sequence[Race]:
        """Return a race a depth, size and batch; the networks of a depth are made once."""
        return [self._race(depth, gmacs, size, scale) for depth, gmacs in DEPTHS.items() for size in SIZES]

    def _race(self, depth: int, gmacs: float, size: tuple[int, int], scale: Scale) -> Race:
        side_px, batch = size
        is_full = size == MAIN or scale.paper
        fixed_s, by_gmac_s = SECONDS[size]
        return Race(
            f"depth {depth}, {side_px} px, batch {batch}",
            {"depth": depth, "side_px": side_px, "batch": batch},
            prepare_depth(depth, side_px, SUBJECTS if is_full else SUBJECTS[:2]),
            PAIRS if is_full else PAIRS[:1],
            weight=fixed_s + by_gmac_s * gmacs,
            batches=(batch,),
            precisions=PRECISIONS if is_full else ("float32",),
            slow_precisions=None if scale.paper else ("float32",),
            backends=None if is_full else tuple(n for n in scale.backends if n not in SLOW_TO_OPEN),
            memory=size == MAIN and depth in REMEMBERED,
            energy=size == MAIN,
        )


EXPERIMENT = Fig8()
