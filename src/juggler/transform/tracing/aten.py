"""One handle an aten operator: the module or the function of torch that computes the same.

`HANDLES` is the table, by the operator's name without its overload. A handle raises `NoHandle` where it has
no equal for the operator as it is used; the operator then stays as it is.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from juggler.transform.tracing.assembly import Arguments, AtenBuilder, Handle, NoHandle
from juggler.transform.tracing.aten_modules import MODULE_HANDLES

TO_THE_END = 2**62  # slices that end beyond end where their tensor does


def _activation(make: Callable[[Arguments], nn.Module]) -> Handle:
    return lambda builder, call: builder.module(call, make(call), "self")


def _plain(make: type[nn.Module]) -> Handle:
    return _activation(lambda call: make())


def _hardtanh(call: Arguments) -> nn.Module:
    low, high = call.values["min_val"], call.values["max_val"]
    return nn.ReLU6() if (low, high) == (0, 6) else nn.Hardtanh(low, high)


def _elu(call: Arguments) -> nn.Module:
    if (call.values["scale"], call.values["input_scale"]) != (1, 1):
        raise NoHandle
    return nn.ELU(call.values["alpha"])


def _softmax(builder: AtenBuilder, call: Arguments) -> fx.Node:
    _check_keeps_type(call)
    return builder.module(call, nn.Softmax(dim=call.values["dim"]), "self")


def _check_keeps_type(call: Arguments) -> None:
    before, after = call.values["self"].meta.get("val"), call.node.meta.get("val")
    if not (isinstance(before, Tensor) and isinstance(after, Tensor) and before.dtype == after.dtype):
        raise NoHandle


def _clamp(builder: AtenBuilder, call: Arguments) -> fx.Node:
    limits = call.values["min"], call.values["max"]
    if any(isinstance(limit, fx.Node) for limit in limits):
        raise NoHandle
    if limits == (0, None):
        return builder.module(call, nn.ReLU(), "self")
    if limits == (0, 6):
        return builder.module(call, nn.ReLU6(), "self")
    return builder.add_function(torch.clamp, call["self"], min=limits[0], max=limits[1])


def _binary(function: Callable[..., Any]) -> Handle:
    def handle(builder: AtenBuilder, call: Arguments) -> fx.Node:
        if call.values.get("alpha", 1) != 1 or call.values.get("rounding_mode") is not None:
            raise NoHandle
        return builder.add_function(function, call["self"], call["other"])

    return handle


def _function(function: Callable[..., Any], *names: str) -> Handle:
    """Call a function with these arguments by position; what it does not take must be at its default."""

    def handle(builder: AtenBuilder, call: Arguments) -> fx.Node:
        others = {name: value for name, value in call.values.items() if name not in names}
        if any(value not in (None, False, 0) for value in others.values()):
            raise NoHandle
        return builder.add_function(function, *(call[name] for name in names))

    return handle


def _same(builder: AtenBuilder, call: Arguments) -> Any:
    """Let the result be what goes in: copies, identities, and dropout in evaluation mode."""
    return call[next(iter(call.values))]


def _cast(builder: AtenBuilder, call: Arguments) -> Any:
    _check_keeps_type(call)
    return call["self"]


def _flatten(builder: AtenBuilder, call: Arguments) -> fx.Node:
    start, end = call.values["start_dim"], call.values["end_dim"]
    return builder.module(call, nn.Flatten(start, end), "self")


def _view(builder: AtenBuilder, call: Arguments) -> fx.Node:
    """Reshape; a batch that the program fixes, and that the view keeps, is left free."""
    sizes = list(call.values.get("size") or call.values.get("shape") or ())
    before = call.shape("self")
    keeps = bool(sizes) and isinstance(sizes[0], int) and len(before) > 1 and before[0] == sizes[0]
    behind = all(isinstance(size, int) for size in (*before[1:], *sizes[1:]))
    if not keeps or not behind:
        return builder.add_function(torch.reshape, call["self"], call.mapped(sizes))
    count = math.prod(before[1:])
    if len(sizes) == 2 and sizes[1] in (-1, count):
        return builder.module(call, nn.Flatten(1), "self")
    known = math.prod(size for size in sizes[1:] if size != -1)
    behind_sizes = tuple(count // known if size == -1 else size for size in sizes[1:])
    return builder.add_function(torch.reshape, call["self"], (-1, *behind_sizes))


def _slice(builder: AtenBuilder, call: Arguments) -> fx.Node:
    start, end, step = (call[name] for name in ("start", "end", "step"))
    if isinstance(end, int) and end >= TO_THE_END:
        end = None
    if (start in (None, 0)) and end is None and step == 1:
        return call["self"]  # type: ignore[no-any-return]
    return _item(builder, call, slice(start or None, end, None if step == 1 else step))


def _select(builder: AtenBuilder, call: Arguments) -> fx.Node:
    return _item(builder, call, call["index"])


def _item(builder: AtenBuilder, call: Arguments, taken: Any) -> fx.Node:
    axis = call.values["dim"] % len(call.shape("self"))
    return builder.add_function(operator.getitem, call["self"], (*(slice(None),) * axis, taken))


def _size(builder: AtenBuilder, call: Arguments) -> fx.Node:
    return builder.graph.call_method("size", (call["self"], call.values["dim"]))


def _pad(builder: AtenBuilder, call: Arguments) -> fx.Node:
    mode, value = call.values.get("mode", "constant"), call.values["value"]
    return builder.add_function(functional.pad, call["self"], list(call["pad"]), mode, value)


def _attention(builder: AtenBuilder, call: Arguments) -> fx.Node:
    options = {
        name: call[name] for name in ("attn_mask", "is_causal", "scale", "enable_gqa") if name in call.values
    }
    return builder.add_function(
        functional.scaled_dot_product_attention, call["query"], call["key"], call["value"], **options
    )


HANDLES: dict[str, Handle] = {
    **MODULE_HANDLES,
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "clone", "contiguous"), _same),
    **dict.fromkeys(("alias", "detach", "lift_fresh_copy"), _same),
    **dict.fromkeys(("to", "_to_copy", "type_as"), _cast),
    **dict.fromkeys(("view", "reshape", "_unsafe_view"), _view),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    **dict.fromkeys(("softmax", "_softmax"), _softmax),
    "add": _binary(operator.add),
    "cat": _function(torch.cat, "tensors", "dim"),
    "chunk": _function(torch.chunk, "self", "chunks", "dim"),
    "clamp": _clamp,
    "div": _binary(operator.truediv),
    "elu": _activation(_elu),
    "flatten": _flatten,
    "gelu": _activation(lambda call: nn.GELU(call.values["approximate"])),
    "hardsigmoid": _plain(nn.Hardsigmoid),
    "hardswish": _plain(nn.Hardswish),
    "hardtanh": _activation(_hardtanh),
    "leaky_relu": _activation(lambda call: nn.LeakyReLU(call.values["negative_slope"])),
    "mean": _function(torch.mean, "self", "dim", "keepdim"),
    "mish": _plain(nn.Mish),
    "mul": _binary(operator.mul),
    "permute": _function(torch.permute, "self", "dims"),
    "relu": _plain(nn.ReLU),
    "relu6": _plain(nn.ReLU6),
    "scaled_dot_product_attention": _attention,
    "select": _select,
    "sigmoid": _plain(nn.Sigmoid),
    "silu": _plain(nn.SiLU),
    "slice": _slice,
    "split": _function(torch.split, "self", "split_size", "dim"),
    "split_with_sizes": _function(torch.split, "self", "split_sizes", "dim"),
    "squeeze": _function(torch.squeeze, "self", "dim"),
    "sub": _binary(operator.sub),
    "sum": _function(torch.sum, "self", "dim", "keepdim"),
    "sym_size": _size,
    "tanh": _plain(nn.Tanh),
    "transpose": _function(torch.transpose, "self", "dim0", "dim1"),
    "unbind": _function(torch.unbind, "self", "dim"),
    "unsqueeze": _function(torch.unsqueeze, "self", "dim"),
}
