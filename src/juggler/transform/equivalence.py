"""Proof by computation: the flat network against the wide one, map by map, inside and at the border."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from juggler.digest import weights_sha256
from juggler.nouns import Certificate, Check
from juggler.transform.rewrite.fusing import LIMITS
from juggler.transform.tracing.casting import in_type
from juggler.transform.tracing.graph import View

_BATCH_OF_INPUTS = 1024
_STEP = torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps  # 2**-29
LEAST_SHARE = 1e-6  # of places that differ in a map of integers or truth values, where any do


@dataclass(frozen=True)
class CertifyOptions:
    """How two networks are compared.

    Attributes:
        limits: the largest error that rounding leaves in a network that rounds well, by element type.
        roundings: how many times the wide network's own rounding the flat one may be off.
        draws: inputs on which that rounding is measured, and on which a network with thresholds is tried.
        even_side, odd_side: of the smaller maps that are tried; errors do not grow with the image, time does.
    """

    limits: Mapping[str, float] = field(default_factory=lambda: dict(LIMITS))
    roundings: float = 4.0
    draws: int = 3
    even_side: int = 64
    odd_side: int = 33


def certify(
    wide: fx.GraphModule,
    flat64: fx.GraphModule,
    example: Tensor,
    *,
    reflatten: Callable[[fx.GraphModule], fx.GraphModule],
    inputs: Tensor | None = None,
    seed: int = 0,
    options: CertifyOptions | None = None,
) -> Certificate:
    """Compare the two networks and return the certificate.

    Args:
        wide: graph of the network as it was trained, in its own element type.
        flat64: the flattened graph, in float64, before its one cast; it is left in the example's type.
        example: `[batch, channels, *space]`; its size and smaller, odd ones are tried.
        reflatten: flattens another graph by the same rules, into float64; it is given the wide one with
            every weight and statistic of its layers drawn anew, because a fresh batch norm (mean 0,
            variance 1) hides errors.
        inputs: real inputs on which the predicted class (largest along dimension 1) must agree.
        seed: of the drawn weights and inputs.
        options: limits and sizes; the defaults where there are none.
    """
    chosen = options or CertifyOptions()
    draw = _Inputs(wide, example, torch.Generator().manual_seed(seed))
    shapes, skipped = _accepted_shapes((wide, flat64), draw, chosen)
    trials = _Trials(shapes, draw, chosen)
    in_place = example.dtype == torch.float32  # no need of the float64 numbers, then
    trials.compare(wide, flat64, "actual", in_place=in_place)
    redrawn = randomise(wide, draw.generator)
    trials.compare(redrawn, reflatten(redrawn), "randomised", in_place=True)
    del redrawn
    flat = flat64.to(example.dtype)
    agreed, compared = (0, 0) if inputs is None else _agreement(wide, flat, inputs)
    return Certificate(
        wide_sha256=weights_sha256(wide),
        flat_sha256=weights_sha256(flat),
        checks=tuple(trials.checks),
        classes_agreed=agreed,
        classes_compared=compared,
        limits=trials.limits,
        versions={"torch": torch.__version__},
        skipped=skipped,
    )


class _Inputs:
    """Random inputs for a network: normal, or of the example's range where normal ones give it NaN."""

    def __init__(self, wide: fx.GraphModule, example: Tensor, generator: torch.Generator) -> None:
        self.example, self.generator = example, generator
        self.bounds: tuple[float, float] | None = None
        outputs = _outputs(wide, self(tuple(example.shape)))
        if outputs is not None and any(bool(output.isnan().any()) for output in outputs):
            self.bounds = example.min().item(), example.max().item()

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        """Draw one input in float64."""
        if self.bounds is None:
            return torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return torch.empty(shape, dtype=torch.float64).uniform_(*self.bounds, generator=self.generator)


@dataclass(frozen=True)
class _Comparison:
    """A check, and the error of every map and output by its name."""

    check: Check
    errors: dict[str, float]


