"""What in a network `widen` can replace: its convolutions with their norms, or its residual blocks."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from juggler.errors import Refused
from juggler.models.branches import Branched

Chosen = type[nn.Module] | tuple[type[nn.Module], ...] | Callable[[str, nn.Module], bool]
"""Which modules are meant: a class, several, or a predicate of name and module."""

Objection = tuple[str, str]
"""Why a convolution stays as it is, and what would change that."""

_PROBES = (64, 33)  # sides of the maps on which a block shows its shape; odd and even


@dataclass(frozen=True)
class Candidate:
    """One convolution of a network.

    Attributes:
        path: its name.
        module: the convolution.
        norm_path: name of the batch norm that alone reads it; `None` where there is none.
        norm: that norm, where it can go into a structure.
        objection: why it cannot be replaced, if so.
    """

    path: str
    module: _ConvNd
    norm_path: str | None
    norm: nn.BatchNorm2d | None
    objection: Objection | None

    @property
    def conv(self) -> nn.Conv2d:
        """Return the convolution as a two-dimensional one, which one without objection is."""
        if not isinstance(self.module, nn.Conv2d):
            raise TypeError(f"{self.path} is a {type(self.module).__name__}")
        return self.module

    @property
    def padding(self) -> tuple[int, ...] | None:
        """Return the padding; `None` means half of the kernel."""
        if isinstance(self.module.padding, str):
            return (0, 0) if self.module.padding == "valid" else None
        return tuple(self.module.padding)


@dataclass(frozen=True)
class Block:
    """One residual block: its name, its channels in and out and its stride, or why they are unknown."""

    path: str
    module: nn.Module
    shape: tuple[int, int, int] | str


class _Tracer(fx.Tracer):
    """Stop at convolutions and norms, subclasses too."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, _ConvNd | _BatchNorm) or super().is_leaf_module(m, module_qualified_name)


class _Calls:
    """Which modules a network calls in evaluation mode, how often, and which norm reads which convolution."""

    def __init__(self, model: nn.Module) -> None:
        if isinstance(model, _ConvNd):  # the root of its own graph, and no call in it
            self.times, self.read, self.behind = Counter({"": 1}), set[str](), dict[str, str]()
            return
        graph = _trace(model)
        called = [node for node in graph.nodes if node.op == "call_module"]
        self.times = Counter(str(node.target) for node in called)
        self.read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
        self.behind = {
            str(node.target): str(reader.target)
            for node in called
            for reader in node.users
            if len(node.users) == 1 and reader.op == "call_module"
        }


def candidates(model: nn.Module, *, pointwise: bool) -> Iterator[Candidate]:
    """Yield each convolution of a network, with its norm or with what speaks against replacing it.

    Args:
        model: the network, in any mode.
        pointwise: whether 1x1 convolutions are candidates.

    Raises:
        Refused: torch.fx cannot trace the network in evaluation mode.
    """
    named = dict(model.named_modules(remove_duplicate=False))
    uses = _Uses(named)
    calls = _Calls(model)
    inside = tuple(
        f"{path}." if path else "" for path, module in named.items() if isinstance(module, Branched)
    )
    for path, module in named.items():
        if not isinstance(module, _ConvNd):
            continue
        after = calls.behind.get(path, "")
        behind = named.get(after)
        norm = behind if isinstance(behind, _BatchNorm) else None
        objections = (
            ("it belongs to a structure of branches already", "Nothing to do")
            if path.startswith(inside)
            else None,
            _of_use(path, uses.of(module), calls),
            _of_module(module, pointwise=pointwise),
            None if norm is None else _of_norm(norm, shared=max(calls.times[after], uses.of(norm)) > 1),
        )
        first = next((objection for objection in objections if objection), None)
        plain = norm if isinstance(norm, nn.BatchNorm2d) else None
        yield Candidate(path, module, after if plain is not None else None, plain, first)


class _Uses:
    """How often modules, or their weights, occur in a network."""

    def __init__(self, named: dict[str, nn.Module]) -> None:
        self.modules = Counter(map(id, named.values()))
        self.weights = Counter(
            id(parameter) for module in set(named.values()) for parameter in module.parameters(recurse=False)
        )

    def of(self, module: nn.Module) -> int:
        """Return under how many names the module or its weight is there."""
        weight = dict(module.named_parameters(recurse=False)).get("weight")
        return max(self.modules[id(module)], 0 if weight is None else self.weights[id(weight)])


def _of_use(path: str, uses: int, calls: _Calls) -> Objection | None:
    if max(uses, calls.times[path]) > 1:
        return (
            "it is shared: used more than once, or with a weight that another module has too",
            "Give each use a module of its own (copy.deepcopy)",
        )
    if calls.times[path] == 0:
        return (
            "the network does not call it in evaluation mode",
            "Remove it, or call it as a module: self.conv(x)",
        )
    if any(name.startswith(f"{path}.") for name in calls.read):
        return ("the network reads its weights itself", "Call it as a module only")
    return None


