"""Place the ops of a graph: columns by depth, the longest path on the first lane, branches below it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from juggler.nouns import GraphNode, GraphSummary


@dataclass(frozen=True)
class Block:
    """One op at its place."""

    node: GraphNode
    column: int
    lane: int


@dataclass(frozen=True)
class Wire:
    """One edge: it leaves `source`, runs along the lane `via`, and enters `target`."""

    source: Block
    target: Block
    via: int


@dataclass(frozen=True)
class Layout:
    """Blocks in order of execution, and the wires between them."""

    blocks: tuple[Block, ...]
    wires: tuple[Wire, ...]
    columns: int


def arrange(graph: GraphSummary) -> Layout:
    """Place every op of the graph; inputs that are no op of the graph (such as weights) get no wire."""
    nodes = {node.name: node for node in graph.nodes}
    sources = {n.name: tuple(i for i in dict.fromkeys(n.inputs) if i in nodes) for n in graph.nodes}
    column: dict[str, int] = {}
    for name in nodes:
        column[name] = 1 + max((column[i] for i in sources[name] if i in column), default=-1)
    # An edge that points backwards in the order of execution belongs to no graph that runs: not drawn.
    sources = {n: tuple(i for i in before if column[i] < column[n]) for n, before in sources.items()}
    chains = _chains(nodes, sources, column)
    lane = _lanes(chains, sources, column)
    blocks = {name: Block(node, column[name], lane[name]) for name, node in nodes.items()}
    wires = _wires(chains, sources, column, lane, blocks)
    return Layout(tuple(blocks.values()), wires, 1 + max(column.values(), default=-1))


def _chains(
    nodes: dict[str, GraphNode], sources: dict[str, tuple[str, ...]], column: dict[str, int]
) -> list[list[str]]:
    """Cut the graph into chains, each from its first op to its last; the first chain is the longest path."""
    macs: dict[str, int] = {}
    for name, node in nodes.items():
        macs[name] = node.macs + max((macs[i] for i in sources[name]), default=0)
    chains: list[list[str]] = []
    placed: set[str] = set()
    for last in sorted(nodes, key=lambda n: -column[n]):
        if last in placed:
            continue
        chain = [last]
        # Backwards along the deepest source; of two that are as deep, the one with more work behind it.
        while before := [i for i in sources[chain[-1]] if i not in placed]:
            chain.append(max(before, key=lambda n: (column[n], macs[n])))
        placed.update(chain)
        chains.append(chain[::-1])
    return chains


class _Lanes:
    """Give out lanes so that no two spans on one lane overlap."""

    def __init__(self) -> None:
        self.spans: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def take(self, start: int, end: int) -> int:
        lane = 1
        while any(start <= b and a <= end for a, b in self.spans[lane]):
            lane += 1
        self.spans[lane].append((start, end))
        return lane


def _lanes(
    chains: list[list[str]], sources: dict[str, tuple[str, ...]], column: dict[str, int]
) -> dict[str, int]:
    """Return the lane of every op, and under `skip:NAME` that of wires that pass by whole blocks."""
    targets: dict[str, list[str]] = defaultdict(list)
    for name, before in sources.items():
        for source in before:
            targets[source].append(name)
    spans: list[tuple[int, int, tuple[str, ...]]] = []
    for chain in chains[1:]:
        start = min((column[i] + 1 for i in sources[chain[0]]), default=column[chain[0]])
        end = max((column[t] - 1 for t in targets[chain[-1]]), default=column[chain[-1]])
        spans.append((start, max(end, column[chain[-1]]), tuple(chain)))
    for source, reach in _skips(chains, sources, column).items():
        spans.append((column[source] + 1, reach - 1, (f"skip:{source}",)))
    lane = dict.fromkeys(chains[0] if chains else [], 0)
    lanes = _Lanes()
    # Short spans first: what encloses them then runs outside, and wires do not cross blocks.
    for start, end, names in sorted(spans, key=lambda w: (w[1] - w[0], w[0])):
        lane |= dict.fromkeys(names, lanes.take(start, end))
    return lane


def _skips(
    chains: list[list[str]], sources: dict[str, tuple[str, ...]], column: dict[str, int]
) -> dict[str, int]:
    """Return the sources whose wires need a lane of their own, with the farthest column they reach."""
    chain_heads = {chain[0] for chain in chains[1:]}
    chain_tails = {chain[-1] for chain in chains[1:]}
    reach: dict[str, int] = {}
    for name, before in sources.items():
        for source in before:
            near = column[name] == column[source] + 1
            if not near and name not in chain_heads and source not in chain_tails:
                reach[source] = max(reach.get(source, 0), column[name])
    return reach


def _wires(
    chains: list[list[str]],
    sources: dict[str, tuple[str, ...]],
    column: dict[str, int],
    lane: dict[str, int],
    blocks: dict[str, Block],
) -> tuple[Wire, ...]:
    """Route every edge: along its own chain's lane, or along the lane kept for what it passes by."""
    heads = {chain[0] for chain in chains[1:]}
    wires = []
    for name, before in sources.items():
        for source in before:
            if column[name] == column[source] + 1 or name in heads:
                via = lane[name]
            else:
                via = lane.get(f"skip:{source}", lane[source])
            wires.append(Wire(blocks[source], blocks[name], via))
    return tuple(wires)
