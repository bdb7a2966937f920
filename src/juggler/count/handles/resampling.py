"""Resampling: each result is a sum of so many neighbours, each by a weight; nearest ones are only copied.

Working out where the neighbours are is done once a row and a column, and is left out.
"""

from __future__ import annotations

from math import prod

from juggler.count.work import Call, Handle, Work

_NEIGHBOURS = {
    "aten.upsample_linear1d": 2,
    "aten.upsample_bilinear2d": 4,
    "aten.upsample_trilinear3d": 8,
    "aten.upsample_bicubic2d": 16,
}
_NEAREST = tuple(
    f"aten.{kind}{d}d" for d in (1, 2, 3) for kind in ("upsample_nearest", "_upsample_nearest_exact")
)
_BILINEAR, _NEAREST_MODE, _BICUBIC = 0, 1, 2


def _sum_of(neighbours: int) -> Handle:
    def handle(call: Call) -> Work:
        each = prod(call.out) * neighbours
        return Work("resample", additions=each, multiplications=each)

    return handle


def _copy(_: Call) -> Work:
    return Work("move")


def _grid_sample(call: Call) -> Work:
    """Count the neighbours of each result, and for each place of the grid its way to pixels.

    A coordinate is scaled and shifted: one multiplication and one addition.
    """
    dimensions = call.size("grid")[-1]
    places = call.elements("grid")
    mode = int(call["interpolation_mode"])
    each = {_BILINEAR: 2**dimensions, _NEAREST_MODE: 0, _BICUBIC: 4**dimensions}[mode] * prod(call.out)
    return Work("resample", additions=each + places, multiplications=each + places)


HANDLES: dict[str, Handle] = {
    **{operator: _sum_of(neighbours) for operator, neighbours in _NEIGHBOURS.items()},
    **dict.fromkeys(_NEAREST, _copy),
    **dict.fromkeys(("aten.grid_sampler_2d", "aten.grid_sampler_3d", "aten.grid_sampler"), _grid_sample),
}
