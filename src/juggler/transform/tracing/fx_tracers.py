"""Follow a forward step by step and write down what it does; say where it could not be followed.

`Symbolic` follows with sizes left free. `ByExample` knows the sizes of every tensor for one example, so shape
arithmetic and branches on sizes are decided as they are for the example; the batch stays free.
"""

from __future__ import annotations

import inspect
import linecache
import operator
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate
from torch.fx.proxy import TraceError
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from juggler.transform.tracing.preparation import plain

_TORCH, _HERE = str(Path(torch.__file__).parent), str(Path(__file__).parents[1])
_STANDARD = sysconfig.get_paths()["stdlib"]
_UNKNOWN = object()
# What is asked of a tensor and does not depend on its batch.
_FIXED_ATTRIBUTES = frozenset({"ndim", "dtype", "device", "layout", "is_cuda", "is_sparse", "requires_grad"})
_FIXED_CALLS = frozenset(
    {"dim", "ndimension", "is_floating_point", "is_complex", "element_size", "get_device", "is_contiguous"}
)
_CASTS = frozenset({"to", "type", "type_as", "float", "double", "half", "bfloat16", "cpu", "cuda"})


class Symbolic(fx.Tracer):
    """Trace into everything but torch's own modules and what inherits from its convolutions and norms.

    A subclass is taken for what it inherits from and then held to it: every rewrite is checked against
    what the module really computes. Inputs that have defaults keep them.
    """

    def __init__(self, inputs: int | None = None) -> None:
        super().__init__()
        self._inputs = inputs

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Say whether the module stays one node."""
        return isinstance(m, _ConvNd | _BatchNorm | nn.Linear) or super().is_leaf_module(
            m, module_qualified_name
        )

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """Make one placeholder an input that was asked for; the rest keep their defaults."""
        names = _input_names(root_fn, self._inputs)
        proxies = [self.create_proxy("placeholder", name, (), {}) for name in names]

        def run(root: nn.Module, *inputs: Any) -> Any:
            return plain(root_fn(root, *inputs))

        return run, [self.root, *proxies]


def _input_names(forward: Callable[..., Any], inputs: int | None) -> list[str]:
    """Return the names of the first inputs; of those without defaults where no number is asked for."""
    parameters = list(inspect.signature(forward).parameters.values())[1:]
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if inputs is None:
        return [p.name for p in places if p.default is p.empty] or [p.name for p in places[:1]]
    spread = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]
    more = [f"{spread[0]}_{i}" for i in range(inputs - len(places))] if spread else []
    return [*(p.name for p in places), *more][:inputs]


class _Known(fx.Proxy):
    """A proxy that answers for sizes and types as its tensor has them for the example."""

    tracer: ByExample

    def __getattr__(self, name: str) -> Any:
        value = self.tracer.values.get(self.node)
        if isinstance(value, Tensor):
            if name == "shape":
                return self.tracer.sizes(self, value)
            if name in _FIXED_ATTRIBUTES:
                return getattr(value, name)
        return super().__getattr__(name)

    def __iter__(self) -> Iterator[Any]:
        value = self.tracer.values.get(self.node)
        if isinstance(value, Tensor | tuple | list):
            return iter([operator.getitem(self, index) for index in range(len(value))])
        return super().__iter__()

    def __len__(self) -> int:
        value = self.tracer.values.get(self.node)
        return len(value) if isinstance(value, Tensor | tuple | list) else super().__len__()

    def __index__(self) -> int:
        return int(self._number())

    def __int__(self) -> int:
        return int(self._number())

    def __float__(self) -> float:
        return float(self._number())

    def _number(self) -> float:
        value = self.tracer.values.get(self.node)
        if isinstance(value, int | float):
            return value
        raise TraceError("a number is made of what a tensor holds")


class ByExample(Symbolic):
    """Trace with every tensor's sizes known for one example.

    Attributes:
        values: what each node gives for the example: tensors of sizes without values, numbers, tuples.
    """

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: PLC0415  # slow to import

        super().__init__(len(inputs))
        self.values: dict[fx.Node, Any] = {}
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._left = [self._mode.from_tensor(tensor) for tensor in inputs]
        self._evaluating = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return a proxy that knows its sizes."""
        return _Known(node, self)

    def create_proxy(
        self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *rest: Any, **more: Any
    ) -> Any:
        """Note the node and what it gives; answer at once what does not depend on the batch."""
        subject = self._tensor(args[0]) if args else None
        if subject is not None and "dtype" in kwargs and kwargs["dtype"] == subject.dtype:
            # It is asked to keep its type: left in, it would hold another copy to the type of this one.
            kwargs = {name: value for name, value in kwargs.items() if name != "dtype"}
        value = self._evaluate(kind, target, args, kwargs)
        name = target if isinstance(target, str) else getattr(target, "__name__", "")
        if subject is not None and value is not _UNKNOWN:
            if name in _FIXED_CALLS or (
                name == "size" and isinstance(value, int) and _later(args, kwargs, subject.ndim)
            ):
                return value
            if name == "size" and not isinstance(value, int):
                return self.sizes(args[0], subject)
            if name in _CASTS and (value.dtype, value.device) == (subject.dtype, subject.device):
                return args[0]
        proxy = super().create_proxy(kind, target, args, kwargs, *rest, **more)
        if value is not _UNKNOWN:
            self.values[proxy.node] = value
        return proxy

    def sizes(self, proxy: fx.Proxy, value: Tensor) -> tuple[Any, ...]:
        """Return a tensor's sizes: the first as a proxy, for it counts the batch, the others as numbers."""
        if not value.ndim or proxy.node.op == "get_attr":
            return tuple(value.shape)
        return (self.create_proxy("call_method", "size", (proxy, 0), {}), *value.shape[1:])

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Decide a branch on sizes as the example does."""
        value = self.values.get(obj.node)
        if isinstance(value, bool | int | float):
            return bool(value)
        raise TraceError("the branch depends on what a tensor holds")

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """Give the parameter itself while a node is evaluated, its proxy while the forward is followed."""
        if self._evaluating:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run the module while a node is evaluated, note it while the forward is followed."""
        if self._evaluating:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def forget_sizes(self) -> None:
        """Take out of the graph what only served to answer for sizes."""
        for node in reversed(list(self.graph.nodes)):
            answer = self.values.get(node)
            if not node.users and isinstance(answer, bool | int | float):
                self.graph.erase_node(node)

    def _tensor(self, argument: Any) -> Tensor | None:
        value = self.values.get(argument.node) if isinstance(argument, fx.Proxy) else None
        return value if isinstance(value, Tensor) else None

    def _evaluate(self, kind: str, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what a node gives for the example, without values; `_UNKNOWN` where that needs values."""
        if kind == "placeholder":
            return self._left.pop(0)
        self._evaluating = True
        try:
            known_args, known_kwargs = map_aggregate((args, kwargs), self._known)
            with torch.no_grad(), self._mode:
                if kind == "call_module":
                    return self.root.get_submodule(target)(*known_args, **known_kwargs)
                if kind == "call_method":
                    return getattr(known_args[0], target)(*known_args[1:], **known_kwargs)
                return target(*known_args, **known_kwargs) if kind == "call_function" else self._held(target)
        except Exception:  # noqa: BLE001  # whatever it is: the example has run, so it is about the values
            return _UNKNOWN
        finally:
            self._evaluating = False

    def _known(self, argument: Any) -> Any:
        return self.values[argument.node] if isinstance(argument, fx.Proxy) else argument

    def _held(self, target: str) -> Any:
        owner, _, name = target.rpartition(".")
        return getattr(self.root.get_submodule(owner), name)


def _later(args: tuple[Any, ...], kwargs: dict[str, Any], dimensions: int) -> bool:
    """Say whether `size` is asked for another dimension than the first."""
    dimension = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    return isinstance(dimension, int) and dimension % dimensions != 0


def place(error: BaseException, network: nn.Module) -> str:
    """Say where in the user's network an error came up: the module's path, the line of its source."""
    paths = {id(module): name for name, module in network.named_modules()}
    path, line = "", ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        path = paths.get(id(frame.f_locals.get("self")), path)
        file = frame.f_code.co_filename
        if _is_users(file):
            line = f"{file}:{number}: `{linecache.getline(file, number).strip()}`"
    return f"in {path or 'the network itself'}" + (f", {line}" if line else "")


def _is_users(file: str) -> bool:
    inside = file.startswith((_TORCH, _HERE, "<"))
    return not inside and (not file.startswith(_STANDARD) or "site-packages" in file)
