"""What a network takes and gives, and its graph as pictures and tables need it."""

from __future__ import annotations

from dataclasses import dataclass

from juggler.nouns.noun import Noun


@dataclass(frozen=True)
class TensorSpec(Noun):
    """Name, shape and element type of a network's input or output; `None` is a size free at run time."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class GraphNode(Noun):
    """One op of a graph, for pictures and tables: its name, kind, inputs, output shape and work."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int = 0


@dataclass(frozen=True)
class GraphSummary(Noun):
    """A graph as its ops in order of execution."""

    name: str
    nodes: tuple[GraphNode, ...]

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of all ops."""
        return sum(node.macs for node in self.nodes)
