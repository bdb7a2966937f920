"""Judge an exported graph against its module: on the same inputs, by more than float32's own rounding.

A network that rounds badly does so in every runtime, and that is no fault of the graph. So where the two
differ by more than the limit, both are held against the module in float64, and what the graph may be off is a
few times what torch's float32 is off, or what ONNX Runtime's own optimiser changes by rounding in the very
same graph, whichever is more.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from juggler.errors import ConfigError, JugglerError, ParityError
from juggler.nouns import TensorSpec
from juggler.runtime.backends.onnxruntime import OnnxRuntimeSession
from juggler.runtime.modules import outputs_of
from juggler.runtime.precision import distance
from juggler.runtime.session import Array

LIMIT = 1e-5  # of the largest value: what float32 leaves
ROUNDINGS = 4.0  # how many times float32's own rounding a graph may be off
MOST_ROUNDING = 0.05  # beyond it the answers say nothing, however they came about
BATCHES = (1, 3)
ASKED = "export a module and compare the graph with it"
REMEDY = "Nothing was written. Look for sizes or values that the module computes from its example"

Inputs = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Parity:
    """How near a graph in ONNX Runtime is to its module in torch, of the largest value.

    Attributes:
        error: max|difference| / max|reference|; NaN where NaN is among the answers.
        limit: what it may be.
        torch_rounding: how far torch's float32 is from its float64; None where float64 was not needed, or
            the module does not run in it.
        runtime_rounding: how far ONNX Runtime's optimiser moves the answers of the same graph.
    """

    error: float
    limit: float
    torch_rounding: float | None = None
    runtime_rounding: float | None = None

    @property
    def holds(self) -> bool:
        """Say whether the graph is as near as it has to be."""
        return self.error <= self.limit

    def __str__(self) -> str:
        text = f"a relative error of {self.error:.3g}"
        if self.torch_rounding is None:
            return f"{text}, beyond {self.limit:.3g}"
        return (
            f"{text} from float64, beyond {self.limit:.3g} (torch's own rounding {self.torch_rounding:.3g}, "
            f"ONNX Runtime's {self.runtime_rounding:.3g})"
        )


def check_parity(
    module: nn.Module,
    inputs: Inputs,
    specs: Sequence[TensorSpec],
    graph: bytes,
    *,
    limit: float = LIMIT,
    seed: int = 0,
) -> None:
    """Compare the graph on ONNX Runtime with the module, on random inputs of several sizes.

    Args:
        module: in evaluation mode.
        inputs: its example.
        specs: what the graph takes; free sizes are tried at more than the example's.
        graph: the ONNX model.
        limit: what the largest difference may be, of the largest value, where float32 leaves no more.
        seed: draws the inputs.

    Raises:
        ParityError: they differ, or the graph does not run.
    """
    generator = torch.Generator().manual_seed(seed)
    try:
        with OnnxRuntimeSession(graph, None) as session:
            for trial in _trials(module, inputs, specs, generator):
                parity = _judge(module, trial, session, graph, limit)
                if not parity.holds:
                    sizes = ", ".join("x".join(map(str, value.shape)) for value in trial)
                    raise ParityError(ASKED, f"{parity}, at batch {trial[0].shape[0]} ({sizes})", REMEDY)
    except ParityError:
        raise
    except JugglerError as error:
        raise ParityError(ASKED, f"the graph does not run ({error.found})", REMEDY) from error


def _judge(
    module: nn.Module, inputs: Inputs, session: OnnxRuntimeSession, graph: bytes, limit: float
) -> Parity:
    expected = _arrays(outputs_of(module, inputs))
    arrays = tuple(value.numpy() for value in inputs)
    answers = session.run(*arrays)
    error = distance(expected, answers)
    if error <= limit or not math.isfinite(error):
        return Parity(error, limit)
    # A module that answers otherwise each time would be excused by its own noise.
    is_steady = distance(expected, _arrays(outputs_of(module, inputs))) <= limit
    exact = _in_float64(module, inputs) if is_steady else None
    if exact is None:
        return Parity(error, limit)
    with OnnxRuntimeSession(graph, None, optimise=False) as plain:
        runtime_rounding = distance(plain.run(*arrays), answers)
    torch_rounding = distance(exact, expected)
    roundings = [value for value in (torch_rounding, runtime_rounding) if math.isfinite(value)]
    return Parity(
        distance(exact, answers),
        max(limit, min(MOST_ROUNDING, ROUNDINGS * max(roundings, default=0.0))),
        torch_rounding,
        runtime_rounding,
    )


def _in_float64(module: nn.Module, inputs: Inputs) -> tuple[Array, ...] | None:
    """Return the module's answers in float64; None where it does not run in it."""
    exact = copy.deepcopy(module).double()
    return _answers(exact, tuple(value.double() if value.is_floating_point() else value for value in inputs))


def _answers(module: nn.Module, inputs: Inputs) -> tuple[Array, ...] | None:
    try:
        return _arrays(outputs_of(module, inputs))
    except Exception:  # noqa: BLE001  # a forward may raise whatever it likes
        return None


def _trials(
    module: nn.Module, inputs: Inputs, specs: Sequence[TensorSpec], generator: torch.Generator
) -> Iterator[Inputs]:
    """Yield inputs of the example's size at each batch that the graph takes, and of another where it may."""
    is_free = all(spec.shape[:1] == (None,) for spec in specs)
    for batch in BATCHES if is_free else (inputs[0].shape[0],):
        yield tuple(_like(value, (batch, *value.shape[1:]), generator) for value in inputs)
    if not any(None in spec.shape[1:] for spec in specs):
        return
    yield other_size(module, inputs, specs, generator)


def other_size(
    module: nn.Module, inputs: Inputs, specs: Sequence[TensorSpec], generator: torch.Generator
) -> Inputs:
    """Return inputs that the module takes, whose free sizes, all but the batch, differ from the example's.

    Raises:
        ConfigError: it takes none of those that are tried.
    """
    for times, more in ((1, 32), (2, 0), (1, 1)):
        trial = []
        for value, spec in zip(inputs, specs, strict=True):
            pairs = list(zip(value.shape, spec.shape, strict=True))
            sides = [times * side + more if size is None else side for side, size in pairs[1:]]
            trial.append(_like(value, (value.shape[0], *sides), generator))
        if _answers(module, tuple(trial)) is not None:
            return tuple(trial)
    raise ConfigError(ASKED, "the module takes no other size than its example's", REMEDY)


def _like(value: torch.Tensor, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Draw an input of the example's kind: normal if it is floating, else values of the example."""
    if value.is_floating_point():
        return torch.randn(shape, generator=generator, dtype=value.dtype)
    if shape[1:] == value.shape[1:]:
        return value[torch.randint(value.shape[0], shape[:1], generator=generator)]
    flat = value.reshape(-1)
    return flat[torch.randint(flat.numel(), shape, generator=generator)]


def _arrays(outputs: Sequence[torch.Tensor]) -> tuple[Array, ...]:
    return tuple(output.numpy() for output in outputs)
