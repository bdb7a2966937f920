"""Torch's linear modules as values, one handle a kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.padding import _ConstantPadNd

from juggler.transform.algebra.conv import Conv, NotFusible, scale_shift
from juggler.transform.algebra.values import GlobalPool, Identity, Pad, Pool, Scale, Transposed, Value
from juggler.transform.tracing.graph import View, shape_of

Lifted = Value | NotFusible | None


def lift_module(node: fx.Node, view: View) -> Lifted:
    """Return the value of a node that calls a module."""
    module = view.module(node)
    if len(node.args) != 1 or node.kwargs or not isinstance(node.args[0], fx.Node):
        return None
    for kind, handle in MODULES:
        if isinstance(module, kind):
            return handle(node, module)
    return None


def _conv(node: fx.Node, module: _ConvNd) -> Lifted:
    if module.padding_mode != "zeros":
        return NotFusible(
            f"{node.target} pads with mode {module.padding_mode!r}, and the algebra holds for zeros",
            "Use padding_mode='zeros', or pad with a layer of its own before the convolution",
        )
    padding = _padding(module)
    if padding is None:
        return NotFusible(
            f"{node.target} has padding='same' with an even kernel, so it pads more on one side",
            "Use an odd kernel, or pad with a layer of its own before the convolution",
        )
    return Conv(
        module.weight.detach(),
        _detached(module.bias),
        tuple(module.stride),
        padding,
        tuple(module.dilation),
        module.groups,
    )


def _padding(module: _ConvNd) -> tuple[int, ...] | None:
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    if isinstance(module.padding, str):
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return None if any(r % 2 for r in reach) else tuple(r // 2 for r in reach)
    return tuple(int(p) for p in module.padding)


def _transposed(node: fx.Node, module: _ConvTransposeNd) -> Lifted:
    return Transposed(
        module.weight.detach(),
        _detached(module.bias),
        tuple(module.stride),
        tuple(int(p) for p in module.padding),
        tuple(module.output_padding),
        tuple(module.dilation),
        module.groups,
    )


def _linear(node: fx.Node, module: nn.Linear) -> Lifted:
    return Conv(module.weight.detach(), _detached(module.bias), (), (), ())


def _norm(node: fx.Node, module: _BatchNorm) -> Lifted:
    mean, var = module.running_mean, module.running_var
    if mean is None or var is None:
        return NotFusible(
            f"{node.target} keeps no running statistics, so it normalises each batch by itself",
            "Train it with track_running_stats=True, or set running_mean and running_var from a pass over "
            "the training data",
        )
    scale, shift = scale_shift(mean, var, module.eps, _detached(module.weight), _detached(module.bias))
    return Scale(scale, shift, len(shape_of(node)) - 2)


def _average(node: fx.Node, module: Any) -> Lifted:
    rank = len(shape_of(node)) - 2
    kernel, padding = sides(module.kernel_size, rank), sides(module.padding, rank)
    stride = sides(module.stride if module.stride is not None else module.kernel_size, rank)
    return pool(kernel, stride, padding, module)


def pool(kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], how: Any) -> Lifted:
    """Return an average pool as a value; `None` where its windows are not all divided by the same."""
    uneven = getattr(how, "ceil_mode", False) or getattr(how, "divisor_override", None)
    uncounted = any(padding) and not getattr(how, "count_include_pad", True)
    if uneven or uncounted:
        return None
    return Pool(kernel, stride, padding)


def _adaptive(node: fx.Node, module: Any) -> Lifted:
    rank = len(shape_of(node)) - 2
    return GlobalPool(rank) if set(sides(module.output_size, rank)) == {1} else None


def _pad(node: fx.Node, module: _ConstantPadNd) -> Lifted:
    return zero_pad(tuple(module.padding), module.value, len(shape_of(node)) - 2)


def zero_pad(pads: tuple[int, ...], value: float, rank: int) -> Lifted:
    """Return padding as a value; `pads` as torch has them, last dimension first."""
    if len(pads) > 2 * rank or min(pads, default=0) < 0:
        return None
    if value:
        return NotFusible(
            f"border: it pads with {value:g}, and convolutions pad with 0",
            "Subtract the value before and add it afterwards, or pad with 0",
        )
    all_pads = (*pads, *[0] * (2 * rank - len(pads)))
    return Pad(tuple(all_pads[-2::-2]), tuple(all_pads[-1::-2]))


def _passive(node: fx.Node, module: nn.Module) -> Lifted:
    return Identity()


MODULES: tuple[tuple[Any, Callable[[fx.Node, Any], Lifted]], ...] = (
    (_ConvTransposeNd, _transposed),
    (_ConvNd, _conv),
    (nn.Linear, _linear),
    (_BatchNorm, _norm),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _average),
    ((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), _adaptive),
    (_ConstantPadNd, _pad),
    ((nn.Identity, _DropoutNd), _passive),
)


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()


def sides(value: Any, rank: int) -> tuple[int, ...]:
    """Return one number for each of `rank` dimensions."""
    if isinstance(value, list | tuple):
        return tuple(value) if len(value) == rank else (int(value[0]),) * rank
    return (int(value),) * rank if isinstance(value, int) else (0,) * rank
