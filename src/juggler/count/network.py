"""Count what a network costs: its work, its weights and its traffic, operator by operator.

Nothing is computed: the network runs on torch's meta device, which knows shapes and no values. Where that
does not do, for the forward looks at what its input holds, it runs on values. Nothing is left out in
silence: operators that cannot be counted are listed.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree

from juggler.count.counted import Counted, OpCount, Uncounted
from juggler.count.liveness import live_bytes
from juggler.count.recording import (
    UNCOUNTED,
    Recorder,
    Seen,
    bare_like,
    bytes_of,
    held_by,
    is_floating,
    tensors_in,
    weights_of,
)
from juggler.errors import ConfigError, Refused

__all__ = ["Counted", "OpCount", "Uncounted", "count"]

Example = Tensor | tuple[Tensor, ...]
Trace = Callable[[nn.Module, tuple[Tensor, ...]], fx.GraphModule]
GRAPH, RUN = "graph", "run"
ACTION = "count the network"


def count(network: nn.Module, example: Example, *, trace: Trace | None = None) -> Counted:
    """Count a network for an example; the network is not changed.

    Args:
        network: in evaluation mode. Counts of a torch.fx graph belong to its nodes, of any other module to
            the modules in it.
        example: one input, or a tuple of all of them; on the meta device shapes are enough.
        trace: turns a module into such a graph. Where it refuses, the network is counted by running it, and
            the result says so.

    Raises:
        ConfigError: it is no module, in training mode, does not take the example, or runs no operator.
    """
    inputs = _checked(network, example)
    note, ways = "", [network]
    if trace is not None and not isinstance(network, fx.GraphModule):
        try:
            ways.insert(0, trace(network, inputs))
        except Refused as refused:
            note = f"Counted by running it, for it cannot be traced: {refused.found}"
    for way in ways:
        try:
            recorder, obstacle = _recorded(way, inputs)
        except Exception as error:  # noqa: BLE001  # a forward may raise whatever it likes
            failure = error
            continue
        if obstacle is not None:
            values = "random values" if any(tensor.is_meta for tensor in inputs) else "the values given"
            note = f"{note} Counted on {values}, for it needs them: {_first_line(obstacle)}".strip()
        return _counted(network, way, recorder, inputs, note)
    raise _unfit(inputs, failure) from failure


def macs_by_node(graph: fx.GraphModule, example: Example) -> Counter[str]:
    """Return the multiply-accumulates of a graph by the names of its nodes; the graph is not changed.

    Raises:
        ConfigError: the graph is in training mode or does not take the example.
    """
    inputs = _checked(graph, example)
    try:
        recorder, _ = _recorded(graph, inputs)
    except Exception as error:  # a forward may raise whatever it likes
        raise _unfit(inputs, error) from error
    macs = Counter[str]()
    for op in recorder.seen:
        macs[op.node] += op.count.macs
    return macs


def _unfit(inputs: tuple[Tensor, ...], failure: Exception) -> ConfigError:
    kinds = ", ".join(f"{list(tensor.shape)} of {tensor.dtype}".replace("torch.", "") for tensor in inputs)
    return ConfigError(
        ACTION,
        f"with inputs {kinds} it fails: {_first_line(failure)}",
        "Give examples of the shapes and types that it takes, batch first: --shape and --dtype, each input",
    )


def _checked(network: nn.Module, example: Example) -> tuple[Tensor, ...]:
    if not isinstance(network, nn.Module):
        raise ConfigError(ACTION, f"it is a {type(network).__name__}", "Pass a torch.nn.Module")
    inputs = example if isinstance(example, tuple) else (example,)
    wrong = [type(tensor).__name__ for tensor in inputs if not isinstance(tensor, Tensor)]
    if wrong or not inputs:
        raise ConfigError(
            ACTION,
            f"the example holds {', '.join(wrong) or 'nothing'}",
            "Pass one input, torch.randn(1, 3, 224, 224), or a tuple with a tensor for each input",
        )
    training = [path or "the network itself" for path, part in network.named_modules() if part.training]
    if training:
        raise ConfigError(
            ACTION,
            f"{training[0]} is in training mode, where it computes something else",
            "Call model.eval() first",
        )
    lazy = [path for path, value in network.named_parameters() if is_lazy(value)]
    if lazy:
        raise ConfigError(
            ACTION,
            f"{lazy[0]} is lazy: it has no size yet",
            "Call the network once on an input, then count it",
        )
    return inputs


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]


def _recorded(network: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Recorder, Exception | None]:
    """Run on shapes, or on values where that fails; return the record, and why."""
    try:
        return _on_shapes(network, inputs), None
    except Exception as error:  # noqa: BLE001  # a forward may raise whatever it likes
        return _on_values(network, inputs), error


def _on_shapes(network: nn.Module, inputs: tuple[Tensor, ...]) -> Recorder:
    """Run a copy without values; only its tensors are left out of the copying."""
    memory: dict[int, Any] = {}
    for tensor in held_by(network):
        bare = bare_like(tensor)
        is_parameter = isinstance(tensor, nn.Parameter)
        memory[id(tensor)] = nn.Parameter(bare, requires_grad=False) if is_parameter else bare
    bare_copy = copy.deepcopy(network, memory)
    bare_inputs = tuple(map(bare_like, inputs))
    with torch.device("meta"):
        return _watched(bare_copy, bare_inputs)


def _on_values(network: nn.Module, inputs: tuple[Tensor, ...]) -> Recorder:
    device = next((tensor.device for tensor in held_by(network)), torch.device("cpu"))
    draw = torch.Generator().manual_seed(0)
    values = tuple(_drawn_like(t, draw).to(device) if t.is_meta else t for t in inputs)
    return _watched(network, values)


def _drawn_like(tensor: Tensor, draw: torch.Generator) -> Tensor:
    """Return random values of a tensor's sizes and type: normal ones, or 0 and 1, which every table has."""
    if is_floating(tensor):
        return torch.randn(tensor.shape, generator=draw, dtype=tensor.dtype)
    return torch.randint(2, tensor.shape, generator=draw).to(tensor.dtype)


