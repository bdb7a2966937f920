"""Proof by computation: the flat network against the wide one, map by map, inside and at the border."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from juggler.digest import weights_sha256
from juggler.nouns import Certificate, Check
from juggler.transform.algebra.conv import relative_error
from juggler.transform.rewrite.fusing import LIMITS
from juggler.transform.tracing.casting import in_type
from juggler.transform.tracing.graph import View

_EVEN_SIDE, _ODD_SIDE = 64, 33  # errors do not grow with the image; time does
_BATCH_OF_INPUTS = 1024
ROUNDINGS = 4.0  # how many times the wide network's own rounding the flat one may be off in float32


def certify(
    wide: fx.GraphModule,
    flat64: fx.GraphModule,
    example: Tensor,
    *,
    reflatten: Callable[[fx.GraphModule], fx.GraphModule],
    inputs: Tensor | None = None,
    seed: int = 0,
) -> Certificate:
    """Compare the two networks and return the certificate.

    Args:
        wide: graph of the network as it was trained, in its own element type.
        flat64: the flattened graph, in float64, before its one cast; it is left in the example's type.
        example: `[batch, channels, *space]`; its size and smaller, odd ones are tried.
        reflatten: flattens another graph by the same rules, into float64; it is given the wide one with
            every weight and statistic drawn anew, because a fresh batch norm (mean 0, variance 1) hides
            errors.
        inputs: real inputs on which the predicted class (largest along dimension 1) must agree.
        seed: of the drawn weights and inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    shapes, skipped = _accepted_shapes((wide, flat64), example)
    in_place = example.dtype == torch.float32  # no need of the float64 numbers, then
    checks = list(_comparisons(wide, flat64, "actual", shapes, generator, in_place=in_place))
    redrawn = randomise(wide, generator)
    checks += _comparisons(redrawn, reflatten(redrawn), "randomised", shapes, generator, in_place=True)
    limits = _limits(checks, {"actual": wide, "randomised": redrawn}, generator)
    del redrawn
    flat = flat64.to(example.dtype)
    agreed, compared = (0, 0) if inputs is None else _agreement(wide, flat, inputs)
    return Certificate(
        wide_sha256=weights_sha256(wide),
        flat_sha256=weights_sha256(flat),
        checks=tuple(checks),
        classes_agreed=agreed,
        classes_compared=compared,
        limits=limits,
        versions={"torch": torch.__version__},
        skipped=skipped,
    )


def _comparisons(
    wide: fx.GraphModule,
    flat64: fx.GraphModule,
    weights: str,
    shapes: list[tuple[int, ...]],
    generator: torch.Generator,
    *,
    in_place: bool,
) -> Iterator[Check]:
    """Compare two networks in float64 and in float32, on an input of each shape.

    With `in_place` the flat one is left in float32: large networks should not be held more often than needed.
    """
    for dtype in (torch.float64, torch.float32):
        reference = wide if _is_of(wide, dtype) else in_type(wide, dtype)
        flat = flat64.to(dtype) if in_place else in_type(flat64, dtype)
        for shape in shapes:
            x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
            yield _compare(reference, flat, x, weights)
        del reference, flat


def _limits(
    checks: Sequence[Check], networks: Mapping[str, fx.GraphModule], generator: torch.Generator
) -> dict[str, float]:
    """Return the largest error allowed, by element type.

    Where float32 is beyond its limit, the wide network is asked how far its own float32 is from its float64:
    a network that rounds badly (normalisation of nearly equal numbers, for one) does so in any form.
    """
    worst = max(checks, key=lambda check: check.worst if check.dtype == "float32" else -1.0)
    if not worst.worst > LIMITS["float32"]:
        return LIMITS
    wide = networks[worst.weights]
    x = torch.randn(worst.shape, generator=generator, dtype=torch.float64)
    rounding = _compare(in_type(wide, torch.float64), in_type(wide, torch.float32), x, worst.weights)
    return {**LIMITS, "float32": max(LIMITS["float32"], ROUNDINGS * rounding.worst)}


def _is_of(network: fx.GraphModule, dtype: torch.dtype) -> bool:
    numbers = (*network.parameters(), *network.buffers())
    return all(tensor.dtype == dtype for tensor in numbers if tensor.is_floating_point())


def randomise(traced: fx.GraphModule, generator: torch.Generator) -> fx.GraphModule:
    """Return a copy with every weight and statistic drawn anew, at scales that keep deep networks finite."""
    redrawn = copy.deepcopy(traced)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.empty(like.shape, dtype=torch.float64).uniform_(low, high, generator=generator)

    with torch.no_grad():
        for module in redrawn.modules():
            for name, tensor in (
                *module.named_parameters(recurse=False),
                *module.named_buffers(recurse=False),
            ):
                if not tensor.is_floating_point():
                    continue
                if name == "running_var":
                    values = uniform(tensor, 0.6, 1.8)
                elif isinstance(module, _BatchNorm) and name == "weight":
                    values = uniform(tensor, 0.5, 1.3) * uniform(tensor, -1, 1).sign()
                elif tensor.ndim > 1:
                    values = uniform(tensor, -1, 1) * (3.0 / tensor[0].numel()) ** 0.5
                else:
                    values = uniform(tensor, -0.5, 0.5)
                tensor.copy_(values)
    return redrawn


