"""What a rewriting rule is: it finds sites and proposes; it never touches the graph.

The engine (`juggler.transform.flatten`) puts a proposal in place, checks it against what stood there, and
takes it back where the two differ. So a rule is short, and a wrong rule does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from juggler.registry import Registry
from juggler.transform.algebra import Conv, Impossible, scale_shift
from juggler.transform.trace import View


@dataclass(frozen=True)
class Site:
    """A place where a rule may apply: nodes in order of execution that read nothing but `source`."""

    nodes: tuple[fx.Node, ...]
    source: fx.Node


@dataclass(frozen=True)
class PassThrough:
    """A proposal: the nodes compute their own input and can go."""


Proposal = Conv | PassThrough | Impossible


class Rule(Protocol):
    """Find sites and propose what stands for them.

    Attributes:
        name: the file's name.
        source: paper section, equation or figure that the rule follows.
    """

    name: str
    source: str

    def sites(self, view: View) -> Iterator[Site]:
        """Yield the places where the rule may apply, in order of execution."""
        ...

    def propose(self, site: Site, view: View) -> Proposal:
        """Return the convolution that stands for the site, or why there is none."""
        ...


def rules() -> Registry[Rule]:
    """Return the registry of rules: one file in `juggler/transform/rules` each, or an entry point."""
    return Registry("rule", "juggler.transform.rules")


def is_convolution(module: nn.Module | None) -> bool:
    """Say whether the module is a convolution (not a transposed one)."""
    return isinstance(module, _ConvNd) and not module.transposed


def convolution_before(node: fx.Node, view: View) -> Iterator[Site]:
    """Yield the node with the convolution that it reads, if it reads one."""
    before = node.all_input_nodes[0]
    if is_convolution(view.module(before)):
        yield Site((before, node), before.all_input_nodes[0])


def read_convolution(node: fx.Node, view: View) -> Conv | Impossible:
    """Return the convolution that the node calls as a value, or why it cannot be rewritten."""
    module = view.module(node)
    if not isinstance(module, _ConvNd):
        return Impossible(f"{node.name} is no convolution", "Nothing to do")
    if view.calls(node) > 1:
        return shared(node, view)
    if module.padding_mode != "zeros":
        return Impossible(
            f"{node.target} pads with mode {module.padding_mode!r}, and the algebra holds for zeros",
            "Use padding_mode='zeros', or pad with a layer of its own before the convolution",
        )
    padding = _padding(module)
    if padding is None:
        return Impossible(
            f"{node.target} has padding='same' with an even kernel, so it pads more on one side",
            "Use an odd kernel, or pad with a layer of its own before the convolution",
        )
    return Conv(
        weight=module.weight.detach(),
        bias=None if module.bias is None else module.bias.detach(),
        stride=tuple(module.stride),
        padding=padding,
        dilation=tuple(module.dilation),
        groups=module.groups,
    )


def _padding(module: _ConvNd) -> tuple[int, ...] | None:
    if module.padding == "valid":
        return (0,) * len(module.kernel_size)
    if isinstance(module.padding, str):
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return None if any(r % 2 for r in reach) else tuple(r // 2 for r in reach)
    return tuple(int(p) for p in module.padding)


def read_norm(node: fx.Node, view: View) -> tuple[Tensor, Tensor] | Impossible:
    """Return a batch norm's `scale` and `shift`, `[channels]` each, or why it has none."""
    module = view.module(node)
    if not isinstance(module, _BatchNorm):
        return Impossible(f"{node.name} is no batch norm", "Nothing to do")
    if view.calls(node) > 1:
        return shared(node, view)
    if module.running_mean is None or module.running_var is None:
        return Impossible(
            f"{node.target} keeps no running statistics, so it normalises each batch by itself",
            "Train it with track_running_stats=True, or set running_mean and running_var from a pass over "
            "the training data",
        )
    return scale_shift(module.running_mean, module.running_var, module.eps, module.weight, module.bias)


def shared(node: fx.Node, view: View) -> Impossible:
    """Return the refusal of a module that is called more than once."""
    return Impossible(
        f"{node.target} is shared: the graph calls it {view.calls(node)} times, and a rewrite for one call "
        "would be wrong for the others",
        "Give each call a module of its own (copy.deepcopy)",
    )
