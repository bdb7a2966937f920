"""Graph drawings: every op placed once, branches beside the longest path, one scale for both."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.nouns import GraphNode, GraphSummary
from juggler.report import draw_graphs
from juggler.report.network.graphs import Grid, kind_of
from juggler.report.network.layout import Layout, arrange
from report_parts import chain, residual

SVG = "{http://www.w3.org/2000/svg}"


def rectangles(svg: str) -> list[tuple[float, float, float, float]]:
    root = ET.fromstring(svg)  # noqa: S314  # our own text
    names = ("x", "y", "width", "height")
    return [tuple(float(r.attrib[n]) for n in names) for r in root.iter(f"{SVG}rect")]  # type: ignore[misc]


def test_a_residual_block_keeps_its_branch_off_the_longest_path() -> None:
    layout = arrange(residual("r", 2))
    assert {b.lane for b in layout.blocks} == {0}
    assert [b.column for b in layout.blocks] == list(range(10))
    skips = [w for w in layout.wires if w.target.column > w.source.column + 1]
    assert [(w.source.node.name, w.target.node.name, w.via) for w in skips] == [
        ("x", "add0", 1),
        ("add0", "add1", 1),
    ]


def test_parallel_branches_take_lanes_of_their_own() -> None:
    nodes = [GraphNode("x", "placeholder", (), (1, 4))]
    nodes += [GraphNode(n, "conv2d", ("x",), (1, 4), macs) for n, macs in (("a", 1), ("b", 9), ("c", 1))]
    nodes.append(GraphNode("sum", "add", ("a", "b", "c", "weight"), (1, 4)))
    layout = arrange(GraphSummary("branches", tuple(nodes)))
    lanes = {b.node.name: b.lane for b in layout.blocks}
    assert lanes["b"] == 0, "the branch with most work is the spine"
    assert sorted(lanes[n] for n in "abc") == [0, 1, 2]
    assert len(layout.wires) == 6, "a weight that is no op of the graph gets no wire"


@st.composite
def graphs(draw: st.DrawFn) -> GraphSummary:
    size = draw(st.integers(1, 30))
    nodes = []
    for i in range(size):
        sources = draw(st.lists(st.integers(0, i - 1), max_size=3)) if i else []
        nodes.append(GraphNode(f"n{i}", "add", tuple(f"n{s}" for s in sources), (1, 2)))
    return GraphSummary("any", tuple(nodes))


def _cells(layout: Layout) -> list[tuple[int, int]]:
    return [(b.column, b.lane) for b in layout.blocks]


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_no_two_ops_share_a_place_and_no_wire_runs_through_an_op(sketch: GraphSummary) -> None:
    layout = arrange(sketch)
    cells = _cells(layout)
    assert len(set(cells)) == len(cells) == len(sketch.nodes)
    assert len(layout.wires) == sum(len(set(n.inputs)) for n in sketch.nodes)
    for wire in layout.wires:
        assert wire.source.column < wire.target.column
        passed = {(column, wire.via) for column in range(wire.source.column + 1, wire.target.column)}
        assert not passed & set(cells)


def test_both_graphs_are_drawn_to_one_scale() -> None:
    picture = draw_graphs(residual("wide", 8), chain("flat", "conv2d", "relu"))
    wide, flat = map(rectangles, picture.svgs)
    assert (len(wide), len(flat)) == (34, 3)
    assert {r[2:] for r in wide} == {r[2:] for r in flat}
    steps = {round(b[0] - a[0], 1) for r in (wide, flat) for a, b in pairwise(r)}
    assert len(steps) == 1


@pytest.mark.parametrize("blocks", [1, 12, 100])
def test_blocks_lie_inside_the_drawing_and_apart(blocks: int) -> None:
    (svg,) = draw_graphs(residual("any", blocks)).svgs
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())  # type: ignore[union-attr]
    boxes = rectangles(svg)
    assert len(boxes) == 4 * blocks + 2
    for x, y, w, h in boxes:
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
    for a, b in pairwise(boxes):
        assert b[0] >= a[0] + a[2] or b[1] >= a[1] + a[3]
    assert ("<text" in svg) == bool(blocks)


def test_deep_graphs_become_strips_without_letters() -> None:
    assert Grid.fitting(42).lettered
    assert not Grid.fitting(416).lettered
    assert Grid.fitting(416).columns > 80


def test_hover_titles_say_name_shape_and_work() -> None:
    (svg,) = draw_graphs(chain("flat", "conv2d")).svgs
    titles = [t.text for t in ET.fromstring(svg).iter(f"{SVG}title")]  # noqa: S314  # our own text
    assert titles[1] == "conv2d0 (conv2d)\noutput 1×8×6×6\n900 MACs"


@pytest.mark.parametrize(
    ("own", "family"),
    [
        ("Conv2d", "convolution"),
        ("batch_norm", "normalisation"),
        ("BatchNorm2d", "normalisation"),
        ("ReLU", "activation"),
        ("operator.add", "add, join"),
        ("adaptive_avg_pool2d", "pooling"),
        ("ZeroPad2d", "shape"),
        ("addmm", "linear"),
        ("placeholder", "input, output"),
        ("einsum", "linear"),
        ("roll_of_mine", "other"),
    ],
)
def test_kinds_are_recognised_by_their_words(own: str, family: str) -> None:
    assert kind_of(GraphNode("n", own, (), (1,))).name == family


def test_the_legend_counts_both_graphs() -> None:
    legend = draw_graphs(residual("wide", 3), chain("flat", "conv2d", "relu")).legend
    counts = {entry.kind.name: entry.counts for entry in legend}
    assert counts["convolution"] == (3, 1)
    assert counts["normalisation"] == (3, 0)
    assert "pooling" not in counts
