"""Hold an imported network against its file: a proof is of the file, not of how it was read.

The file runs in ONNX Runtime, the imported network in torch, both on the same random inputs. Where they
differ by more than rounding, the import is refused. How far rounding may go is asked of the network itself:
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
from torch.utils import _pytree as pytree

from juggler.digest import weights_sha256
from juggler.errors import ArtefactError, ConfigError, Refused
from juggler.nouns import SourceCheck, TensorSpec
from juggler.packages import release_of
from juggler.runtime.backends.onnxruntime import OnnxRuntimeSession

CHECKS, WEIGHTS = "source_checks", "source_weights"  # keys of an imported graph module's `meta`
LIMIT = 1e-5  # of the largest value: what float32 leaves
ROUNDINGS = 4.0  # how many times its own rounding an ill-conditioned network may be off
SIDES = (32, 64, 224, 299, 16, 7)  # tried in turn where a size is free
SIZES = 2  # compared where sizes are free
SEED = 0

Array = npt.NDArray[Any]


def compare_with_source(
    network: fx.GraphModule, source: Path | bytes, shapes: Sequence[Sequence[int]] | None = None
) -> tuple[SourceCheck, ...]:
    """Run the file and the imported network on random inputs and return how near they are.

    Args:
        network: as it was imported, in evaluation mode.
        source: the ONNX file, or its bytes.
        shapes: one shape an input; None tries two sizes where sizes are free.

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
    reason = "no size to try"
    with session:
        for candidate in [shapes] if shapes is not None else _candidates(session.inputs):
            inputs = zip(session.inputs, candidate, strict=True)
            arrays = tuple(_random_input(random, spec, tuple(shape)) for spec, shape in inputs)
            try:
                answers = session.run(*arrays)
            except (ConfigError, TypeError) as error:
                reason = str(error)
                continue
            checks.append(_compare(network, arrays, answers, source))
            if len(checks) == SIZES:
                break
    return tuple(checks) or (_not_compared(f"ONNX Runtime cannot run the file ({reason})"),)


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
        for batch in (1, 2) if any(spec.shape[:1] == (None,) for spec in inputs) else (1, 1):
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


def _random_input(random: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """Draw normal numbers; 0 and 1 where the input takes integers or truth values."""
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return random.standard_normal(shape).astype(dtype)
    return random.integers(0, 2, shape).astype(dtype)


def _compare(
    network: fx.GraphModule, arrays: tuple[Array, ...], answers: Sequence[Array], source: Path | bytes
) -> SourceCheck:
    """Compare the file's answers with the network's.

    Raises:
        Refused: they differ, or the network does not take what the file takes.
    """
    shapes = tuple(array.shape for array in arrays)
    try:
        imported = _answers(network, arrays)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise _refusal(source, shapes, f"it does not run as imported ({_first_line(error)})") from error
    distance, limit = _distance(answers, imported), LIMIT
    if not distance <= LIMIT and not np.isinf(distance):
        exact = _answers(copy.deepcopy(network).double(), arrays)
        limit = max(LIMIT, ROUNDINGS * _distance(exact, imported))
        distance = _distance(exact, answers)
    if not distance <= limit:
        difference = (
            f"as imported it differs from the file in ONNX Runtime by {distance:.3g} of the largest value"
        )
        raise _refusal(source, shapes, f"{difference}, beyond {limit:.3g}")
    return SourceCheck(shapes, distance, limit, _release())


def _answers(network: fx.GraphModule, arrays: tuple[Array, ...]) -> list[Array]:
    """Run the network in its own element type."""
    numbers = (*network.parameters(), *network.buffers())
    dtype = next((number.dtype for number in numbers if number.is_floating_point()), None)
    tensors = [torch.from_numpy(array.copy()) for array in arrays]
    with torch.no_grad():
        results = network(*(t.to(dtype) if dtype and t.is_floating_point() else t for t in tensors))
    return [leaf.numpy() for leaf in pytree.tree_leaves(results)]


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


def _not_compared(reason: str) -> SourceCheck:
    return SourceCheck((), None, LIMIT, _release(), reason)


def _release() -> str:
    return f"onnxruntime {release_of('onnxruntime')}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