def _accepted_shapes(
    networks: tuple[fx.GraphModule, ...], example: Tensor
) -> tuple[list[tuple[int, ...]], tuple[str, ...]]:
    """Return the shapes to compare on, and the sizes that one of the networks does not take.

    Batches are 1 and 7; 1 and 2 where only the example's own size is taken: it may be large. Where no other
    batch is taken either, it is the example's own shape.
    """
    channels, space = example.shape[1:2], example.shape[2:]

    def taken(*shapes: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [shape for shape in shapes if _run(networks, example.new_zeros(shape))]

    def own_size(most: int) -> list[tuple[int, ...]]:
        """Return batches of 1 and more where a batch of 2 is taken; else the one that is known to be."""
        is_free = taken((2, *channels, *space)) and (len(example) == 1 or taken((1, *channels, *space)))
        return [(n, *channels, *space) for n in (1, most)] if is_free else [tuple(example.shape)]

    # A map that is added belongs to one size, even where another one fits by chance.
    if any(node.meta.get("one_size") for network in networks for node in network.graph.nodes):
        return own_size(7), ("every other size",)
    even = tuple(min(side, _EVEN_SIDE) for side in space)
    odd = tuple(min(side, _ODD_SIDE) - 1 + min(side, _ODD_SIDE) % 2 for side in space)
    mixed = tuple(side + i % 2 for i, side in enumerate(odd))
    batches_of = {even: (1,), odd: (1, 7), mixed: (1,)}
    by_size = {size: taken(*((n, *channels, *size) for n in ns)) for size, ns in batches_of.items()}
    skipped = tuple("x".join(map(str, size)) for size, shapes in by_size.items() if not shapes)
    shapes = [shape for of_size in by_size.values() for shape in of_size]
    if {shape[0] for shape in shapes} != {1, 7}:
        shapes += own_size(2)
    return list(dict.fromkeys(shapes)), skipped


def _run(networks: tuple[fx.GraphModule, ...], x: Tensor) -> bool:
    try:
        with torch.no_grad():
            for network in networks:
                network.forward(_cast_copy(network, x))  # a call would print what a forward raises
    except Exception:  # noqa: BLE001  # whatever it is: it does not take that size
        return False
    return True


class _Recorder(fx.Interpreter):
    """Run a graph and hand over each node's value, so that no more maps are kept than needed."""

    def __init__(self, traced: fx.GraphModule, keep: set[str]) -> None:
        super().__init__(traced)
        self.keep = keep
        view = View(traced)
        self.copied = {node for node in traced.graph.nodes if view.is_overwritten(node)}
        self.maps: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Keep what the node gives, as a copy where a later op works in place."""
        value = super().run_node(n)
        name = n.meta.get("stands_for", n.name)
        if n.op not in ("placeholder", "output") and isinstance(value, Tensor) and name in self.keep:
            self.maps[name] = value.clone() if n in self.copied else value
        return value


def _compare(wide: fx.GraphModule, flat: fx.GraphModule, x: Tensor, weights: str) -> Check:
    """Compare every map that both networks have, and the output, on one input."""
    names = {n.meta.get("stands_for", n.name) for n in flat.graph.nodes}
    with torch.no_grad():
        recorders = [_Recorder(network, names) for network in (wide, flat)]
        outputs = [pytree.tree_leaves(recorder.run(_cast_copy(recorder.module, x))) for recorder in recorders]
    inside, border = 0.0, None
    for wide_output, flat_output in _common(recorders[0].maps, recorders[1].maps):
        if (
            wide_output.ndim > 2
            and wide_output.shape == flat_output.shape
            and all(side > 2 for side in wide_output.shape[2:])
        ):
            scale = wide_output.abs().max().item() or 1.0
            difference = (wide_output.double() - flat_output.double()).abs_()
            border = _worse(border or 0.0, _largest_on_ring(difference) / scale)
            inside = _worse(inside, _within_ring(difference).max().item() / scale)
        else:
            inside = _worse(inside, relative_error(wide_output, flat_output))
    output = 0.0
    for wide_output, flat_output in zip(*outputs, strict=True):
        output = _worse(output, relative_error(wide_output, flat_output))
    dtype = str(x.dtype).removeprefix("torch.")
    return Check(weights, dtype, tuple(x.shape), inside, border, output)


def _cast_copy(network: nn.Module, x: Tensor) -> Tensor:
    """Return a copy of the input in the network's element type."""
    return x.to(next(network.parameters(), x).dtype, copy=True)


def _common(wide_maps: dict[str, Tensor], flat_maps: dict[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    for name, value in flat_maps.items():
        if name in wide_maps:
            yield wide_maps[name], value


def _largest_on_ring(tensor: Tensor) -> float:
    """Return the largest value on the one-pixel border ring of `[batch, channels, *space]`."""
    faces = [tensor.select(axis, end).max() for axis in range(2, tensor.ndim) for end in (0, -1)]
    return torch.stack(faces).max().item()


def _within_ring(tensor: Tensor) -> Tensor:
    """Return `[batch, channels, *space]` without the one-pixel border ring."""
    for axis in range(2, tensor.ndim):
        tensor = tensor.narrow(axis, 1, tensor.shape[axis] - 2)
    return tensor


def _worse(error: float, candidate: float) -> float:
    """Return the larger of two errors; NaN wins, so that it cannot hide behind a number."""
    return candidate if math.isnan(candidate) or candidate > error else error


def _agreement(wide: fx.GraphModule, flat: fx.GraphModule, inputs: Tensor) -> tuple[int, int]:
    agreed = 0
    with torch.no_grad():
        for start in range(0, len(inputs), _BATCH_OF_INPUTS):
            batch = inputs[start : start + _BATCH_OF_INPUTS]
            same = wide(batch).argmax(1) == flat(batch).argmax(1)
            agreed += int(same.reshape(len(batch), -1).all(1).sum())
    return agreed, len(inputs)
