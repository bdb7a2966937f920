"""A torch.fx graph while it is being built, node by node: what every reader of another format starts from."""

from __future__ import annotations

import keyword
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn


class GraphBuilder:
    """A graph and the modules and weights that it calls by name.

    Attributes:
        graph: the nodes so far.
        parts: modules, parameters and buffers by the names that the nodes call them by.
    """

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.parts: dict[str, nn.Module | Tensor] = {}

    def add_part(self, stem: str, part: nn.Module | Tensor) -> str:
        """Take up a module or a tensor; return its name, the stem with a number where that is taken."""
        stem = f"{stem}_" if keyword.iskeyword(stem) else stem
        name, number = stem, 1
        while name in self.parts:
            name, number = f"{stem}_{number}", number + 1
        self.parts[name] = part
        return name

    def add_buffer(self, stem: str, tensor: Tensor) -> fx.Node:
        """Return a node that reads a constant."""
        return self.graph.get_attr(self.add_part(stem, tensor))

    def add_module(self, stem: str, module: nn.Module, source: fx.Node) -> fx.Node:
        """Return a node that calls a module on one other node."""
        return self.graph.call_module(self.add_part(stem, module), (source,))

    def add_function(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> fx.Node:
        """Return a node that calls a function."""
        return self.graph.call_function(function, arguments, options)

    def finish(self, class_name: str) -> fx.GraphModule:
        """Return the graph as a network in evaluation mode."""
        return fx.GraphModule(self.parts, self.graph, class_name=class_name).eval()
