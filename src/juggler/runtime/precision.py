"""The precisions that networks run in, and which backend has which on this machine.

`float32` runs a network as it is written. `bfloat16` has float32's range and 8 bits of mantissa: the backend
casts weights and features, arrays stay float32. `int8` runs a graph that `runtime.int8` has written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from juggler.errors import ConfigError, Unavailable
from juggler.nouns import Noun
from juggler.runtime.session import BACKENDS, Array, Backend, Session, Source

FLOAT32, BFLOAT16, INT8 = "float32", "bfloat16", "int8"
PRECISIONS = (FLOAT32, BFLOAT16, INT8)

_MARK = b"QuantizeLinear"  # names of ops stand in an ONNX file as plain text


@dataclass(frozen=True)
class Deviation(Noun):
    """How far a network in one precision is from the same network in another, on the same inputs.

    Of several outputs it is the one that is farthest off.

    Attributes:
        signal_to_noise_db: 10 log10(sum of reference² / sum of difference²); None where all are equal.
        max_error: max|difference| / max|reference|.
        inputs: how many inputs were compared.
    """

    signal_to_noise_db: float | None
    max_error: float
    inputs: int


def deviation(reference: Session, compared: Session, *arrays: Array) -> Deviation:
    """Run both sessions on inputs held out of the calibration, one array an input, and compare the answers.

    Raises:
        ConfigError: arrays that a session does not take, or answers that are not all finite numbers.
    """
    return deviation_of(reference.run(*arrays), compared.run(*arrays), len(arrays[0]))


def deviation_of(reference: Sequence[Array], compared: Sequence[Array], inputs: int) -> Deviation:
    """Compare answers, one array an output, to so many inputs.

    Raises:
        ConfigError: answers that are not all finite numbers, or all zero where they should not be.
    """
    pairs = zip(reference, compared, strict=True)
    parts = [_deviation(before.astype(np.float64), after) for before, after in pairs]
    noises = [part[0] for part in parts if part[0] is not None]
    return Deviation(min(noises, default=None), max(part[1] for part in parts), inputs)


def answers(session: Session, pieces: Iterable[Sequence[Array]]) -> tuple[Array, ...]:
    """Run a session on one piece after another, each one array an input; return one array an output."""
    runs = [session.run(*piece) for piece in pieces]
    return tuple(
        np.concatenate([np.atleast_1d(array) for array in arrays]) for arrays in zip(*runs, strict=True)
    )


def classes_agreed(reference: Sequence[Array], compared: Sequence[Array]) -> tuple[int, int]:
    """Count inputs whose likeliest class is the same in both answers, and inputs that have classes at all.

    Outputs of shape `[n, classes]`, with two classes or more, have; where there are several such outputs, all
    must agree. Without one both counts are 0.
    """
    same = [
        before.argmax(axis=1) == after.argmax(axis=1)
        for before, after in zip(reference, compared, strict=True)
        if before.ndim == 2 and before.shape[1] > 1
    ]
    return (int(np.all(same, axis=0).sum()), len(same[0])) if same else (0, 0)


def _deviation(reference: Array, compared: Array) -> tuple[float | None, float]:
    difference = compared - reference
    if not np.isfinite(difference).all() or not reference.any():
        raise ConfigError(
            "compare two precisions",
            "answers that are all zero or not finite",
            "Give inputs of the usual range",
        )
    noise = float(np.square(difference).sum())
    ratio_db = 10.0 * math.log10(float(np.square(reference).sum()) / noise) if noise else None
    return ratio_db, float(np.abs(difference).max() / np.abs(reference).max())


def distance(references: Sequence[Array], answers: Sequence[Array]) -> float:
    """Return max|difference| / max|reference| over all outputs, each by its own largest value.

    Equal infinities are equal. Integers and truth values are compared exactly: any difference is infinite,
    as another shape or kind is. NaN on either side is NaN, which is within no limit.
    """
    if len(references) != len(answers):
        return math.inf
    parts = [_distance(before, after) for before, after in zip(references, answers, strict=True)]
    return math.nan if any(map(math.isnan, parts)) else max(parts, default=0.0)


def _distance(reference: Array, answer: Array) -> float:
    if reference.shape != answer.shape or (reference.dtype.kind in "fc") != (answer.dtype.kind in "fc"):
        return math.inf
    if reference.dtype.kind not in "fc":
        return 0.0 if np.array_equal(reference, answer) else math.inf
    if np.isnan(reference).any() or np.isnan(answer).any():
        return math.nan
    finite = np.isfinite(reference)
    if not np.array_equal(reference[~finite], answer[~finite]) or not np.isfinite(answer[finite]).all():
        return math.inf
    wide = np.complex128 if reference.dtype.kind == "c" else np.float64
    exact = reference[finite].astype(wide)
    scale = float(np.abs(exact).max(initial=0.0)) or 1.0
    return float(np.abs(exact - answer[finite]).max(initial=0.0)) / scale


def check_precision(precision: str) -> None:
    """Do nothing where the name is one of `PRECISIONS`.

    Raises:
        ConfigError: it is not.
    """
    if precision not in PRECISIONS:
        raise ConfigError(
            "choose a precision",
            f"there is no precision {precision!r}",
            f"Choose from {', '.join(PRECISIONS)}",
        )


def shortfall(backend: Backend, precision: str) -> tuple[str, str] | None:
    """Say what is missing for a precision, and what to do; None where an available backend has it.

    Raises:
        ConfigError: no such precision.
    """
    check_precision(precision)
    if precision == FLOAT32:
        return None  # every backend has it; asking would import what is not needed yet
    has = backend.precisions()
    if precision in has:
        return None
    others = [name for name, rival in BACKENDS if precision in rival.precisions()]
    where = f"use a backend that has it here: {', '.join(others)}" if others else "no backend here has it"
    return (
        f"on this machine it has {', '.join(has) or 'none'}, not {precision}",
        f"Choose one of these, or {where}",
    )


def require_precision(backend: Backend, precision: str, source: Source) -> None:
    """Do nothing where the backend can run the source in that precision.

    Raises:
        Unavailable: the backend does not have it on this machine.
        ConfigError: no such precision, or int8 of a graph that is not quantised.
    """
    action = f"open {backend.name} in {precision}"
    lacks = shortfall(backend, precision)
    if lacks:
        raise Unavailable(action, *lacks)
    if precision == INT8 and source.graph is not None and not is_quantized(source.graph):
        raise ConfigError(
            action,
            "the graph is not quantised",
            "Quantise it on inputs like those that it will meet: juggler.runtime.quantize_certified",
        )


def is_quantized(graph: Path | bytes) -> bool:
    """Say whether an ONNX graph quantises anything; the onnx package is not needed."""
    return _MARK in (graph if isinstance(graph, bytes) else graph.read_bytes())


def torch_precisions() -> tuple[str, ...]:
    """Name what torch runs convolutions in on this CPU; it asks oneDNN, whose kernels torch calls."""
    import torch  # noqa: PLC0415  # torch only where it is needed

    has_onednn: bool = torch._C._has_mkldnn
    has_bfloat16 = has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return (FLOAT32, BFLOAT16) if has_bfloat16 else (FLOAT32,)
