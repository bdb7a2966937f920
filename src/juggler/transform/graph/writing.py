"""From values back to a graph: each value becomes torch's own module or function."""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from juggler.transform.algebra.conv import Conv
from juggler.transform.algebra.values import (
    Elementwise,
    GlobalPool,
    Identity,
    OnesChannel,
    Pad,
    Part,
    Pool,
    Scale,
    Shift,
    Stack,
    Sum,
    Transposed,
)

_CONVS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_NORMS: dict[int, Any] = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOLS: dict[int, Any] = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
_GLOBAL: dict[int, Any] = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
_PADS: dict[int, Any] = {1: nn.ConstantPad1d, 2: nn.ConstantPad2d, 3: nn.ConstantPad3d}


class Writer:
    """Write values into one graph; new nodes stand where the graph's insertion point is.

    Attributes:
        root: module that the graph belongs to.
        originals: where the modules of activations that are copied are found.
    """

    def __init__(self, root: fx.GraphModule, originals: nn.Module) -> None:
        self.root, self.originals = root, originals
        self._taken = {name for name, _ in root.named_children()}
        self._calls = Counter(node.target for node in root.graph.nodes if node.op == "call_module")
        self._counts: dict[str, itertools.count[int]] = {}
        self._splits: dict[tuple[fx.Node, tuple[int, ...]], fx.Node] = {}

    def write(self, value: Any, reads: Sequence[fx.Node], stem: str, shape: tuple[int, ...]) -> fx.Node:
        """Write one value that reads `reads` and gives a map of `shape`; return its node."""
        if isinstance(value, Part):
            return self._part(value, reads[0])
        if isinstance(value, Elementwise):
            return self._copy(value.template, reads[0])
        if isinstance(value, Sum | Stack | OnesChannel):
            return _function(self.root.graph, value, reads, len(shape) - 2)
        if isinstance(value, Shift):
            node = self._plus(reads[0], value.map, stem)
            node.meta["one_size"] = True
            return node
        if isinstance(value, Scale) and value.rank == 0 and len(shape) > 2:
            return self._on_last_axis(value, reads[0], stem)
        name = self._name(stem)
        self.root.add_submodule(name, module_of(value))
        self._calls[name] += 1
        return self.root.graph.call_module(name, tuple(reads))

    def _plus(self, read: fx.Node, constant: Tensor, stem: str) -> fx.Node:
        name = self._name(f"{stem}_shift")
        self.root.register_buffer(name, constant)
        graph = self.root.graph
        return graph.call_function(operator.add, (read, graph.get_attr(name)))

    def erase(self, node: fx.Node) -> None:
        """Take a node out, and the module that no other node calls."""
        self.root.graph.erase_node(node)
        if node.op == "call_module":
            self._calls[node.target] -= 1
            if not self._calls[node.target]:
                self.root.delete_submodule(str(node.target))

    def _name(self, stem: str) -> str:
        count = self._counts.setdefault(stem, itertools.count())
        for i in count:
            name = f"{stem}_{i}" if i else stem
            if name not in self._taken:
                break
        self._taken.add(name)
        return name

    def _part(self, value: Part, read: fx.Node) -> fx.Node:
        graph, key = self.root.graph, (read, value.sizes)
        if key not in self._splits:
            self._splits[key] = graph.call_function(torch.split, (read, list(value.sizes), 1))
        return graph.call_function(operator.getitem, (self._splits[key], value.index))

    def _copy(self, template: fx.Node, read: fx.Node) -> fx.Node:
        """Copy an activation, module and all, to read something else."""
        if template.op != "call_module":
            return self.root.graph.create_node(template.op, template.target, (read,), dict(template.kwargs))
        target = str(template.target)
        if target.replace(".", "_") not in self._taken and self.root is not self.originals:
            self.root.add_submodule(target.replace(".", "_"), self.originals.get_submodule(target))
            target = target.replace(".", "_")
            self._taken.add(target)
        elif self.root is not self.originals:
            target = target.replace(".", "_")
        self._calls[target] += 1
        return self.root.graph.call_module(target, (read,))

    def _on_last_axis(self, value: Scale, read: fx.Node, stem: str) -> fx.Node:
        """Write a scale behind a linear layer that acts on more than batch and features."""
        graph = self.root.graph
        name = self._name(f"{stem}_scale")
        self.root.register_buffer(name, value.scale)
        node = graph.call_function(operator.mul, (read, graph.get_attr(name)))
        return node if value.shift is None else self._plus(node, value.shift, stem)


def _function(
    graph: fx.Graph, value: Sum | Stack | OnesChannel, reads: Sequence[fx.Node], rank: int
) -> fx.Node:
    if isinstance(value, Stack):
        return graph.call_function(torch.cat, (tuple(reads), 1))
    if isinstance(value, OnesChannel):
        return graph.call_function(F.pad, (reads[0], (*(0, 0) * rank, 0, 1)), {"value": 1.0})
    return _chain(graph, reads)


def _chain(graph: fx.Graph, reads: Sequence[fx.Node]) -> fx.Node:
    node = reads[0]
    for read in reads[1:]:
        node = graph.call_function(operator.add, (node, read))
    return node


@singledispatch
def module_of(value: Any) -> nn.Module:
    """Return torch's own module for a value, in evaluation mode."""
    raise TypeError(f"no module computes a {type(value).__name__}")


@module_of.register
def _(value: Conv) -> nn.Module:
    bias = value.bias is not None
    if not value.kernel:
        out, into = value.weight.shape
        module: nn.Module = nn.Linear(into, out, bias=bias, dtype=value.weight.dtype, device="meta")
    else:
        module = _CONVS[len(value.kernel)](
            value.in_channels,
            value.out_channels,
            value.kernel,
            stride=value.stride,
            padding=value.padding,
            dilation=value.dilation,
            groups=value.groups,
            bias=bias,
            dtype=value.weight.dtype,
            device="meta",
        )
    return _filled(module, value.weight, value.bias)


@module_of.register
def _(value: Transposed) -> nn.Module:
    module = _TRANSPOSED[value.weight.ndim - 2](
        value.weight.shape[0],
        value.out_channels,
        tuple(value.weight.shape[2:]),
        stride=value.stride,
        padding=value.padding,
        output_padding=value.output_padding,
        dilation=value.dilation,
        groups=value.groups,
        bias=value.bias is not None,
        device="meta",
    )
    return _filled(module, value.weight, value.bias)


@module_of.register
def _(value: Scale) -> nn.Module:
    norm = _NORMS[value.rank](len(value.scale), eps=0.0)
    norm.running_mean, norm.running_var = torch.zeros_like(value.scale), torch.ones_like(value.scale)
    return _filled(norm, value.scale, value.shift_or_zeros())


@module_of.register
def _(value: Pool) -> nn.Module:
    module: nn.Module = _POOLS[len(value.kernel)](value.kernel, value.stride, value.padding)
    return module.eval()


@module_of.register
def _(value: GlobalPool) -> nn.Module:
    module: nn.Module = _GLOBAL[value.rank](1)
    return module.eval()


@module_of.register
def _(value: Pad) -> nn.Module:
    pairs = zip(reversed(value.before), reversed(value.after), strict=True)
    module: nn.Module = _PADS[len(value.before)]([side for pair in pairs for side in pair], 0.0)
    return module.eval()


@module_of.register
def _(value: Identity) -> nn.Module:
    return nn.Identity().eval()


def _filled(module: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    module.weight = nn.Parameter(weight)
    if bias is not None:
        module.bias = nn.Parameter(bias)
    return module.eval()
