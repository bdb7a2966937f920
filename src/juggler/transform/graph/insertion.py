"""Put a rewritten expression back into the graph that it was lifted from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import fx

from juggler.transform.graph.regions import Region
from juggler.transform.graph.writing import Writer
from juggler.transform.rewrite.expression import Expression, Term


def place(expression: Expression, region: Region, writer: Writer) -> dict[fx.Node, fx.Node]:
    """Write what is new, let it be read instead of what it stands for, and take out what nothing reads.

    Nodes that the expression still holds as they were keep their place. A new one is computed where the
    first of the ops was computed that it stands for, when all that it reads is there.
    """
    outputs_before = [node for node in region.ops if any(user not in region.ops for user in node.users)]
    nodes: dict[Term, fx.Node] = {}
    for term in expression.terms():
        if term.origin is not None:
            nodes[term] = term.origin
            _reread(term, nodes, region)
        else:
            nodes[term] = _written(term, nodes, writer)
    replaced: dict[fx.Node, fx.Node] = {}
    for before, term in zip(outputs_before, expression.outputs, strict=True):
        after = nodes[term]
        if after is not before:
            replaced[before] = after
            before.replace_all_uses_with(after, delete_user_cb=lambda user: user not in region.ops)
    placed = set(nodes.values())
    for node in sorted(region.ops, key=lambda n: -n.meta["order"]):
        if node not in placed and not node.users:
            writer.erase(node)
    return replaced


def _reread(term: Term, nodes: dict[Term, fx.Node], region: Region) -> None:
    """Let a node that stays read what its reads have become."""
    node = nodes[term]
    if node in region.ops:
        for before, read in zip(region.ops[node].reads, term.reads, strict=True):
            if nodes[read] is not before:
                node.replace_input_with(before, nodes[read])


def _written(term: Term, nodes: dict[Term, fx.Node], writer: Writer) -> fx.Node:
    position = term.position
    if position is None:
        raise TypeError(f"{term.label} has no place in the graph")
    with writer.root.graph.inserting_before(position):
        node = writer.write(term.value, [nodes[r] for r in term.reads], stem(term.paths), term.shape)
    node.meta.update(
        shape=term.shape, stands_for=term.stands_for, paths=term.paths, order=position.meta["order"]
    )
    return node


def stem(paths: Sequence[str]) -> str:
    """Name a result by what its parts have in common: `layer1.0.conv1`, ... -> `layer1_0_flat`."""
    split = [path.split(".") for path in paths] or [["region"]]
    common = [p[0] for p in itertools.takewhile(lambda p: len(set(p)) == 1, zip(*split, strict=False))]
    return "_".join(common if common and len(paths) > 2 else split[0]) + "_flat"
