"""Where a graph is linear: its maximal regions, and each as an expression.

Two linear ops belong together where one reads the other, or both read the same map. No list of patterns says
what a region looks like. An activation that reads a region directly goes along as its last term, so that a
form is priced with what runtimes fuse into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import fx

from juggler.errors import first_line
from juggler.nouns import Refusal
from juggler.transform.algebra.conv import NotFusible
from juggler.transform.graph.lift import Op, lift, lift_wall
from juggler.transform.rewrite.expression import Expression, Term
from juggler.transform.tracing.graph import View, label, shape_of

AS_IT_IS = "Nothing to do: it stays as it is. Report it with the network, if you can"


@dataclass(frozen=True)
class Region:
    """Ops that are linear together, in order of execution, and the activations that read them."""

    ops: dict[fx.Node, Op]

    @property
    def name(self) -> str:
        """Return what its first and its last op are called."""
        names = [label(node) for node in self.ops]
        return names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"

    @property
    def first(self) -> str:
        """Return the name of its first op, which no other region has."""
        return next(iter(self.ops)).name

    def reading(self, replaced: Mapping[fx.Node, fx.Node]) -> Region:
        """Return the region with its ops reading what took the place of nodes in other regions."""
        if not any(read in replaced for op in self.ops.values() for read in op.reads):
            return self
        return Region(
            {
                node: Op(op.value, tuple(replaced.get(read, read) for read in op.reads))
                for node, op in self.ops.items()
            }
        )


@dataclass
class Lifting:
    """A graph's ops as the algebra sees them.

    Attributes:
        linear: what is linear, in order of execution.
        walls: activations that read something linear.
        refusals: what would be linear but for a reason that its owner can remove.
    """

    linear: dict[fx.Node, Op] = field(default_factory=dict)
    walls: dict[fx.Node, Op] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)


def lift_all(view: View) -> Lifting:
    """Lift every op of a graph; each node is told its place in the order of execution."""
    lifting = Lifting()
    for order, node in enumerate(view.nodes()):
        node.meta["order"] = order
        try:
            op = lift(node, view)
        except Exception as error:  # noqa: BLE001  # an op of somebody else's: it stays as it is
            op = NotFusible(f"{type(error).__name__} while it was read: {first_line(error)}", AS_IT_IS)
        if isinstance(op, NotFusible):
            lifting.refusals.append(Refusal("lift", (label(node),), op.reason, op.remedy))
        elif op is not None:
            lifting.linear[node] = op
        elif (wall := lift_wall(node, view)) is not None and wall.reads[0] in lifting.linear:
            lifting.walls[node] = wall
    return lifting


def regions(lifting: Lifting, cuts: Iterable[fx.Node] = ()) -> list[Region]:
    """Return the connected parts of what is linear, in order of execution; `cuts` belong to none."""
    left_out = set(cuts)
    linear = {node: op for node, op in lifting.linear.items() if node not in left_out}
    parent: dict[fx.Node, fx.Node] = {}

    def root(node: fx.Node) -> fx.Node:
        parent.setdefault(node, node)
        while parent[node] is not node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for node, op in linear.items():
        for read in op.reads:
            parent[root(node)] = root(read)
    parts: dict[fx.Node, dict[fx.Node, Op]] = {}
    for node, op in linear.items():
        parts.setdefault(root(node), {})[node] = op
    for node, op in lifting.walls.items():
        if op.reads[0] in linear:
            parts[root(op.reads[0])][node] = op
    return [Region(ops) for ops in parts.values()]


def expression_of(region: Region) -> Expression:
    """Write a region as an expression; what it reads from outside becomes its inputs."""
    terms: dict[fx.Node, Term] = {}
    inputs: list[Term] = []
    for node, op in sorted(region.ops.items(), key=lambda item: item[0].meta["order"]):
        for read in op.reads:
            if read not in terms:
                terms[read] = Term(None, (), shape_of(read), label(read), origin=read)
                inputs.append(terms[read])
        terms[node] = Term(
            op.value,
            tuple(terms[read] for read in op.reads),
            shape_of(node),
            label=label(node),
            origin=node,
            position=node,
            stands_for=node.meta.get("stands_for", node.name),
            paths=tuple(node.meta.get("paths", ())),
        )
    outputs = [terms[node] for node in region.ops if any(user not in region.ops for user in node.users)]
    return Expression(inputs, outputs)
