"""From a module to a graph that rules can read: the one graph form of the house is torch.fx."""

from __future__ import annotations

import copy
import operator
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from juggler.errors import Refused
from juggler.nouns import GraphNode, GraphSketch

_ADDITIONS = {operator.add, operator.iadd, torch.add, "add", "add_"}


class _Tracer(fx.Tracer):
    """Trace into everything but torch's own modules and what inherits from its convolutions and norms.

    A subclass is taken for what it inherits from and then held to it: every rewrite is checked against
    what the module really computes.
    """

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _ConvNd | _BatchNorm | nn.Linear) or super().is_leaf_module(
            m, module_qualified_name
        )


def trace(model: nn.Module) -> fx.GraphModule:
    """Return the graph of a copy of `model`; the model itself is never changed.

    Raises:
        Refused: the model is in training mode, or its control flow depends on its input.
    """
    training = [name or "the model itself" for name, m in model.named_modules() if m.training]
    if training:
        raise Refused(
            "flatten the network",
            f"{len(training)} of its modules are in training mode ({', '.join(training[:3])}, ...): batch "
            "norm would use the statistics of the batch, and no flat network computes that",
            "Call model.eval() first",
        )
    own = copy.deepcopy(model)
    tracer = _Tracer()
    try:
        graph = tracer.trace(own)
    except (fx.proxy.TraceError, TypeError, RuntimeError, ValueError, AttributeError) as error:
        raise Refused(
            "trace the network",
            f"torch.fx could not follow {type(model).__name__}.forward ({error})",
            "Take control flow that depends on the input's values out of forward, or flatten the submodules "
            "one by one",
        ) from error
    traced = fx.GraphModule(own, graph, class_name=type(model).__name__)
    for node in graph.nodes:
        node.meta["stands_for"] = node.name
        node.meta["paths"] = (str(node.target),) if node.op == "call_module" else ()
    return traced.eval()


def propagate_shapes(traced: fx.GraphModule, example: Tensor) -> None:
    """Note on every node the shape that it has for `example`.

    Raises:
        Refused: the network cannot be run on the example.
    """
    try:
        with torch.no_grad():
            _propagate(traced, example)
    except RuntimeError as error:
        raise Refused(
            "run the network on the example",
            f"an input of shape {tuple(example.shape)} and type {example.dtype} gave: {error}",
            "Pass an example of the shape that the network is made for",
        ) from error


def _propagate(traced: fx.GraphModule, example: Tensor) -> None:
    """Work the shapes out without computing values where torch can; it takes seconds otherwise."""
    shadow = copy.deepcopy(traced).to("meta")
    try:
        _Shapes(shadow).run(example.to("meta"))
    except (NotImplementedError, RuntimeError):  # an op that needs values, or a constant of its own
        _Shapes(traced).run(example)
        return
    for node, twin in zip(traced.graph.nodes, shadow.graph.nodes, strict=True):
        node.meta["shape"] = twin.meta["shape"]


class _Shapes(fx.Interpreter):
    """Note each node's shape; torch's own pass prints a traceback before it raises."""

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        n.meta["shape"] = tuple(value.shape) if isinstance(value, Tensor) else ()
        return value


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Return the shape that `propagate_shapes` noted; `()` where the node gives no single tensor."""
    shape: tuple[int, ...] = node.meta.get("shape", ())
    return shape


class View:
    """What rules may ask of a graph."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self._calls = Counter(id(self.module(n)) for n in traced.graph.nodes if n.op == "call_module")

    def nodes(self) -> Iterator[fx.Node]:
        """Yield the nodes in order of execution."""
        yield from self.traced.graph.nodes

    def module(self, node: object) -> nn.Module | None:
        """Return the module that the node calls; `None` for any other node."""
        if isinstance(node, fx.Node) and node.op == "call_module":
            return self.traced.get_submodule(str(node.target))
        return None

    def calls(self, node: fx.Node) -> int:
        """Return how often the graph calls the node's module, under whatever name."""
        return self._calls[id(self.module(node))]

    def is_addition(self, node: fx.Node) -> bool:
        """Say whether the node adds two tensors, whichever way it is written."""
        return (
            node.op in ("call_function", "call_method")
            and node.target in _ADDITIONS
            and len(node.args) == 2
            and not node.kwargs
            and all(isinstance(a, fx.Node) for a in node.args)
        )

    def changed_in_place(self, node: fx.Node) -> bool:
        """Say whether a reader of the node overwrites it while others still read it."""
        return len(node.users) > 1 and any(self._overwrites(user, node) for user in node.users)

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


def macs_of(node: fx.Node, module: nn.Module | None) -> int:
    """Return the multiply-accumulates of a convolution or a linear layer for the shape on the node."""
    shape = shape_of(node)
    if isinstance(module, nn.Linear):
        return int(torch.Size(shape).numel()) * module.in_features
    if isinstance(module, _ConvNd) and not module.transposed:
        return int(torch.Size(shape).numel()) * int(module.weight[0].numel())
    return 0


def sketch(traced: fx.GraphModule, name: str) -> GraphSketch:
    """Return the graph as plain nouns, for pictures and tables; shapes must have been propagated."""
    view = View(traced)
    labels = Counter(label(node) for node in view.nodes())
    names = {node: label(node) if labels[label(node)] == 1 else node.name for node in view.nodes()}
    nodes = tuple(
        GraphNode(
            name=names[node],
            kind=_kind(node, view.module(node)),
            inputs=tuple(names[source] for source in node.all_input_nodes),
            shape=shape_of(node),
            macs=macs_of(node, view.module(node)),
        )
        for node in view.nodes()
    )
    return GraphSketch(name, nodes)


def _kind(node: fx.Node, module: Any) -> str:
    if module is not None:
        kernel = getattr(module, "kernel_size", None)
        size = "x".join(map(str, kernel)) if isinstance(kernel, tuple) else ""
        return f"{type(module).__name__} {size}".strip()
    if node.op in ("call_function", "call_method"):
        return str(getattr(node.target, "__name__", node.target)).strip("_")
    return node.op
