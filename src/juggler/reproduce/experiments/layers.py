"""Which layers of a flat network fall short of the machine's ceiling; not in the paper."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from juggler.models.networks.families._staged import STAGE_WIDTHS
from juggler.reproduce.experiment import Prepared, Race, Scale, Subject
from juggler.reproduce.networks import exported, randomised

STEM_PX = 224


class Layers:
    """Time every distinct convolution of a flat Juggler-ResNet by itself, at the size that it has there.

    A network's share of the ceiling is a mean over its layers. This shows which ones pull it down: the stem
    with its three channels, and the last stage, whose weights are many and whose maps are small.
    """

    name = "layers"
    title = "Layers: how near each convolution comes to the ceiling"
    paper_rounds = 30
    minutes = 1.0
    published = ()

    def races(self, scale: Scale) -> Sequence[Race]:
        """Return one race of all layers, batch 1."""
        return [Race(f"{STEM_PX} px, batch 1", {"side_px": STEM_PX}, _prepare, (), weight=1.0)]


def _prepare() -> Prepared:
    subjects = {"stem: 7x7, 3 to 64, 224 px": _layer(3, STAGE_WIDTHS[0], 7, 2, STEM_PX)}
    side_px, before = STEM_PX // 4, STAGE_WIDTHS[0]
    for index, channels in enumerate(STAGE_WIDTHS):
        if index:
            name = f"stage {index + 1}: 3x3, {before} to {channels}, {side_px} px, stride 2"
            subjects[name] = _layer(before, channels, 3, 2, side_px)
            side_px //= 2
        name = f"stage {index + 1}: 3x3, {channels} to {channels}, {side_px} px"
        subjects[name] = _layer(channels, channels, 3, 1, side_px)
        before = channels
    return Prepared(subjects)


def _layer(before: int, after: int, kernel: int, stride: int, side_px: int) -> Subject:
    """Return one convolution with its bias and its ReLU, as a flat network has it."""
    layer = nn.Sequential(nn.Conv2d(before, after, kernel, stride, padding=kernel // 2), nn.ReLU())
    return exported(randomised(layer, seed=after + kernel), (before, side_px, side_px))


EXPERIMENT = Layers()
