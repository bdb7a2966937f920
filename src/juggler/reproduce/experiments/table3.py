"""Table III: which kernel size and how many channels a machine convolves fastest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from juggler.reproduce.experiment import Prepared, Race, Scale
from juggler.reproduce.modules import SIDE_PX
from juggler.reproduce.networks import bare_convolution
from juggler.reproduce.results import Published

KERNELS, CHANNELS = (1, 3, 5, 7), (512, 1024, 2048)
PAPER_BATCH = 32
_PUBLISHED = {  # (kernel, channels): multiply-accumulates at batch 32 in 10^9, ms, the same a second in 10^12
    (1, 512): (26.35, 5.50, 4.79),
    (1, 1024): (105.28, 18.47, 5.70),
    (1, 2048): (421.12, 69.55, 6.05),
    (3, 512): (236.82, 36.46, 6.49),
    (3, 1024): (947.24, 141.66, 6.69),
    (3, 2048): (3788.48, 550.25, 6.88),
    (5, 512): (657.62, 108.51, 6.06),
    (5, 1024): (2630.72, 412.73, 6.37),
    (5, 2048): (10522.88, 1639.18, 6.42),
    (7, 512): (1288.96, 204.51, 6.30),
    (7, 1024): (5156.16, 804.13, 6.41),
    (7, 2048): (20624.64, 3271.01, 6.30),
}


def subject(kernel: int, channels: int) -> str:
    """Return how a convolution is called in the rows."""
    return f"{kernel}x{kernel}, {channels} channels"


class Table3:
    """Time single convolutions at 56 px, each in a race of its own with the machine's ceiling."""

    name = "table3"
    title = "Table III: convolutions by kernel size and channels"
    paper_rounds = 20
    minutes = 2.8
    published = tuple(
        Published(
            subject(kernel, channels),
            "NVIDIA V100, cuDNN disabled",
            quantity,
            value * factor,
            "Table III",
            {"kernel": kernel, "channels": channels},
        )
        for (kernel, channels), values in _PUBLISHED.items()
        for (quantity, factor), value in zip(
            (("gmacs", 1.0), ("latency_ms", 1.0), ("gmac_per_s", 1e3)), values, strict=True
        )
    )

    def races(self, scale: Scale) -> Sequence[Race]:
        """Return a race a convolution: batch 32 as in the paper, or 1."""
        batch = PAPER_BATCH if scale.paper else 1
        cells = sorted(((k, c) for k in KERNELS for c in CHANNELS), key=lambda kc: kc[0] ** 2 * kc[1] ** 2)
        return [
            Race(
                f"{subject(kernel, channels)}, batch {batch}",
                {"kernel": kernel, "channels": channels, "side_px": SIDE_PX},
                _preparer(kernel, channels),
                (),
                # Work, and what every cell costs before it.
                weight=kernel**2 * (channels / 512) ** 2 + 30.0,
                batches=(batch,),
                # To compile a bare convolution changes nothing.
                backends=tuple(name for name in scale.backends if name != "torch_compile"),
            )
            for kernel, channels in cells
        ]


def _preparer(kernel: int, channels: int) -> Callable[[], Prepared]:
    return lambda: Prepared({subject(kernel, channels): bare_convolution(kernel, channels, SIDE_PX)})


EXPERIMENT = Table3()
