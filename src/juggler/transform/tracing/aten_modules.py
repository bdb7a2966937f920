"""The handles of aten operators that are torch's modules: those that own weights, and pools."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from juggler.transform.tracing.assembly import Arguments, AtenBuilder, Handle, NoHandle

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
MAX_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVERAGE_POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ADAPTIVE_POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def _conv(builder: AtenBuilder, call: Arguments) -> fx.Node:
    weight, bias = call.weight("weight"), call.optional("bias")
    rank, transposed = (
        weight.ndim - 2,
        bool(call.values.get("transposed", "transpose" in str(call.node.target))),
    )
    kind, options = _conv_of(call, weight, rank, transposed=transposed)
    with torch.device("meta"):  # the weights come from the program: nothing to draw, nothing to allocate
        conv = kind(bias=bias is not None, **options)
    _set_weights(conv, weight, bias)
    return builder.module(call, conv, "input", "conv", id(weight), id(bias), *map(str, options.values()))


def _conv_of(call: Arguments, weight: Tensor, rank: int, *, transposed: bool) -> tuple[Any, dict[str, Any]]:
    groups, padding = call.values["groups"], call.values["padding"]
    options: dict[str, Any] = {
        "kernel_size": tuple(weight.shape[2:]),
        "stride": call.numbers("stride", rank),
        "padding": padding if isinstance(padding, str) else call.numbers("padding", rank),
        "dilation": call.numbers("dilation", rank),
        "groups": groups,
    }
    kinds = TRANSPOSED if transposed else CONVS
    if rank not in kinds:
        raise NoHandle
    if transposed:
        options["output_padding"] = call.numbers("output_padding", rank)
        options |= {"in_channels": weight.shape[0], "out_channels": weight.shape[1] * groups}
    else:
        options |= {"in_channels": weight.shape[1] * groups, "out_channels": weight.shape[0]}
    return kinds[rank], options


def _batch_norm(builder: AtenBuilder, call: Arguments) -> Any:
    _check_first_only(call)
    mean, variance = call.weight("running_mean"), call.weight("running_var")
    weight, bias = call.optional("weight"), call.optional("bias")
    kind = BATCH_NORMS.get(len(call.shape("input")))
    if kind is None or (weight is None) != (bias is None):
        raise NoHandle
    norm = kind(mean.numel(), eps=call.values["eps"], affine=weight is not None)
    if weight is not None:
        _set_weights(norm, weight, bias)
    norm.running_mean, norm.running_var = mean.detach(), variance.detach()
    held = (id(weight), id(bias), id(mean), id(variance), norm.eps)
    return _first(call, builder.module(call, norm, "input", "norm", *held))


def _linear(builder: AtenBuilder, call: Arguments) -> fx.Node:
    weight = call.weight("weight")
    if weight.ndim != 2:
        raise NoHandle
    return _linear_module(builder, call, weight, call.optional("bias"), "input")


def _addmm(builder: AtenBuilder, call: Arguments) -> fx.Node:
    if call.values.get("alpha", 1) != 1 or call.values.get("beta", 1) != 1:
        raise NoHandle
    weight, bias = call.weight("mat2"), call.weight("self")
    if bias.shape != weight.shape[1:]:
        raise NoHandle
    return _linear_module(builder, call, weight.t().contiguous(), bias, "mat1")


def _mm(builder: AtenBuilder, call: Arguments) -> fx.Node:
    """Return the linear layer that a product with a weight is; a product of two features stays one."""
    if not isinstance(call.held.get("mat2"), Tensor):
        return _matmul(builder, call)
    return _linear_module(builder, call, call.weight("mat2").t().contiguous(), None, "self")


def _linear_module(
    builder: AtenBuilder, call: Arguments, weight: Tensor, bias: Tensor | None, source: str
) -> fx.Node:
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    _set_weights(linear, weight, bias)
    return builder.module(call, linear, source, "linear", id(weight), id(bias))


def _matmul(builder: AtenBuilder, call: Arguments) -> fx.Node:
    right = call.values.get("other", call.values.get("mat2"))
    return builder.add_function(torch.matmul, call["self"], call.mapped(right))


def _layer_norm(builder: AtenBuilder, call: Arguments) -> Any:
    _check_first_only(call)
    weight, bias = call.optional("weight"), call.optional("bias")
    norm = nn.LayerNorm(
        tuple(call.values["normalized_shape"]),
        call.values["eps"],
        elementwise_affine=weight is not None,
        bias=bias is not None,
    )
    if weight is not None:
        _set_weights(norm, weight, bias)
    elif bias is not None:
        raise NoHandle
    return _first(call, builder.module(call, norm, "input", "layer", id(weight), id(bias), norm.eps))


def _group_norm(builder: AtenBuilder, call: Arguments) -> fx.Node:
    weight, bias = call.optional("weight"), call.optional("bias")
    if (weight is None) != (bias is None):
        raise NoHandle
    channels = call.shape("input")[1]
    norm = nn.GroupNorm(call.values["num_groups"], channels, call.values["eps"], affine=weight is not None)
    if weight is not None:
        _set_weights(norm, weight, bias)
    return builder.module(call, norm, "input", "group", id(weight), id(bias), norm.eps)


def _prelu(builder: AtenBuilder, call: Arguments) -> fx.Node:
    weight = call.weight("weight")
    prelu = nn.PReLU(weight.numel())
    _set_weights(prelu, weight.reshape(-1), None)
    return builder.module(call, prelu, "self", "prelu", id(weight))


def _embedding(builder: AtenBuilder, call: Arguments) -> fx.Node:
    weight = call.weight("weight")
    if call.values["scale_grad_by_freq"] or call.values["sparse"]:
        raise NoHandle
    with torch.device("meta"):
        embedding = nn.Embedding(*weight.shape)
    _set_weights(embedding, weight, None)
    return builder.module(call, embedding, "indices", "embedding", id(weight))


def _set_weights(module: nn.Module, weight: Tensor, bias: Tensor | None) -> None:
    """Give a module its weights; one that is no parameter, because it was computed, becomes one."""
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None:
            is_parameter = isinstance(tensor, nn.Parameter)
            setattr(module, name, tensor if is_parameter else nn.Parameter(tensor.detach()))


def _check_first_only(call: Arguments) -> None:
    """Do nothing where no other than the first result is read, for a module gives no other."""
    if call.gives_several and any(u.target is not operator.getitem or u.args[1] for u in call.node.users):
        raise NoHandle


def _first(call: Arguments, node: fx.Node) -> Any:
    """Return the node, as the first of several results where the operator gives several."""
    return (node,) if call.gives_several else node


def _max_pool(builder: AtenBuilder, call: Arguments) -> Any:
    _check_first_only(call)
    rank = len(call.shape("self")) - 2
    kernel, stride = call.numbers("kernel_size", rank), _stride(call, rank)
    padding, dilation = call.numbers("padding", rank), call.numbers("dilation", rank)
    pool = _of_rank(MAX_POOLS, rank)(kernel, stride, padding, dilation, ceil_mode=call.values["ceil_mode"])
    return _first(call, builder.module(call, pool, "self"))


def _average_pool(builder: AtenBuilder, call: Arguments) -> fx.Node:
    if call.values.get("divisor_override") is not None:
        raise NoHandle
    rank = len(call.shape("self")) - 2
    kernel, padding = call.numbers("kernel_size", rank), call.numbers("padding", rank)
    options = {name: call.values[name] for name in ("ceil_mode", "count_include_pad")}
    return builder.module(
        call, _of_rank(AVERAGE_POOLS, rank)(kernel, _stride(call, rank), padding, **options), "self"
    )


def _adaptive_pool(builder: AtenBuilder, call: Arguments) -> fx.Node:
    rank = len(call.shape("self")) - 2
    sizes = tuple(call.values["output_size"])
    if not all(isinstance(size, int) for size in sizes):
        raise NoHandle
    return builder.module(call, _of_rank(ADAPTIVE_POOLS, rank)(sizes if rank > 1 else sizes[0]), "self")


def _stride(call: Arguments, rank: int) -> tuple[int, ...]:
    return call.numbers("stride", rank) if call.values["stride"] else call.numbers("kernel_size", rank)


def _of_rank(kinds: dict[int, Any], rank: int) -> Any:
    if rank not in kinds:
        raise NoHandle
    return kinds[rank]


MODULE_HANDLES: dict[str, Handle] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _conv),
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    **dict.fromkeys(("layer_norm", "native_layer_norm"), _layer_norm),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices"), _max_pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _average_pool),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"), _adaptive_pool),
    **dict.fromkeys(("matmul", "bmm"), _matmul),
    **dict.fromkeys(("_adaptive_avg_pool2d", "_adaptive_avg_pool3d"), _adaptive_pool),
    "addmm": _addmm,
    "embedding": _embedding,
    "group_norm": _group_norm,
    "linear": _linear,
    "mm": _mm,
    "prelu": _prelu,
}
