"""From graph nodes to values: which op is linear, and what it is.

What has no handle is a wall. What has one and still cannot be written as a value (a batch norm that keeps no
statistics, padding by reflection) is a wall with a reason, which becomes a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from juggler.transform.algebra.conv import NotFusible, relative_error
from juggler.transform.algebra.values import Elementwise, Value
from juggler.transform.graph.lift_functions import is_sum, lift_function
from juggler.transform.graph.lift_modules import lift_module
from juggler.transform.tracing.graph import View, shape_of

_WALLS = (
    nn.ReLU,
    nn.ReLU6,
    nn.Hardtanh,
    nn.LeakyReLU,
    nn.ELU,
    nn.SiLU,
    nn.GELU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Mish,
    nn.Softplus,
)
_SAME = {torch.float64: 1e-12, torch.float32: 1e-5}
_WALL_FUNCTIONS = {F.relu, F.relu6, F.silu, F.gelu, F.hardswish, F.hardsigmoid, F.leaky_relu}


@dataclass(frozen=True)
class Op:
    """An op as the algebra sees it: its value, and the nodes that it reads."""

    value: Value
    reads: tuple[fx.Node, ...]


def lift(node: fx.Node, view: View) -> Op | NotFusible | None:
    """Return what the node computes as a value; why it cannot be one; or `None` where it is not linear."""
    if node.op == "call_module":
        value = lift_module(node, view)
    elif node.op in ("call_function", "call_method"):
        value = lift_function(node, view)
    else:
        return None
    if value is None or isinstance(value, NotFusible):
        return value
    module = view.module(node)
    if module is not None and not keeps_its_word(module, value, shape_of(node.all_input_nodes[0])):
        return NotFusible(
            f"{node.target} computes something else than the class it inherits from, "
            f"{type(module).__mro__[1].__name__}",
            "Keep it, or write what it does in torch's own modules",
        )
    reads = _reads(node)
    if not reads or not all(shape_of(read) for read in (*reads, node)):
        return None
    if any(view.changed_in_place(read) for read in reads):
        return NotFusible(
            f"{reads[0].name} is overwritten in place while others still read it",
            "Build the activation that reads it with inplace=False",
        )
    return Op(value, reads)


def keeps_its_word(module: nn.Module, value: Value, shape: tuple[int, ...]) -> bool:
    """Say whether a module computes what its class says; torch's own classes without hooks are believed."""
    if type(module).__module__.startswith("torch.nn.modules") and not module._forward_hooks:
        return True
    if module._forward_pre_hooks or not shape:
        return False
    weight = next(iter(module.parameters()), torch.zeros(1, dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((1, *shape[1:]), generator=generator, dtype=torch.float64).to(weight.dtype)
    try:
        with torch.no_grad():
            error = relative_error(module(x.clone()), value(x))
    except (RuntimeError, TypeError, ValueError):
        return False
    return error <= _SAME[x.dtype]


def lift_wall(node: fx.Node, view: View) -> Op | None:
    """Return an activation that acts on every value by itself; `None` where the node is none."""
    module = view.module(node)
    if len(node.all_input_nodes) != 1 or view.changed_in_place(node.all_input_nodes[0]):
        return None
    if isinstance(module, _WALLS):
        key = f"{type(module).__name__}({module.extra_repr()})"
        function: Callable[[Tensor], object] = module
    elif node.op == "call_function" and node.target in _WALL_FUNCTIONS and len(node.args) == 1:
        key, function = f"{node.target}({sorted(node.kwargs.items())})", _Call(node)
    else:
        return None
    return Op(Elementwise(function, key, node), tuple(node.all_input_nodes))


@dataclass(frozen=True)
class _Call:
    node: fx.Node

    def __call__(self, x: object) -> object:
        return self.node.target(x, **self.node.kwargs)  # type: ignore[operator]


def _reads(node: fx.Node) -> tuple[fx.Node, ...]:
    first = node.args[0] if node.args else None
    operands = (
        first if isinstance(first, list | tuple) else node.args if is_sum(node) else node.all_input_nodes
    )
    return tuple(item for item in operands if isinstance(item, fx.Node) and item.op != "get_attr")
