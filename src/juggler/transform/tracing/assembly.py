"""The torch.fx graph that the reader of exported programs builds, and what it knows of each operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, fx, nn

from juggler.transform.tracing.builder import GraphBuilder


class NoHandle(Exception):  # noqa: N818  # caught by the reader, which then keeps the operator
    """No module and no plain function is known that computes this operator as it is used here."""


@dataclass(frozen=True)
class Arguments:
    """What one operator is called with, by the names of its schema, defaults filled in.

    Attributes:
        node: the call in the program's own graph.
        values: every argument; tensors are nodes of the program's graph.
        held: the weights among them.
        mapped: turns nodes of the program's graph into nodes of the new one.
    """

    node: fx.Node
    values: dict[str, Any]
    held: dict[str, Any]
    mapped: Callable[[Any], Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            raise NoHandle  # another overload, which takes other arguments
        return self.mapped(self.values[name])

    @property
    def gives_several(self) -> bool:
        """Say whether the operator gives several results."""
        return len(operator_of(self.node)._schema.returns) > 1

    def weight(self, name: str) -> Tensor:
        """Return an argument that must be a weight."""
        held = self.held.get(name)
        if not isinstance(held, Tensor):
            raise NoHandle
        return held

    def optional(self, name: str) -> Tensor | None:
        """Return a weight, or None where none is given."""
        return None if self.values.get(name) is None else self.weight(name)

    def shape(self, name: str) -> tuple[Any, ...]:
        """Return the shape of an argument; sizes that are free are no ints."""
        tensor = self.values[name].meta.get("val")
        if not isinstance(tensor, Tensor):
            raise NoHandle
        return tuple(tensor.shape)

    def numbers(self, name: str, rank: int) -> tuple[int, ...]:
        """Return one number an axis; aten writes one for all where they are equal."""
        numbers = tuple(self.values[name])
        return numbers * rank if len(numbers) == 1 else numbers


class AtenBuilder(GraphBuilder):
    """The graph of an exported program; its weights and modules are shared as the program shares them.

    Attributes:
        values: what each node of the program has become.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[fx.Node, Any] = {}
        self._copies: dict[Any, Tensor] = {}
        self._names: dict[int, str] = {}
        self._called: dict[Any, str] = {}

    def weight_copy(self, tensor: Any, fqn: str) -> Any:
        """Return a copy of a weight, the same one for every name that the weight has."""
        if not isinstance(tensor, Tensor):
            return tensor
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else fqn
        if key not in self._copies:
            copied = tensor.detach().clone()
            self._copies[key] = nn.Parameter(copied) if isinstance(tensor, nn.Parameter) else copied
        self._names.setdefault(id(self._copies[key]), fqn)
        return self._copies[key]

    def constant(self, tensor: Tensor, name: str) -> fx.Node:
        """Return a node that reads a weight."""
        target = self._names.get(id(tensor), name)
        if self.parts.get(target) is not tensor:
            is_weight = isinstance(tensor, nn.Parameter) or id(tensor) in self._names
            target = self.add_part(target, tensor if is_weight else tensor.detach().clone())
        return self.graph.get_attr(target)

    def module(self, call: Arguments, module: nn.Module, source: str = "input", *key: Any) -> fx.Node:
        """Return a node that lets a module compute the operator.

        Args:
            call: the operator.
            module: what computes it.
            source: name of the argument that the module takes.
            key: what else makes two calls one and the same module; without it each call has its own.
        """
        if key and key in self._called:
            target = self._called[key]
        else:
            target = self.add_part(self._path(call, key), module)
            if key:
                self._called[key] = target
        return self.graph.call_module(target, (call[source],))

    def _path(self, call: Arguments, key: tuple[Any, ...]) -> str:
        """Return the name by which the network's owner knows the module."""
        owner, _, last = self._names.get(key[1], "").rpartition(".") if key else ("", "", "")
        if owner and last == "weight":
            return owner
        stack = list(call.node.meta.get("nn_module_stack", {}).values())
        if stack:
            path, kind = stack[-1]
            name = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
            if path and name.startswith("torch.nn.modules.") and ".container." not in name:
                return str(path).partition("@")[0]
        return call.node.name


Handle: TypeAlias = Callable[[AtenBuilder, Arguments], Any]


def operator_of(node: Any) -> Any:
    """Return the aten operator that a node calls; None where it calls none."""
    target = node.target if isinstance(node, fx.Node) else None
    return target if isinstance(target, torch._ops.OpOverload) else None


def name_of(node: Any) -> str:
    """Return the operator's name, `add` for `aten::add_` too; the function's own for any other."""
    kind = operator_of(node)
    if kind is None:
        return str(getattr(getattr(node, "target", ""), "__name__", ""))
    space, _, name = kind._schema.name.partition("::")
    if space != "aten":
        return str(kind._schema.name)
    return str(name.removesuffix("_") if kind._schema.is_mutable else name)


def bound(node: fx.Node) -> dict[str, Any]:
    """Return the arguments of an operator by the names of its schema, defaults filled in."""
    parameters = operator_of(node)._schema.arguments
    arguments = {**dict(zip((p.name for p in parameters), node.args, strict=False)), **node.kwargs}
    defaults = {p.name: p.default_value for p in parameters if p.has_default_value()}
    return {p.name: arguments.get(p.name, defaults.get(p.name)) for p in parameters}