class _Trials:
    """Compare networks on an input of each shape, and find out what rounding leaves in them.

    Attributes:
        checks: what was compared.
        limits: the largest error allowed, by element type.
    """

    def __init__(self, shapes: list[tuple[int, ...]], draw: _Inputs, options: CertifyOptions) -> None:
        self._shapes, self._draw, self._options = shapes, draw, options
        self.checks: list[Check] = []
        self.limits = dict(options.limits)

    def compare(self, wide: fx.GraphModule, flat64: fx.GraphModule, weights: str, *, in_place: bool) -> None:
        """Compare two networks in float64 and in float32.

        With `in_place` the flat one is left in float32: large networks should not be held more often than
        needed.
        """
        for dtype in (torch.float64, torch.float32):
            reference = wide if _is_of(wide, dtype) else in_type(wide, dtype)
            flat = flat64.to(dtype) if in_place else in_type(flat64, dtype)
            for shape in self._shapes:
                tried = self._tried(reference, flat, shape, weights)
                if tried is not None:
                    self.checks.append(tried.check)
                    self._allow_rounding(wide, tried)
            del reference, flat

    def _tried(
        self, wide: fx.GraphModule, flat: fx.GraphModule, shape: tuple[int, ...], weights: str
    ) -> _Comparison | None:
        """Compare on one input; in float32 on more where a threshold may hang on the last digit."""
        dtype = torch.float64 if _is_of(wide, torch.float64) else torch.float32
        has_thresholds = any(node.meta.get("decides") for node in wide.graph.nodes)
        best: _Comparison | None = None
        for _ in range(self._options.draws if has_thresholds and dtype == torch.float32 else 1):
            tried = _compare(wide, flat, self._draw(shape).to(dtype), weights)
            if tried is None or tried.check.worst <= self._options.limits[tried.check.dtype]:
                return tried
            best = tried if best is None or tried.check.worst < best.check.worst else best
        return best

    def _allow_rounding(self, wide: fx.GraphModule, tried: _Comparison) -> None:
        """Raise the limit where every map that is beyond it is within the wide network's own rounding there.

        A network that rounds badly (normalisation of nearly equal numbers, for one) does so in any form. So
        each map is held against how far the wide network's float32 is from its float64 in that very map;
        in float64 the same conditioning leaves as many times less as its steps are finer, 2**-29.
        """
        base, options = self._options.limits[tried.check.dtype], self._options
        beyond = {name: error for name, error in tried.errors.items() if not error <= base}
        if not beyond or not all(map(math.isfinite, beyond.values())):
            return
        exact, rounded = in_type(wide, torch.float64), in_type(wide, torch.float32)
        step = _STEP if tried.check.dtype == "float64" else 1.0
        rounding: Counter[str] = Counter()
        for _ in range(options.draws):
            own = _compare(exact, rounded, self._draw(tried.check.shape), tried.check.weights)
            for name, error in own.errors.items() if own else ():
                rounding[name] = max(rounding[name], error)  # type: ignore[assignment]  # NaN raises nothing
        # What saturates says no more than that every digit of float32 is lost.
        allowed = {name: options.roundings * min(rounding[name], 1.0) * step for name in beyond}
        if all(beyond[name] <= allowed[name] for name in beyond):
            limits = self.limits
            limits[tried.check.dtype] = max(limits[tried.check.dtype], *allowed.values())


def _is_of(network: fx.GraphModule, dtype: torch.dtype) -> bool:
    numbers = (*network.parameters(), *network.buffers())
    return all(tensor.dtype == dtype for tensor in numbers if tensor.is_floating_point())


def randomise(traced: fx.GraphModule, generator: torch.Generator) -> fx.GraphModule:
    """Return a copy with the layers' weights and statistics drawn anew, at scales that keep deep nets finite.

    Layers are torch's own modules and what inherits from them. Constants that a forward reads by itself
    (an eps, an exponent, a mask, a table) are no weights: drawn anew they would give NaN, or nothing at all.
    """
    redrawn = copy.deepcopy(traced)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.empty(like.shape, dtype=torch.float64).uniform_(low, high, generator=generator)

    with torch.no_grad():
        for module in redrawn.modules():
            for name, tensor in _weights(module):
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


