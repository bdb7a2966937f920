"""From a module to a graph that rules can read: the one graph form of the house is torch.fx."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from juggler.count.network import macs_by_node
from juggler.errors import Refused, first_line
from juggler.nouns import GraphNode, GraphSummary
from juggler.transform.tracing.preparation import Example, evaluation_copy, inputs_of
from juggler.transform.tracing.tracers import (
    by_example,
    check_outputs,
    exported,
    input_refusal,
    run,
    symbolically,
)


def trace(model: nn.Module, example: Example | None = None) -> fx.GraphModule:
    """Return the graph of a copy of `model`; the model itself is never changed.

    With an example, what torch.fx cannot follow by itself (branches on sizes, shape arithmetic) is followed
    for the example's sizes, and then by torch.export. Whichever way it went, the graph is held against the
    model on the example before it is given out.

    Args:
        model: in evaluation mode.
        example: one input, or a tuple of all of them. None: only what can be followed without sizes is.

    Returns:
        The graph. A result of a class of its own (a dataclass, a `ModelOutput`) comes out as a dict.

    Raises:
        ConfigError: it is no module, or the example is neither a tensor nor a tuple of tensors.
        Refused: the model cannot be copied, does not run on the example, or its control flow depends on what
            its input holds; the message says where.
    """
    network = evaluation_copy(model)
    if example is None:
        return _annotated(symbolically(network, None))
    inputs = inputs_of(network, example)
    outputs = run(network, inputs)
    refusals: list[Refused] = []
    for way in (symbolically, by_example, exported):
        try:
            traced = way(evaluation_copy(model), inputs)
            check_outputs(traced, inputs, outputs)
        except Refused as refused:
            refusals.append(refused)
        else:
            return _annotated(traced)
    # The second knew the sizes: what stopped it is what the owner can mend. The first may only lack them.
    by_example_refused = refusals[1]
    raise Refused(
        by_example_refused.asked,
        f"{by_example_refused.found}; torch.export: {refusals[2].found}",
        by_example_refused.remedy,
    ) from by_example_refused


def _annotated(traced: fx.GraphModule) -> fx.GraphModule:
    """Note on every node what it stands for, and make buffers of its constants."""
    for node in traced.graph.nodes:
        node.type = None
        node.meta["stands_for"] = node.name
        node.meta["paths"] = (str(node.target),) if node.op == "call_module" else ()
        if node.op == "get_attr":
            owner, _, name = str(node.target).rpartition(".")
            module = traced.get_submodule(owner)
            value = getattr(module, name)
            if isinstance(value, Tensor) and name in vars(module):  # else it would miss a change of type
                delattr(module, name)
                module.register_buffer(name, value.detach())
    traced.recompile()
    return traced.eval()


def propagate_shapes(traced: fx.GraphModule, example: Example) -> None:
    """Note on every node the shape that it has for `example`; copies of the graph keep it.

    The values are computed: on torch's meta device, Python works out the shapes of many ops, and is slower.

    Raises:
        Refused: the network cannot be run on the example.
    """
    inputs = example if isinstance(example, tuple) else (example,)
    try:
        with torch.no_grad():
            _Shapes(traced).run(*inputs)
    except Exception as error:  # an op may raise whatever it likes
        raise input_refusal(inputs, f"{type(error).__name__}: {first_line(error)}") from error


class _Shapes(fx.Interpreter):
    """Note each node's shape; torch's own pass prints a traceback before it raises."""

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        n.meta["shape"] = tuple(value.shape) if isinstance(value, Tensor) else ()
        if isinstance(value, Tensor):
            n.meta["decides"] = not (value.is_floating_point() or value.is_complex())
            if n.op == "placeholder":
                n.meta["dtype"] = value.dtype
        return value


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Return the shape that `propagate_shapes` noted; `()` where the node gives no single tensor."""
    shape: tuple[int, ...] = node.meta.get("shape", ())
    return shape


class View:
    """What rules may ask of a graph."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced

    def nodes(self) -> Iterator[fx.Node]:
        """Yield the nodes in order of execution."""
        yield from self.traced.graph.nodes

    def module(self, node: object) -> nn.Module | None:
        """Return the module that the node calls; `None` for any other node."""
        if isinstance(node, fx.Node) and node.op == "call_module":
            return self.traced.get_submodule(str(node.target))
        return None

    def changed_in_place(self, node: fx.Node) -> bool:
        """Say whether a reader of the node overwrites it while others still read it."""
        return len(node.users) > 1 and any(self._overwrites(user, node) for user in node.users)

    def is_overwritten(self, node: fx.Node) -> bool:
        """Say whether some reader of the node writes over it."""
        return any(self._overwrites(user, node) for user in node.users)

    def _overwrites(self, user: fx.Node, node: fx.Node) -> bool:
        if not user.args or user.args[0] is not node:
            return False
        module = self.module(user)
        return bool(
            getattr(module, "inplace", False)
            or user.kwargs.get("inplace", False)
            or user.target is operator.iadd
            or (user.op == "call_method" and str(user.target).endswith("_"))
        )


def label(node: fx.Node) -> str:
    """Return the name by which a person knows the node: the path of its module, where it calls one."""
    return str(node.target) if node.op == "call_module" else node.name


def summarise(traced: fx.GraphModule, name: str, example: Example | None = None) -> GraphSummary:
    """Return the graph as plain nouns, for pictures and tables; shapes must have been propagated.

    Args:
        traced: the graph.
        name: what the network is called.
        example: what its work is counted for. None: inputs of the shapes that were propagated.
    """
    view = View(traced)
    macs = macs_by_node(traced, _bare_inputs(traced) if example is None else example)
    labels = Counter(label(node) for node in view.nodes())
    names = {node: label(node) if labels[label(node)] == 1 else node.name for node in view.nodes()}
    nodes = tuple(
        GraphNode(
            name=names[node],
            kind=_kind(node, view.module(node)),
            inputs=tuple(names[source] for source in node.all_input_nodes),
            shape=shape_of(node),
            macs=macs[node.name],
        )
        for node in view.nodes()
    )
    return GraphSummary(name, nodes)


def _bare_inputs(traced: fx.GraphModule) -> tuple[Tensor, ...]:
    """Return inputs of the shapes and types that were propagated, without values."""
    placeholders = traced.graph.find_nodes(op="placeholder")
    return tuple(
        torch.empty(shape_of(node), dtype=node.meta.get("dtype"), device="meta") for node in placeholders
    )


def _kind(node: fx.Node, module: Any) -> str:
    if module is not None:
        kernel = getattr(module, "kernel_size", None)
        size = "x".join(map(str, kernel)) if isinstance(kernel, tuple) else ""
        return f"{type(module).__name__} {size}".strip()
    if node.op in ("call_function", "call_method"):
        return str(getattr(node.target, "__name__", node.target)).strip("_")
    return node.op