def _of_module(conv: _ConvNd, *, pointwise: bool) -> Objection | None:
    name = type(conv).__name__
    uneven = any(d * (k - 1) % 2 for d, k in zip(conv.dilation, conv.kernel_size, strict=True))
    objections: tuple[tuple[bool, str, str], ...] = (
        (
            type(conv) is not nn.Conv2d,
            f"it is a {name}, and the structures stand for plain nn.Conv2d only",
            "Remove its parametrization, or replace the subclass by nn.Conv2d",
        ),
        (
            _hooked(conv),
            "it carries hooks, which a structure would lose",
            "Remove them; set them again after",
        ),
        (not conv.weight.requires_grad, "its weight is frozen", "Set requires_grad, if it is to train"),
        (
            conv.padding_mode != "zeros",
            f"it pads with mode {conv.padding_mode!r}, and the algebra of flattening holds for zeros",
            "Use padding_mode='zeros', or pad with a layer of its own before it",
        ),
        (
            conv.padding == "same" and uneven,
            "it has padding='same' with an even kernel, so it pads more on one side",
            "Use an odd kernel, or pad with a layer of its own before it",
        ),
        (
            conv.kernel_size == (1, 1) and not pointwise,
            "it is a 1x1 convolution, which has no smaller branches",
            "Use the structure 'mobileone', which widens 1x1 convolutions too",
        ),
    )
    return next(((reason, remedy) for applies, reason, remedy in objections if applies), None)


def _of_norm(norm: _BatchNorm, *, shared: bool) -> Objection | None:
    if type(norm) is not nn.BatchNorm2d:
        return (
            f"its norm is a {type(norm).__name__}",
            "Widen with nn.BatchNorm2d; convert afterwards, as nn.SyncBatchNorm.convert_sync_batchnorm does",
        )
    if norm.running_mean is None:
        return (
            "its norm keeps no running statistics, so that nothing behind it could be flattened",
            "Use track_running_stats=True",
        )
    if any(not parameter.requires_grad for parameter in norm.parameters()):
        return ("its norm's weights are frozen", "Set requires_grad, if they are to train")
    if shared:
        return ("its norm is shared with other layers", "Give each layer a norm of its own")
    if _hooked(norm):
        return ("its norm carries hooks, which a structure would lose", "Remove them; set them again after")
    return None


def _hooked(module: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, kind, None) for kind in kinds)


def _trace(model: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(copy.deepcopy(model).eval())
    except (fx.proxy.TraceError, TypeError, RuntimeError, ValueError, AttributeError) as error:
        raise Refused(
            "widen the network",
            f"torch.fx could not follow {type(model).__name__}.forward ({error})",
            "Take control flow that depends on the input's values out of forward, or widen the submodules "
            "one by one",
        ) from error


def matching_blocks(model: nn.Module, chosen: Chosen) -> Iterator[Block]:
    """Yield the outermost modules that are chosen, with the shapes that they map."""
    objects = Counter(id(module) for _, module in model.named_modules(remove_duplicate=False))
    taken: list[str] = []
    for path, module in list(model.named_modules()):
        if path == "" or path.startswith(tuple(taken)) or not _is_chosen(path, module, chosen):
            continue
        taken.append(f"{path}.")
        shared = "it is shared: the network has it under several names"
        yield Block(path, module, shared if objects[id(module)] > 1 else _shape(module))


def _is_chosen(path: str, module: nn.Module, chosen: Chosen) -> bool:
    if isinstance(chosen, type | tuple):
        return isinstance(module, chosen)
    return bool(chosen(path, module))


def _shape(block: nn.Module) -> tuple[int, int, int] | str:
    """Find what a block maps by running it without values; the first convolution tells its input's width."""
    first = next((part for part in block.modules() if isinstance(part, nn.Conv2d)), None)
    if first is None:
        return "it holds no two-dimensional convolution"
    into = first.in_channels
    shadow = copy.deepcopy(block).to("meta").eval()
    maps = [torch.empty(1, into, side, side, device="meta", dtype=first.weight.dtype) for side in _PROBES]
    try:
        shapes = [tuple(shadow(x).shape) for x in maps]
    except (TypeError, RuntimeError, ValueError, AttributeError) as error:
        return f"it does not run on a map of {into} channels ({error})"
    out = shapes[0][1]
    stride = max(1, _PROBES[0] // max(1, shapes[0][-1]))
    if shapes != [(1, out, -(-side // stride), -(-side // stride)) for side in _PROBES]:
        return f"it maps sides of {_PROBES} to shapes {shapes}, which no 3x3 convolution with padding 1 does"
    return into, out, stride


def set_module(model: nn.Module, path: str, module: nn.Module) -> nn.Module:
    """Put a module in the place of another, under every parent's name, and return the network."""
    if path == "":
        return module
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)
    return model
