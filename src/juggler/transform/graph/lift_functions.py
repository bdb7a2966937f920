"""Functions and methods that are linear as values: sums, stacks, constants, padding, averages."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from juggler.transform.algebra.values import GlobalPool, Identity, Scale, Stack, Sum
from juggler.transform.graph.lift_modules import Lifted, pool, sides, zero_pad
from juggler.transform.tracing.graph import View, shape_of

_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_"}
_PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
_DIFFERENCES = {operator.sub, operator.isub, torch.sub, "sub", "sub_"}
_QUOTIENTS = {operator.truediv, operator.itruediv, torch.div, "div", "div_"}


def is_sum(node: fx.Node) -> bool:
    """Say whether the node adds two things, whichever way it is written."""
    return node.target in _SUMS and len(node.args) == 2 and not node.kwargs


def lift_function(node: fx.Node, view: View) -> Lifted:
    """Return the value of a node that calls a function or a method."""
    handle = FUNCTIONS.get(node.target)
    if handle is not None:
        return handle(node)
    if len(node.args) == 2 and not node.kwargs:
        return _arithmetic(node, view)
    return None


def _dropout(node: fx.Node) -> Lifted:
    return Identity() if node.kwargs.get("training") is False else None


def _stack(node: fx.Node) -> Lifted:
    axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
    parts = node.args[0] if node.args else None
    rank = len(shape_of(node))
    if not isinstance(parts, list | tuple) or not isinstance(axis, int) or rank < 2 or axis % rank != 1:
        return None
    return Stack() if all(isinstance(part, fx.Node) for part in parts) else None


def _pad_function(node: fx.Node) -> Lifted:
    names = ("input", "pad", "mode", "value")
    arguments = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    pads, value = arguments.get("pad"), arguments.get("value") or 0.0
    plain = isinstance(pads, list | tuple) and all(isinstance(p, int) for p in pads)
    if not plain or arguments.get("mode", "constant") != "constant" or not isinstance(value, int | float):
        return None
    return zero_pad(tuple(pads), value, len(shape_of(node)) - 2)  # type: ignore[arg-type]


def _mean(node: fx.Node) -> Lifted:
    arguments = {**dict(zip(("input", "dim", "keepdim"), node.args, strict=False)), **node.kwargs}
    dims, rank = arguments.get("dim"), len(shape_of(node)) - 2
    plain = isinstance(dims, list | tuple) and all(isinstance(d, int) for d in dims)
    if not plain or not arguments.get("keepdim") or rank < 1:
        return None
    axes = sorted(d % (rank + 2) for d in dims if isinstance(d, int))  # type: ignore[union-attr]
    return GlobalPool(rank) if axes == list(range(2, rank + 2)) else None


def _pool_function(node: fx.Node) -> Lifted:
    rank = len(shape_of(node)) - 2
    names = (
        "input",
        "kernel_size",
        "stride",
        "padding",
        "ceil_mode",
        "count_include_pad",
        "divisor_override",
    )
    arguments = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    kernel = sides(arguments.get("kernel_size"), rank)
    stride = sides(arguments["stride"], rank) if arguments.get("stride") else kernel
    how = SimpleNamespace(**{name: arguments[name] for name in names[4:] if name in arguments})
    return pool(kernel, stride, sides(arguments.get("padding", 0), rank), how)


def _adaptive_pool(node: fx.Node) -> Lifted:
    rank = len(shape_of(node)) - 2
    size = node.args[1] if len(node.args) > 1 else node.kwargs.get("output_size")
    return GlobalPool(rank) if set(sides(size, rank)) == {1} else None


FUNCTIONS: dict[Any, Callable[[fx.Node], Lifted]] = {
    torch.cat: _stack,
    torch.concat: _stack,
    F.pad: _pad_function,
    torch.mean: _mean,
    "mean": _mean,
    F.dropout: _dropout,
    F.avg_pool2d: _pool_function,
    F.adaptive_avg_pool2d: _adaptive_pool,
}


def _arithmetic(node: fx.Node, view: View) -> Lifted:
    left, right = node.args
    if isinstance(left, fx.Node) and isinstance(right, fx.Node) and node.target in _SUMS:
        shapes = {shape_of(left), shape_of(right), shape_of(node)}
        if len(shapes) == 1 and "get_attr" not in (left.op, right.op):
            return Sum()
    if node.target in (_SUMS | _PRODUCTS) and _constant(left, view) is not None:
        left, right = right, left
    number = _constant(right, view)
    if number is None or not isinstance(left, fx.Node) or left.op == "get_attr":
        return None
    return _by_constant(node, left, number)


def _constant(value: Any, view: View) -> Tensor | None:
    """Return a number or a constant of the network as a tensor."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return torch.tensor(float(value), dtype=torch.float64)
    if isinstance(value, fx.Node) and value.op == "get_attr":
        attribute: Any = view.traced
        for name in str(value.target).split("."):
            attribute = getattr(attribute, name)
        return attribute.detach() if isinstance(attribute, Tensor) and attribute.is_floating_point() else None
    return None


def _by_constant(node: fx.Node, read: fx.Node, constant: Tensor) -> Lifted:
    shape = shape_of(read)
    spread = _per_channel(constant, shape, _on_last_axis(read, shape))
    if spread is None or shape_of(node) != shape:
        return None
    values, rank = spread
    ones = torch.ones_like(values)
    if node.target in _PRODUCTS:
        return Scale(values, None, rank)
    if node.target in _QUOTIENTS:
        return Scale(1.0 / values, None, rank)
    if node.target in _SUMS:
        return Scale(ones, values, rank)
    return Scale(ones, -values, rank) if node.target in _DIFFERENCES else None


def _on_last_axis(read: fx.Node, shape: tuple[int, ...]) -> bool:
    owner = read.graph.owning_module
    module = owner.get_submodule(str(read.target)) if owner and read.op == "call_module" else None
    return len(shape) == 2 or isinstance(module, nn.Linear)


def _per_channel(constant: Tensor, shape: tuple[int, ...], last: bool) -> tuple[Tensor, int] | None:
    """Return a constant as `[channels]` and the rank on which it acts; `None` where it varies in space."""
    if len(shape) < 2:
        return None
    rank = 0 if last else len(shape) - 2
    channels = shape[-1] if rank == 0 else shape[1]
    if constant.numel() == 1:
        return constant.reshape(1).expand(channels).clone(), rank
    sides = (1,) * (len(shape) - constant.ndim) + tuple(constant.shape)
    axis = len(shape) - 1 if rank == 0 else 1
    if len(sides) != len(shape) or sides[axis] != channels or math.prod(sides) != channels:
        return None
    return constant.reshape(-1), rank
