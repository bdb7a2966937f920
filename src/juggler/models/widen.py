"""`widen`: a network's convolutions replaced by structures that train wider and flatten back."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from juggler.errors import ConfigError, Refused
from juggler.models.branches import STRUCTURES, Chain, restate
from juggler.models.networks.blocks import FusibleBlock
from juggler.models.widen_candidates import Candidate, Chosen, candidates, matching_blocks, set_module
from juggler.nouns import Noun, Refusal

_POINTWISE = {"mobileone"}  # the paper has a form for 1x1 convolutions; elsewhere they stay
_FIXED = {
    *("in_channels", "out_channels", "kernel", "stride", "padding", "dilation", "groups"),
    *("hidden", "norm", "bias"),
}  # these follow the convolution that is replaced


@dataclass(frozen=True)
class Replacement(Noun):
    """One convolution, or one residual block, that trains wider now.

    Attributes:
        path: name of the module, in the network given and in the wide one.
        structure: what stands there now.
        norm: name of the batch norm that went into the structure; an identity stands in its place.
        parameters_before: parameters of what was replaced, its norm included.
        parameters_after: parameters of the structure while it trains.
        keeps_function: whether it starts as what it replaced, in evaluation mode.
    """

    path: str
    structure: str
    norm: str | None
    parameters_before: int
    parameters_after: int
    keeps_function: bool


@dataclass(frozen=True)
class Widened:
    """What `widen` gives.

    Attributes:
        model: the wide network, of the class and in the mode of the one given.
        replaced: what trains wider now.
        left: what stays as it was, why, and what would change that.
    """

    model: nn.Module
    replaced: tuple[Replacement, ...]
    left: tuple[Refusal, ...]


def widen(
    model: nn.Module,
    structure: str = "juggler",
    *,
    only: Callable[[str, nn.Module], bool] | None = None,
    blocks: Chosen | None = None,
    keep_function: bool = False,
    inputs: Tensor | None = None,
    seed: int | None = None,
    **options: Any,
) -> Widened:
    """Return a copy of a network that trains wider and that `juggler.flatten` makes plain again.

    Each k x k convolution, with the batch norm directly behind it, becomes a structure of branches without
    activation; a convolution without a norm becomes one without norms. Flat, the network has the ops and the
    shapes of weights that the original has when it is flat. With `blocks`, whole residual blocks become one
    structure and a ReLU each, as Juggler-ResNet's section III-B does to ResNets; that is another network.

    What is replaced starts with fresh weights, all else keeps its own. With `keep_function` a structure
    starts as the convolution that it replaces.

    Args:
        model: any network that torch.fx can trace in evaluation mode; it is never changed.
        structure: `juggler`, `repvgg`, `acnet`, `dbb`, `mobileone` or `expandnet`.
        only: says by name and module which convolutions may be replaced; by default all.
        blocks: residual blocks to replace instead: a class, several, or a predicate of name and module.
        keep_function: start as the trained network: in evaluation mode the same function. Without `inputs`
            the norms of `juggler` and `expandnet` normalise by the batch once training begins, and the
            function changes at the first step; the other structures keep it in training mode too.
        inputs: real inputs, `[n, channels, H, W]`, whose statistics those norms start from.
        seed: of the fresh weights; torch's global generator is left as it is. By default they come from it.
        options: of the structure, such as `expansion=2` or `copies=4`.

    Raises:
        ConfigError: there is no such structure or option, or two options exclude one another.
        Refused: the network cannot be traced, or nothing in it can be replaced.
    """
    _check(model, structure, blocks, keep_function=keep_function, inputs=inputs, options=options)
    with nullcontext() if seed is None else _seeded(seed):
        wide = _Widening(model, structure, options, keep_function=keep_function)
        if blocks is not None:
            wide.replace_blocks(blocks)
        else:
            wide.replace_convolutions(only or (lambda path, conv: True))
    if not wide.replaced:
        reasons = "; ".join(f"{refusal.nodes[0]}: {refusal.reason}" for refusal in wide.left[:3])
        raise Refused(
            "widen the network", f"nothing in it can be replaced ({reasons or 'no candidate'})", wide.remedy()
        )
    if inputs is not None:
        _settle(wide.model, inputs)
    return Widened(wide.model, tuple(wide.replaced), tuple(wide.left))


def _check(
    model: object,
    structure: str,
    blocks: Chosen | None,
    *,
    keep_function: bool,
    inputs: Tensor | None,
    options: dict[str, Any],
) -> None:
    request = "widen the network"
    if not isinstance(model, nn.Module):
        raise ConfigError(request, f"it is a {type(model).__name__}", "Pass a torch module")
    if structure not in STRUCTURES:
        raise ConfigError(request, f"no structure {structure!r}", f"Give one of {', '.join(STRUCTURES)}")
    if blocks is not None and keep_function:
        raise ConfigError(
            request,
            "a residual block is not linear, so no structure can start as one",
            "Leave out keep_function, or replace convolutions instead of blocks",
        )
    if inputs is not None and not keep_function:
        raise ConfigError(request, "inputs without keep_function", "Give both, or leave out inputs")
    maker = FusibleBlock if blocks is not None and structure == "juggler" else STRUCTURES[structure]
    known = {*inspect.signature(maker).parameters} - _FIXED
    for option in options:
        if option not in known:
            raise ConfigError(
                request,
                f"the structure {structure!r} has no option {option!r}",
                f"There are: {', '.join(sorted(known)) or 'none'}",
            )
    with torch.random.fork_rng(devices=[]):
        STRUCTURES[structure](8, 8, **options)  # refuses a value before any work begins


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class _Widening:
    """A copy of the network on its way to the wide one."""

    def __init__(
        self, model: nn.Module, structure: str, options: dict[str, Any], *, keep_function: bool
    ) -> None:
        self.model = copy.deepcopy(model)
        # What `create` noted would no longer make this network.
        for note in ("network_name", "network_options"):
            vars(self.model).pop(note, None)
        self.structure, self.options, self.keep_function = structure, options, keep_function
        self.replaced: list[Replacement] = []
        self.left: list[Refusal] = []

    def replace_convolutions(self, only: Callable[[str, nn.Module], bool]) -> None:
        """Replace each convolution that can be; list the others."""
        for candidate in candidates(self.model, pointwise=self.structure in _POINTWISE):
            if not only(candidate.path, candidate.module):
                self._leave(candidate.path, "not chosen by `only`", "Choose it, if it is to train wider")
            elif candidate.objection is not None:
                self._leave(candidate.path, *candidate.objection)
            else:
                try:
                    self._replace(candidate)
                except ConfigError as error:
                    self._leave(candidate.path, error.found, error.remedy)

    def replace_blocks(self, chosen: Chosen) -> None:
        """Replace each residual block that is chosen by one structure and a ReLU; list those that stay."""
        for block in matching_blocks(self.model, chosen):
            if isinstance(block.shape, str):
                self._leave(block.path, block.shape, "Replace its convolutions instead, without `blocks`")
                continue
            into, out, stride = block.shape
            block_of_branches: nn.Module
            if self.structure == "juggler":
                block_of_branches = FusibleBlock(into, out, stride, **self.options)
            else:
                branches = STRUCTURES[self.structure](into, out, 3, stride, **self.options)
                block_of_branches = nn.Sequential(branches, nn.ReLU())
            self._put(
                block.path, block.module, block_of_branches, norm=None, before=_parameters(block.module)
            )

    def remedy(self) -> str:
        """Return what can be done where nothing was replaced."""
        if self.left:
            return self.left[0].remedy
        return "Widen a network that has convolutions, or say with `blocks` which modules are its blocks"

    def _replace(self, candidate: Candidate) -> None:
        conv, norm = candidate.conv, candidate.norm
        branches = STRUCTURES[self.structure](
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            padding=candidate.padding,
            dilation=conv.dilation,
            groups=conv.groups,
            norm=norm is not None,
            bias=conv.bias is not None,
            **self.options,
        ).to(conv.weight)
        if norm is not None:
            for part in branches.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eps, part.momentum = norm.eps, norm.momentum
        if self.keep_function:
            bias = None if conv.bias is None else conv.bias.detach()
            branches.start_from(conv.weight.detach(), bias, norm)
        before = _parameters(conv) + (0 if norm is None else _parameters(norm))
        self._put(candidate.path, conv, branches, norm=candidate.norm_path, before=before)
        if norm is not None and candidate.norm_path is not None:
            for part in branches.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.train(norm.training)  # a norm that is frozen stays so
            set_module(self.model, candidate.norm_path, nn.Identity().train(norm.training))

    def _put(self, path: str, old: nn.Module, new: nn.Module, *, norm: str | None, before: int) -> None:
        new.to(next(old.parameters())).train(old.training)
        self.model = set_module(self.model, path, new)
        self.replaced.append(
            Replacement(path, self.structure, norm, before, _parameters(new), self.keep_function)
        )

    def _leave(self, path: str, reason: str, remedy: str) -> None:
        self.left.append(Refusal("widen", (path,), reason, remedy))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def _settle(wide: nn.Module, inputs: Tensor) -> None:
    """Give the norms within chains the statistics of real inputs; the network computes the same.

    The pass runs in evaluation mode; the modes are put back.
    """
    modes = {part: part.training for part in wide.modules()}
    chains = [part for part in wide.modules() if isinstance(part, Chain)]
    handles = [handle for chain in chains for handle in restate(chain)]
    try:
        wide.eval()(inputs)
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes.items():
            part.training = training
