"""Hold an imported network against its file: a proof is of the file, not of how it was read.

An ONNX file runs in ONNX Runtime, an archive of torch.export as the program that it holds, and the imported
network in torch, all on the same random inputs: two at each size. Where they differ by more than rounding,
the import is refused. To take little of the time that flattening takes, small sizes are tried first, a batch
of 2 is two inputs, and one session runs them all. How far rounding may go is asked of the network itself:
where the two differ by more than float32 leaves, both are compared with the imported network in float64.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from juggler.digest import weights_sha256
from juggler.errors import ArtefactError, ConfigError, Refused, first_line
from juggler.nouns import SourceCheck, TensorSpec
from juggler.packages import release_of
from juggler.runtime.backends.onnxruntime import OnnxRuntimeSession

CHECKS, WEIGHTS = "source_checks", "source_weights"  # keys of an imported graph module's `meta`
LIMIT = 1e-5  # of the largest value: what float32 leaves
# What fewer bits leave, where a network computes with them: a runtime may add up in more.
LIMITS = {torch.float16: 4e-3, torch.bfloat16: 3e-2}
ROUNDINGS = 4.0  # how many times its own rounding an ill-conditioned network may be off
SIDES = (32, 64, 224, 299, 16, 7)  # tried in turn where a size is free
SIZES = 2  # compared where sizes are free
INPUTS = 2  # at each size
MOST_PLACES = 100  # whole numbers are drawn below it, where the network takes them: places in a table, bytes
SEED = 0

Array = npt.NDArray[Any]


def compare_with_source(
    network: fx.GraphModule, source: Path | bytes, shapes: Sequence[Sequence[int]] | None = None
) -> tuple[SourceCheck, ...]:
    """Run the file and the imported network on random inputs and return how near they are.

    Args:
        network: as it was imported, in evaluation mode.
        source: the ONNX file, or its bytes.
        shapes: one shape an input, to be compared at before others; where sizes are free, two more are tried.

    Returns:
        A check for each size; one without a size where ONNX Runtime cannot run the file, which says why.

    Raises:
        Refused: they differ.
    """
    try:
        session = OnnxRuntimeSession(source, None)
    except ArtefactError as error:
        return (_not_compared(f"ONNX Runtime cannot open the file ({error.found})"),)
    random = np.random.default_rng(SEED)
    checks: list[SourceCheck] = []
    reason, most = "no size to try", SIZES + (shapes is not None)
    with session:
        for candidate in _sizes_to_try(session.inputs, shapes):
            try:
                pairs = [
                    (arrays, _run(session, arrays)) for arrays in _inputs(random, session.inputs, candidate)
                ]
            except Exception as error:  # noqa: BLE001  # types that numpy has not, sizes that the file cannot take
                reason = first_line(error)
                continue
            checks.append(_worst([_compare(network, arrays, answers, source) for arrays, answers in pairs]))
            if len(checks) == most:
                break
    return tuple(checks) or (_not_compared(f"ONNX Runtime cannot run the file ({reason})"),)


def compare_with_program(
    network: fx.GraphModule, program: ExportedProgram, source: Path | bytes
) -> tuple[SourceCheck, ...]:
    """Run an archive's own program and the imported network on random inputs and return how near they are.

    Args:
        network: as it was imported, in evaluation mode.
        program: as torch reads it from the archive.
        source: the archive, or its bytes.

    Returns:
        A check at the size of the archive's example inputs; one without a size, which says why, where the
        archive has none or its program does not run on such inputs.

    Raises:
        Refused: they differ.
    """
    release = f"torch {release_of('torch')}"
    if program.example_inputs is None:
        return (_not_compared("the archive has no example inputs", release),)
    leaves, tree = pytree.tree_flatten(program.example_inputs)
    generator = torch.Generator().manual_seed(SEED)
    checks = []
    for _ in range(INPUTS):
        tensors = [_drawn_like(leaf, generator) for leaf in leaves]
        arguments, options = pytree.tree_unflatten(tensors, tree)
        try:
            with torch.no_grad():
                answers = program.module()(*arguments, **options)
        except Exception as error:  # noqa: BLE001  # a guard on values, or whatever a program may raise
            return (_not_compared(f"its own program does not run ({first_line(error)})", release),)
        arrays = tuple(tensor.numpy() for tensor in tensors if isinstance(tensor, torch.Tensor))
        expected = [leaf.numpy() for leaf in pytree.tree_leaves(answers) if isinstance(leaf, torch.Tensor)]
        checks.append(_compare(network, arrays, expected, source, release))
    return (_worst(checks),)


def _drawn_like(leaf: Any, generator: torch.Generator) -> Any:
    if not isinstance(leaf, torch.Tensor) or not leaf.is_floating_point():
        return leaf
    return torch.randn(leaf.shape, generator=generator, dtype=torch.float64).to(leaf.dtype)


def _sizes_to_try(
    inputs: Sequence[TensorSpec], shapes: Sequence[Sequence[int]] | None
) -> Iterator[list[tuple[int, ...]]]:
    """Yield the shapes that were asked for, then others that the file takes."""
    first = None if shapes is None else [tuple(shape) for shape in shapes]
    if first is not None and len(first) == len(inputs):
        yield first
    yield from (candidate for candidate in _candidates(inputs) if candidate != first)


def _inputs(
    random: np.random.Generator, specs: Sequence[TensorSpec], shapes: Sequence[tuple[int, ...]]
) -> Iterator[tuple[Array, ...]]:
    """Yield random inputs of these shapes: two, or one where it is a batch of two by itself."""
    is_batch = any(shape[:1] > (1,) for shape in shapes)
    for number in range(1 if is_batch else INPUTS):
        yield tuple(
            _random_input(random, spec, shape, number) for spec, shape in zip(specs, shapes, strict=True)
        )


def _run(session: OnnxRuntimeSession, arrays: tuple[Array, ...]) -> Sequence[Array]:
    """Run the file; whole numbers that it has no place for are replaced, in place, by 0 and 1."""
    try:
        return session.run(*arrays)
    except ConfigError:
        integers = [array for array in arrays if array.dtype.kind in "iu" and array.max(initial=0) > 1]
        if not integers:
            raise
        for array in integers:
            np.mod(array, 2, out=array)
        return session.run(*arrays)


def _worst(checks: Sequence[SourceCheck]) -> SourceCheck:
    """Return the check that is nearest to its limit."""
    return max(checks, key=lambda check: (check.error or 0.0) / check.limit)


def record_checks(network: fx.GraphModule, checks: tuple[SourceCheck, ...]) -> None:
    """Keep checks with an imported network, for the certificate of whatever is made of it."""
    network.meta[CHECKS] = checks
    network.meta[WEIGHTS] = weights_sha256(network)


def source_checks(model: nn.Module) -> tuple[SourceCheck, ...]:
    """Return how a network was compared with its file; nothing where it has changed since."""
    meta = getattr(model, "meta", {})
    if not meta.get(CHECKS) or meta.get(WEIGHTS) != weights_sha256(model):
        return ()
    checks: tuple[SourceCheck, ...] = meta[CHECKS]
    return tuple(check for check in checks if check.shapes) or checks


def _candidates(inputs: Sequence[TensorSpec]) -> Iterator[list[tuple[int, ...]]]:
    """Yield a shape for each input: first of batch 1, then of 2, the other free sizes from `SIDES`."""
    is_free = any(None in spec.shape[1:] for spec in inputs)
    if not is_free:
        for batch in (1, 2) if any(spec.shape[:1] == (None,) for spec in inputs) else (1,):
            yield [tuple(batch if size is None else size for size in spec.shape) for spec in inputs]
        return
    for number, side in enumerate(SIDES):
        batch = 1 + number % 2
        yield [
            tuple(
                size if size is not None else (batch if axis == 0 else side + axis % 2)
                for axis, size in enumerate(spec.shape)
            )
            for spec in inputs
        ]


def _random_input(
    random: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...], number: int
) -> Array:
    """Draw normal numbers, then such as pictures hold; 0 and 1, then larger ones, where it takes integers."""
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        sample = random.standard_normal(shape) if number == 0 else random.random(shape)
        return sample.astype(dtype)
    most = MOST_PLACES if number and dtype.kind in "iu" else 2
    return random.integers(0, most, shape).astype(dtype)


def _compare(
    network: fx.GraphModule,
    arrays: tuple[Array, ...],
    answers: Sequence[Array],
    source: Path | bytes,
    release: str | None = None,
) -> SourceCheck:
    """Compare the file's answers with the network's.

    Raises:
        Refused: they differ, or the network does not take what the file takes.
    """
    shapes = tuple(array.shape for array in arrays)
    try:
        imported = _answers(network, arrays)
    except Exception as error:  # whatever torch makes of it
        raise _refusal(source, shapes, f"it does not run as imported ({first_line(error)})") from error
    distance, limit = _distance(answers, imported), _least_limit(network, arrays)
    if not distance <= limit and not np.isinf(distance):
        exact = _exact_answers(network, arrays)
        if exact is not None:
            limit = max(limit, ROUNDINGS * _distance(exact, imported))
            distance = _distance(exact, answers)
    if not distance <= limit:
        runtime = release or "ONNX Runtime"
        difference = (
            f"as imported it differs from the file in {runtime} by {distance:.3g} of the largest value"
        )
        raise _refusal(source, shapes, f"{difference}, beyond {limit:.3g}")
    return SourceCheck(shapes, distance, limit, release or _release())


def _least_limit(network: fx.GraphModule, arrays: tuple[Array, ...]) -> float:
    """Return what the coarsest numbers of the network leave."""
    types = {number.dtype for number in (*network.parameters(), *network.buffers())}
    types |= {torch.from_numpy(array[:0]).dtype for array in arrays if array.ndim}
    return max(LIMIT, *(LIMITS.get(dtype, LIMIT) for dtype in types)) if types else LIMIT


def _exact_answers(network: fx.GraphModule, arrays: tuple[Array, ...]) -> list[Array] | None:
    """Return what the network gives in float64; None where it does not run there."""
    try:
        return _answers(copy.deepcopy(network).double(), arrays)
    except Exception:  # noqa: BLE001  # an op that is held to another type
        return None


def _answers(network: fx.GraphModule, arrays: tuple[Array, ...]) -> list[Array]:
    """Run the network in its own element type."""
    numbers = (*network.parameters(), *network.buffers())
    dtype = next((number.dtype for number in numbers if number.is_floating_point()), None)
    tensors = [torch.from_numpy(array.copy()) for array in arrays]
    with torch.no_grad():
        results = network(*(t.to(dtype) if dtype and t.is_floating_point() else t for t in tensors))
    return [leaf.numpy() for leaf in pytree.tree_leaves(results) if isinstance(leaf, torch.Tensor)]


def _distance(references: Sequence[Array], others: Sequence[Array]) -> float:
    """Return max|difference| / max|reference| over all outputs; infinite where their kinds differ.

    Infinities and NaN must stand in the same places; integers and truth values must be equal.
    """
    if len(references) != len(others):
        return float("inf")
    return max(
        (_output_distance(reference, answer) for reference, answer in zip(references, others, strict=True))
    )


def _output_distance(reference: Array, answer: Array) -> float:
    if reference.shape != answer.shape or (reference.dtype.kind == "f") != (answer.dtype.kind == "f"):
        return float("inf")
    if reference.dtype.kind != "f":
        return 0.0 if np.array_equal(reference, answer) else float("inf")
    finite = np.isfinite(reference)
    if not np.array_equal(finite, np.isfinite(answer)) or not np.array_equal(
        reference[~finite], answer[~finite], equal_nan=True
    ):
        return float("inf")
    exact = reference[finite].astype(np.float64)
    scale = float(np.abs(exact).max(initial=0.0)) or 1.0
    return float(np.abs(exact - answer[finite]).max(initial=0.0)) / scale


def _refusal(source: Path | bytes, shapes: tuple[tuple[int, ...], ...], reason: str) -> Refused:
    name = f"ONNX bytes {hashlib.sha256(source).hexdigest()[:12]}" if isinstance(source, bytes) else source
    sizes = " and ".join("x".join(map(str, shape)) for shape in shapes)
    return Refused(
        f"import {name}, on random inputs of {sizes}",
        reason,
        "Nothing was written. Please report the file: an op of it means something else than it was read as",
    )


def _not_compared(reason: str, release: str | None = None) -> SourceCheck:
    return SourceCheck((), None, LIMIT, release or _release(), reason)


def _release() -> str:
    return f"onnxruntime {release_of('onnxruntime')}"