def _watched(network: nn.Module, inputs: tuple[Tensor, ...]) -> Recorder:
    """Run the network under a recorder, and return that."""
    recorder = Recorder(network)
    recorder.inputs = tuple(map(recorder.buffer, inputs))
    with _taken_apart(), torch.inference_mode(), recorder.following(network), recorder:
        if isinstance(network, fx.GraphModule):
            outputs = _Nodes(network, recorder).run(*inputs)
        else:
            outputs = network(*inputs)
    leaves = [leaf for value in pytree.tree_leaves(outputs) for leaf in tensors_in(value)]
    recorder.outputs = tuple(map(recorder.buffer, leaves))
    return recorder


@contextmanager
def _taken_apart() -> Iterator[None]:
    """Keep torch from kernels that do a whole layer, or a recurrent network, in one call."""
    fast, layers = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)  # the public way warns of what this machine lacks
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch._C._set_mkldnn_enabled(layers)


class _Nodes(fx.Interpreter):
    """Tell the recorder which node runs."""

    def __init__(self, network: fx.GraphModule, recorder: Recorder) -> None:
        super().__init__(network)
        self._recorder = recorder
        self.extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        stack = tuple(n.meta.get("nn_module_stack", {}).values())
        self._recorder.place = str(n.target) if n.op == "call_module" else n.name
        self._recorder.node = n.name
        self._recorder.path = str(stack[-1][0]) if stack else ""
        return super().run_node(n)


def _counted(
    network: nn.Module,
    way: nn.Module,
    recorder: Recorder,
    inputs: tuple[Tensor, ...],
    note: str,
) -> Counted:
    seen = recorder.seen
    if not seen:
        raise ConfigError(ACTION, "it runs no operator", "Give a network that computes something")
    steps = [op.step for op in seen]
    alive = live_bytes(steps, recorder.activations(), inputs=recorder.inputs, outputs=recorder.outputs)
    ops = tuple(
        replace(op.count, name=name, live_bytes=live)
        for op, name, live in zip(seen, names_of(seen), alive, strict=True)
    )
    missed = Counter(op.operator for op in ops if op.kind == UNCOUNTED)
    first = {op.operator: op.name for op in reversed(ops)}
    weights = weights_of(network)
    return Counted(
        ops=ops,
        uncounted=tuple(Uncounted(name, times, first[name]) for name, times in missed.most_common()),
        how=GRAPH if isinstance(way, fx.GraphModule) else RUN,
        note=note,
        input_shapes=tuple(tuple(tensor.shape) for tensor in inputs),
        parameters=sum(tensor.numel() for tensor, is_parameter in weights if is_parameter),
        statistics=sum(t.numel() for t, is_parameter in weights if not is_parameter and is_floating(t)),
        param_bytes=sum(bytes_of(tensor) for tensor, _ in weights),
    )


def names_of(seen: Sequence[Seen]) -> list[str]:
    """Return a name for each operator: its place, and where several share it, the operator and a number.

    A view gives way: the one operator of a module that computes has the module's name.
    """
    busy = Counter((op.place, op.part) for op in seen if op.count.kind != "view")
    stems = []
    for op in seen:
        alone = op.count.kind != "view" and busy[op.place, op.part] == 1 and op.place
        operator = op.count.operator.rpartition(".")[2].strip("_")
        name = op.place if alone else f"{op.place}/{operator}".lstrip("/")
        stems.append(f"{name} {op.part}".rstrip())
    total, used = Counter(stems), Counter[str]()
    names = []
    for name in stems:
        used[name] += 1
        names.append(f"{name}#{used[name]}" if total[name] > 1 else name)
    return names
