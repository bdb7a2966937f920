"""Torch modules as what sessions run: their ends described, their arrays taken in and given back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from juggler.errors import ConfigError, JugglerError, first_line
from juggler.nouns import TensorSpec
from juggler.runtime.precision import BFLOAT16
from juggler.runtime.session import IMPORTERS, Array, Session, Source, owned

Forward = Callable[..., Any]
ENDS = "ends"  # key of an imported graph module's `meta`


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
    """Run the module without gradients and return its tensors as a tuple, in the order of `named_leaves`.

    Raises:
        ConfigError: it returns something other than tensors.
    """
    with torch.inference_mode():
        return as_tuple(module(*inputs))


def try_example(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Run the module on its example, and return its tensors.

    Raises:
        ConfigError: it does not take the example, or returns something other than tensors.
    """
    return as_tuple(result_of(module, inputs))


def result_of(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> Any:
    """Run the module on its example, and return what it returns.

    Raises:
        ConfigError: it does not take the example; the message names the part that fails.
    """
    try:
        with torch.inference_mode():
            return module(*inputs)
    except JugglerError:
        raise
    except Exception as error:  # a forward may raise whatever it likes
        shapes = ", ".join(str(list(value.shape)) for value in inputs)
        part = _failing_part(module, inputs)
        raise ConfigError(
            "run the module on its example",
            f"with an input of shape {shapes} it fails{part and f' in {part}'} ({first_line(error)})",
            "Give an example of the shape and element type that the module takes, batch first",
        ) from error


def _failing_part(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> str:
    """Return the path of the innermost part that the example does not get through; nothing where none is."""
    path: list[str] = []

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: path.append(name)

    hooks = []
    try:
        for name, part in module.named_modules():
            hooks += [
                part.register_forward_pre_hook(enter(name)),
                part.register_forward_hook(lambda *_: path.pop() and None),
            ]
        with torch.inference_mode():
            module(*inputs)
    except Exception:  # noqa: BLE001  # as before
        return path[-1] if path else ""
    finally:
        for hook in hooks:
            hook.remove()
    return ""


class Ends(NamedTuple):
    """What a network takes and what it gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def record_ends(network: fx.GraphModule, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> None:
    """Keep with an imported network what its file calls its ends, and which of their sizes are free."""
    network.meta[ENDS] = Ends(tuple(inputs), tuple(outputs))


def copy_ends(network: nn.Module, origin: nn.Module) -> None:
    """Give a network that was made of another one the ends of that one, where they were recorded."""
    ends = recorded_ends(origin)
    if ends is not None and isinstance(network, fx.GraphModule):
        network.meta[ENDS] = ends


def recorded_ends(module: nn.Module) -> Ends | None:
    """Return the ends that the network's file has; None where it was read from none."""
    meta: Any = getattr(module, "meta", None)
    return meta.get(ENDS) if isinstance(meta, dict) else None


def ends_of(module: nn.Module, inputs: tuple[torch.Tensor, ...], result: Any) -> Ends:
    """Describe a module's ends: as its file has them, else with a free batch and names of the house.

    Args:
        module: the network.
        inputs: its example.
        result: what it returns for it.
    """
    names, tensors = zip(*named_leaves(result), strict=True)
    recorded = recorded_ends(module)
    if recorded and (len(recorded.inputs), len(recorded.outputs)) == (len(inputs), len(tensors)):
        return recorded
    taken = end_names("input", len(inputs))
    free_names = [f"output_{name}" if name in taken else name for name in names]
    return Ends(_specs(taken, inputs), _specs(free_names, tensors))


def named_leaves(result: Any) -> list[tuple[str, torch.Tensor]]:
    """Return the tensors within what a module returns, with names; None, which holds nothing, is left out.

    One tensor is `output`, those of a tuple `output_0`, `output_1`, those of a dict are called by their keys,
    and those of containers in containers by all of them, with dots between.

    Raises:
        ConfigError: there is none, or something else is among them.
    """
    leaves = [(path, leaf) for path, leaf in pytree.tree_flatten_with_path(result)[0] if leaf is not None]
    strange = {type(leaf).__name__ for _, leaf in leaves if not isinstance(leaf, torch.Tensor)}
    if strange or not leaves:
        kinds = f" that holds {', '.join(sorted(strange))}" if strange and len(leaves) > 1 else ""
        raise ConfigError(
            "run the module",
            f"it returns a {type(result).__name__}{kinds or (' without a tensor' if not strange else '')}",
            "Wrap it so that it returns tensors, or tuples, lists or dicts of them",
        )
    strange_layouts = {str(leaf.layout) for _, leaf in leaves if leaf.layout != torch.strided}
    if strange_layouts:
        raise ConfigError(
            "run the module", f"it returns tensors of {min(strange_layouts)}", "Return dense tensors"
        )
    if len(leaves) == 1 and not isinstance(result, dict):
        return [("output", leaves[0][1])]
    named: dict[str, torch.Tensor] = {}
    for path, leaf in leaves:
        parts = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
        name = ".".join(parts)
        name = f"output_{name}" if name[:1].isdecimal() else name
        named[f"{name}_{len(named)}" if name in named or not name else name] = leaf
    return [*named.items()]


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
    inputs, outputs = ends_of(network, tensors, result_of(network, tensors))
    return Source(module=network, inputs=inputs, outputs=outputs)


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
        self._dtype = next(floats, torch.float32)
        self.network = copy.deepcopy(network).to(torch.bfloat16)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        results = as_tuple(self.network(*(_cast(value, torch.bfloat16) for value in inputs)))
        return tuple(_cast(result, self._dtype) for result in results)


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
            results = as_tuple(forward(*(torch.from_numpy(owned(array)) for array in arrays)))
        return tuple(result.contiguous().numpy() for result in results)

    def _close(self) -> None:
        self._forward = None


def is_plain(result: object) -> bool:
    """Say whether a module returns one tensor, or a tuple or list of nothing else."""
    values = result if isinstance(result, tuple | list) else (result,)
    return len(values) > 0 and all(isinstance(value, torch.Tensor) for value in values)


def as_tuple(result: object) -> tuple[torch.Tensor, ...]:
    """Return the tensors within what a module returns.

    Raises:
        ConfigError: as `named_leaves`.
    """
    if isinstance(result, torch.Tensor) and result.layout == torch.strided:
        return (result,)
    return tuple(leaf for _, leaf in named_leaves(result))


def _specs(names: Sequence[str], tensors: tuple[torch.Tensor, ...]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            name, (None, *tensor.shape[1:]) if tensor.ndim else (), str(tensor.dtype).removeprefix("torch.")
        )
        for name, tensor in zip(names, tensors, strict=True)
    )
