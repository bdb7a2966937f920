"""Fig. 9: throughput over batch size at depth 152, its peak, and its dips at 2^n + 2."""

from __future__ import annotations

from collections.abc import Sequence

from juggler.reproduce.experiment import Pair, Race, Scale
from juggler.reproduce.networks import prepare_depth
from juggler.reproduce.results import Published

DEPTH = 152
SUBJECTS = ("plain", "flat")
POWERS = (4, 8, 16, 32, 64)
BATCHES = (1, 2, 4, 6, 8, 10, 12, 16, 18, 20, 24, 32, 34, 36, 48, 64, 66)
SMALL_PX, LARGE_PX = 56, 256  # the paper's Tx2 and its V100
SLOW_TO_OPEN = ("torch_compile",)


class Fig9:
    """Time ResNet-152 and flat Juggler-ResNet-152 at many batch sizes, a race a backend."""

    name = "fig9"
    title = "Fig. 9: throughput over batch size, depth 152"
    paper_rounds = 100
    minutes = 3.0
    published = (
        Published("flat", "NVIDIA V100", "peak_batch", 10, "Section IV-B3"),
        Published("plain", "NVIDIA V100", "peak_batch", 64, "Section IV-B3"),
        Published("flat", "NVIDIA Tx2", "peak_batch", 36, "Section IV-B3"),
        Published("plain", "NVIDIA Tx2", "peak_batch", 48, "Section IV-B3"),
        Published("flat", "NVIDIA V100", "peak_throughput_ratio", 3.22, "Section IV-B3"),
        Published("flat", "NVIDIA Tx2", "peak_throughput_ratio", 1.38, "Section IV-B3"),
        Published("plain", "NVIDIA V100", "dip_at_18", 0.0651, "Section IV-B3"),
        Published("plain", "NVIDIA Tx2", "dip_at_18", 0.0993, "Section IV-B3"),
    )

    def races(self, scale: Scale) -> Sequence[Race]:
        """Return a race a backend and size: 56 px as on the paper's Tx2, and with `paper` its 256 px too."""
        dips = tuple(Pair(name, name, n + 2, n) for name in SUBJECTS for n in POWERS)
        return [
            Race(
                f"{backend}, {side_px} px",
                {"depth": DEPTH, "side_px": side_px},
                prepare_depth(DEPTH, side_px, SUBJECTS),
                (Pair("flat", "plain"), *dips),
                weight=1.0,
                batches=BATCHES,
                backends=(backend,),
            )
            for side_px in ((SMALL_PX, LARGE_PX) if scale.paper else (SMALL_PX,))
            for backend in scale.backends
            if scale.paper or backend not in SLOW_TO_OPEN
        ]


EXPERIMENT = Fig9()
