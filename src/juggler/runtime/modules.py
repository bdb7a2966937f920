"""Torch modules as what sessions run: their ends described, their arrays taken in and given back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from juggler.errors import ConfigError, first_line
from juggler.nouns import TensorSpec
from juggler.runtime.precision import BFLOAT16
from juggler.runtime.session import IMPORTERS, Array, Session, Source, owned

Forward = Callable[..., Any]


def examples(example: object) -> tuple[torch.Tensor, ...]:
    """Return example inputs as tensors on the CPU; a tensor, an array, or a tuple or list of them.

    Raises:
        ConfigError: anything else, or an input without a batch dimension.
    """
    values = example if isinstance(example, tuple | list) else (example,)
    tensors = []
    for value in values:
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        if not isinstance(tensor, torch.Tensor) or tensor.ndim == 0 or tensor.shape[0] == 0:
            description = list(tensor.shape) if isinstance(tensor, torch.Tensor) else type(value).__name__
            raise ConfigError(
                "read the example input", f"{description}", "Give a tensor whose first size is a batch"
            )
        tensors.append(tensor.detach().cpu())
    if not tensors:
        raise ConfigError("read the example input", "an empty tuple", "Give one tensor an input")
    return tuple(tensors)


def check_evaluating(module: nn.Module, action: str) -> None:
    """Do nothing where every part of the module is in evaluation mode.

    Raises:
        ConfigError: some part is in training mode, where its results depend on the batch.
    """
    training = [name or "the module" for name, part in module.named_modules() if part.training]
    if training:
        raise ConfigError(action, f"{training[0]} is in training mode", "Call module.eval() first")


def outputs_of(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Run the module without gradients and return its outputs as a tuple.

    Raises:
        ConfigError: it returns something other than tensors.
    """
    with torch.inference_mode():
        return _as_tuple(module(*inputs))


def try_example(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Run the module on its example.

    Raises:
        ConfigError: it does not take the example, or returns something other than tensors.
    """
    try:
        return outputs_of(module, inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = ", ".join(str(list(value.shape)) for value in inputs)
        raise ConfigError(
            "run the module on its example",
            f"with an input of shape {shapes} it fails ({first_line(error)})",
            "Give an example of the shape that the module takes, batch first",
        ) from error


def end_names(stem: str, count: int) -> list[str]:
    """Return names for inputs or outputs: `input` alone, `input_0`, `input_1` among several."""
    return [stem] if count == 1 else [f"{stem}_{index}" for index in range(count)]


def from_module(module: nn.Module, example: object) -> Source:
    """Describe a module's ends by running it once; the source holds a copy of the module, on the CPU.

    Raises:
        ConfigError: training mode, a bad example, or outputs that are no tensors.
    """
    check_evaluating(module, "open a session on a module")
    network = copy.deepcopy(module).cpu().requires_grad_(False)
    tensors = examples(example)
    results = try_example(network, tensors)
    return Source(module=network, inputs=_specs("input", tensors), outputs=_specs("output", results))


def from_graph(graph: Path | bytes) -> Source:
    """Import an ONNX graph as a module; the ends are those that the graph declares.

    Raises:
        ArtefactError: no ONNX model.
        ConfigError: it uses an op that the importer does not know.
    """
    from juggler.runtime.onnx_graphs.ends import ends  # noqa: PLC0415  # needs the onnx package

    inputs, outputs = ends(graph)
    return Source(module=IMPORTERS.get("onnx").load(graph), inputs=inputs, outputs=outputs)


class _Bfloat16(nn.Module):
    """A network cast to bfloat16 between float inputs and outputs of the network's own type."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        floats = (p.dtype for p in network.parameters() if p.is_floating_point())
        self._own = next(floats, torch.float32)
        self.network = copy.deepcopy(network).to(torch.bfloat16)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        results = _as_tuple(self.network(*(_cast(value, torch.bfloat16) for value in inputs)))
        return tuple(_cast(result, self._own) for result in results)


def in_precision(module: nn.Module, precision: str) -> nn.Module:
    """Return the module itself for float32, a cast copy for bfloat16; tensors go in and out as before."""
    return _Bfloat16(module).eval() if precision == BFLOAT16 else module


def _cast(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype) if value.is_floating_point() else value


class TorchSession(Session):
    """Run a callable on tensors that share memory with the arrays, in inference mode."""

    def __init__(self, backend: str, source: Source, forward: Forward, threads: int | None) -> None:
        super().__init__(backend, source.inputs, source.outputs)
        self._forward: Forward | None = forward
        self._threads = threads

    def _run(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        if self._forward is None or self._threads in (None, torch.get_num_threads()):
            return self._infer(arrays)
        # The number of threads belongs to the process, not to the session: lend it for one call.
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads or before)
        try:
            return self._infer(arrays)
        finally:
            torch.set_num_threads(before)

    def _infer(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        forward = self._forward
        if forward is None:  # closed while another thread runs it
            raise self._refusal(len(arrays))
        with torch.inference_mode():
            results = _as_tuple(forward(*(torch.from_numpy(owned(array)) for array in arrays)))
        return tuple(result.contiguous().numpy() for result in results)

    def _close(self) -> None:
        self._forward = None


def _as_tuple(result: object) -> tuple[torch.Tensor, ...]:
    if isinstance(result, torch.Tensor):
        return (result,)
    if isinstance(result, tuple | list) and result and all(isinstance(r, torch.Tensor) for r in result):
        return tuple(result)
    raise ConfigError(
        "run the module", f"it returns a {type(result).__name__}", "Wrap it so that it returns tensors"
    )


def _specs(stem: str, tensors: tuple[torch.Tensor, ...]) -> tuple[TensorSpec, ...]:
    names = end_names(stem, len(tensors))
    return tuple(
        TensorSpec(name, (None, *tensor.shape[1:]), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in zip(names, tensors, strict=True)
    )