def is_layer(module: nn.Module) -> bool:
    """Say whether a module is one of torch's own, or inherits from one."""
    return any(
        parent.__module__.startswith("torch.nn.modules") and parent is not nn.Module
        for parent in type(module).__mro__
    )


def _weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights and running statistics of a layer; nothing of any other module."""
    if not is_layer(module):
        return
    for name, tensor in module.named_parameters(recurse=False):
        if tensor.is_floating_point():
            yield name, tensor
    for name in ("running_mean", "running_var"):
        if isinstance(statistic := getattr(module, name, None), Tensor):
            yield name, statistic


def _accepted_shapes(
    networks: tuple[fx.GraphModule, fx.GraphModule], draw: _Inputs, options: CertifyOptions
) -> tuple[list[tuple[int, ...]], tuple[str, ...]]:
    """Return the shapes to compare on, and the sizes that the wide network does not take.

    Batches are 1 and 7; 1 and 2 where only the example's own size is taken: it may be large. Where no other
    batch is taken either, it is the example's own shape.
    """
    wide, _ = networks
    own_shape = tuple(draw.example.shape)
    channels, space = own_shape[1:2], own_shape[2:]

    def taken(*shapes: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [shape for shape in shapes if _outputs(wide, draw(shape)) is not None]

    def own_size(most: int) -> list[tuple[int, ...]]:
        """Return batches of 1 and more where a batch of 2 is taken; else the one that is known to be."""
        is_free = taken((2, *channels, *space)) and (own_shape[0] == 1 or taken((1, *channels, *space)))
        return [(n, *channels, *space) for n in (1, most)] if is_free else [own_shape]

    # A map that is added belongs to one size, even where another one fits by chance.
    if any(node.meta.get("one_size") for network in networks for node in network.graph.nodes):
        return own_size(7), ("every other size",)
    even = tuple(min(side, options.even_side) for side in space)
    odd = tuple(min(side, options.odd_side) - 1 + min(side, options.odd_side) % 2 for side in space)
    mixed = tuple(side + i % 2 for i, side in enumerate(odd))
    batches_of = {even: (1,), odd: (1, 7), mixed: (1,)}
    by_size = {size: taken(*((n, *channels, *size) for n in ns)) for size, ns in batches_of.items()}
    skipped = tuple("x".join(map(str, size)) for size, shapes in by_size.items() if not shapes)
    shapes = [shape for of_size in by_size.values() for shape in of_size]
    if {shape[0] for shape in shapes} != {1, 7}:
        shapes += own_size(2)
    return list(dict.fromkeys(shapes)), skipped


def _outputs(network: fx.GraphModule, x: Tensor) -> list[Tensor] | None:
    """Return the tensors that a network gives; `None` where it does not take the input."""
    try:
        with torch.no_grad():
            outputs = network.forward(_cast_copy(network, x))  # a call would print what a forward raises
    except Exception:  # noqa: BLE001  # a forward may raise whatever it likes at a size that it is not made for
        return None
    return [output for output in pytree.tree_leaves(outputs) if isinstance(output, Tensor)]


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


def _compare(wide: fx.GraphModule, flat: fx.GraphModule, x: Tensor, weights: str) -> _Comparison | None:
    """Compare every map that both networks have, and the output; `None` where the wide one does not run."""
    names = {n.meta.get("stands_for", n.name) for n in flat.graph.nodes}
    dtype = str(x.dtype).removeprefix("torch.")
    recorders = [_Recorder(network, names) for network in (wide, flat)]
    outputs = []
    with torch.no_grad():
        for recorder in recorders:
            try:
                outputs.append(pytree.tree_leaves(recorder.run(_cast_copy(recorder.module, x))))
            except Exception:  # noqa: BLE001  # a forward may raise whatever it likes
                if not outputs:
                    return None
                # What the wide network takes, the flat one has to take.
                failed = Check(weights, dtype, tuple(x.shape), math.inf, None, math.inf)
                return _Comparison(failed, {"": math.inf})
    errors: dict[str, float] = {}
    inside, border = 0.0, None
    for name, wide_map, flat_map in _common(recorders[0].maps, recorders[1].maps):
        parts = _ring_errors(wide_map, flat_map)
        if parts is None:
            errors[name] = map_error(wide_map, flat_map)
            inside = _worse(inside, errors[name])
        else:
            inside, border = _worse(inside, parts[0]), _worse(border or 0.0, parts[1])
            errors[name] = _worse(*parts)
    output = 0.0 if len(outputs[0]) == len(outputs[1]) else math.inf
    for index, pair in enumerate(zip(*outputs, strict=False)):
        errors[f"output {index}"] = _output_error(*pair)
        output = _worse(output, errors[f"output {index}"])
    return _Comparison(Check(weights, dtype, tuple(x.shape), inside, border, output), errors)


def map_error(reference: Tensor, tensor: Tensor) -> float:
    """Return max|difference| / max|reference| of two maps, over the places where the reference is finite.

    Elsewhere both must say the same: equal infinities are equal, NaN stands where NaN stands. Integers and
    truth values are compared exactly: the error is the share of places that differ, never less than
    `LEAST_SHARE`, which is far beyond any limit in float64. Another shape or kind is infinitely wrong.
    """
    if reference.shape != tensor.shape or _kind(reference) != _kind(tensor):
        return math.inf
    if not reference.numel():
        return 0.0
    if _kind(reference) == "exact":
        share = (reference != tensor).double().mean().item()
        return max(share, LEAST_SHARE) if share else 0.0
    largest, scale = _difference(reference, tensor).max().item(), _scale(reference)
    if scale == 0.0:
        return largest if largest == 0.0 or math.isnan(largest) else math.inf
    return largest / scale


def _kind(tensor: Tensor) -> str:
    return "complex" if tensor.is_complex() else "real" if tensor.is_floating_point() else "exact"


def _difference(reference: Tensor, tensor: Tensor) -> Tensor:
    """Return |difference| in float64: 0 where both are the same infinity or NaN, NaN where one of them is."""
    if reference.is_complex():
        reference, tensor = torch.view_as_real(reference), torch.view_as_real(tensor)
    difference = (reference.double() - tensor.double()).abs_()
    if not bool(difference.isfinite().all()):
        difference[(reference == tensor) | (reference.isnan() & tensor.isnan())] = 0.0
    return difference


def _scale(reference: Tensor) -> float:
    """Return the largest finite value, 0.0 where there is none."""
    size = reference.abs()
    largest: float = size.max().item()
    return largest if math.isfinite(largest) else size.nan_to_num(0.0, 0.0, 0.0).max().item()


def _output_error(reference: object, output: object) -> float:
    """Return the error of one output; NaN among its values shows as NaN, for then nothing is computed."""
    if not isinstance(reference, Tensor) or not isinstance(output, Tensor):
        same = type(reference) is type(output) and (reference is output or reference == output)
        return 0.0 if same else math.inf
    if bool(reference.isnan().any()) or bool(output.isnan().any()):
        return math.nan
    return map_error(reference, output)


def _ring_errors(reference: Tensor, tensor: Tensor) -> tuple[float, float] | None:
    """Return the errors within and on the one-pixel border ring; `None` for maps that have no ring."""
    if reference.ndim < 3 or reference.shape != tensor.shape or min(reference.shape[2:]) < 3:
        return None
    if not reference.numel() or {_kind(reference), _kind(tensor)} != {"real"}:
        return None
    difference, scale = _difference(reference, tensor), _scale(reference) or 1.0
    return _within_ring(difference).max().item() / scale, _largest_on_ring(difference) / scale


def _cast_copy(network: nn.Module, x: Tensor) -> Tensor:
    """Return a copy of the input in the network's element type."""
    return x.to(next(network.parameters(), x).dtype, copy=True)


def _common(
    wide_maps: dict[str, Tensor], flat_maps: dict[str, Tensor]
) -> Iterator[tuple[str, Tensor, Tensor]]:
    for name, value in flat_maps.items():
        if name in wide_maps:
            yield name, wide_maps[name], value


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
