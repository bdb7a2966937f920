"""Draw a network before and after flattening: coloured ops on strips of one scale, left to right."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from juggler.nouns import GraphNode, GraphSummary
from juggler.report.kit.theme import variable
from juggler.report.kit.units import clean, count, macs, shape, shorten
from juggler.report.network.layout import Block, Layout, Wire, arrange

# The drawing's width in pixels, and the width of a column: ops are lettered down to `LETTERED_PX`;
# deeper networks are drawn as strips of small blocks that wrap like lines of text.
WIDTH_PX = 1120
WIDEST_PX, LETTERED_PX, STRIP_PX = 40, 15, 12
MARGIN_PX, NOTE_PX = 2, 20


@dataclass(frozen=True)
class Kind:
    """One family of ops: its colour, its letter on the block, and the words that its ops go by."""

    name: str
    colour: str
    letter: str
    words: tuple[str, ...]


# The first kind with a word inside the op's own kind wins: `add` must come after `padding` has had its
# chance, and batch norm before everything that contains `norm`.
KINDS: tuple[Kind, ...] = (
    Kind("convolution", "op-conv", "C", ("conv",)),
    Kind("normalisation", "op-norm", "N", ("norm", "bn")),
    Kind(
        "activation",
        "op-act",
        "A",
        ("relu", "gelu", "silu", "swish", "sigmoid", "tanh", "softmax", "elu", "activ", "mish", "clip"),
    ),
    Kind("pooling", "op-pool", "P", ("pool", "mean")),
    Kind("linear", "op-linear", "L", ("linear", "gemm", "matmul", "addmm", "dense", "einsum")),
    Kind(
        "shape",
        "op-shape",
        "S",
        (
            "flatten",
            "reshape",
            "view",
            "permute",
            "transpose",
            "squeeze",
            "pad",
            "slice",
            "shape",
            "identity",
        ),
    ),
    Kind("add, join", "op-add", "+", ("add", "cat", "sum", "mul", "sub")),
    Kind("input, output", "op-io", "•", ("placeholder", "input", "output")),
)
OTHER = Kind("other", "op-other", "?", ())


@dataclass(frozen=True)
class Legend:
    """One entry of the legend: the kind and how many ops of it each graph has."""

    kind: Kind
    counts: tuple[int, ...]


@dataclass(frozen=True)
class GraphPicture:
    """The drawings, as SVG text in the order the graphs were given, and one legend for them all."""

    svgs: tuple[str, ...]
    legend: tuple[Legend, ...]


def kind_of(node: GraphNode) -> Kind:
    """Return the family of an op, found by the words in its own kind (`Conv2d`, `batch_norm`, `add`)."""
    text = node.kind.lower()
    return next((kind for kind in KINDS if any(word in text for word in kind.words)), OTHER)


def draw_graphs(*graphs: GraphSummary) -> GraphPicture:
    """Draw graphs to one scale, so that a shorter strip is a shallower network."""
    layouts = [arrange(graph) for graph in graphs]
    grid = Grid.fitting(max((layout.columns for layout in layouts), default=1))
    svgs = tuple(_draw(*pair, grid) for pair in zip(graphs, layouts, strict=True))
    counts = [Counter(kind_of(node) for node in graph.nodes) for graph in graphs]
    present = [kind for kind in (*KINDS, OTHER) if any(c[kind] for c in counts)]
    return GraphPicture(svgs, tuple(Legend(kind, tuple(c[kind] for c in counts)) for kind in present))


@dataclass(frozen=True)
class Grid:
    """The scale that all graphs share: pixels a column, and columns a row before the strip wraps."""

    unit_px: int
    columns: int

    @classmethod
    def fitting(cls, columns: int) -> Grid:
        """Return the widest grid on which that many columns fit, or the wrapping grid of small blocks."""
        inner_px = WIDTH_PX - 2 * MARGIN_PX
        unit_px = min(WIDEST_PX, inner_px // max(1, columns))
        unit_px = unit_px if unit_px >= LETTERED_PX else STRIP_PX
        return cls(unit_px, inner_px // unit_px)

    @property
    def lettered(self) -> bool:
        """Say whether blocks are large enough for a letter."""
        return self.unit_px >= LETTERED_PX

    @property
    def block_px(self) -> tuple[float, float]:
        """Return the width and the height of a block."""
        return (max(self.unit_px * 0.68, 11.5), 22.0) if self.lettered else (8.0, 13.0)

    @property
    def lane_px(self) -> float:
        """Return the distance of two lanes."""
        return self.block_px[1] + (10 if self.lettered else 5)


class _Canvas:
    """Turn columns and lanes into pixels; each row is as high as the lanes it needs."""

    def __init__(self, layout: Layout, grid: Grid) -> None:
        self.grid = grid
        lanes: dict[int, int] = defaultdict(int)
        for block in layout.blocks:
            row = block.column // grid.columns
            lanes[row] = max(lanes[row], block.lane)
        for wire in layout.wires:
            for row in range(wire.source.column // grid.columns, wire.target.column // grid.columns + 1):
                lanes[row] = max(lanes[row], wire.via)
        self.tops_px: list[float] = []
        top_px = float(MARGIN_PX)
        for row in range(max(lanes, default=0) + 1):
            self.tops_px.append(top_px)
            top_px += (lanes[row] + 1) * grid.lane_px + NOTE_PX
        self.height_px = top_px + MARGIN_PX
        self.lanes = lanes

    def x(self, column: float, row: int) -> float:
        """Return the middle of a column."""
        return MARGIN_PX + (column - row * self.grid.columns + 0.5) * self.grid.unit_px

    def y(self, lane: int, row: int) -> float:
        """Return the middle of a lane."""
        return self.tops_px[row] + (lane + 0.5) * self.grid.lane_px

    def row(self, block: Block) -> int:
        """Return the row that a block is on."""
        return block.column // self.grid.columns


def _draw(graph: GraphSummary, layout: Layout, grid: Grid) -> str:
    canvas = _Canvas(layout, grid)
    name = clean(graph.name)
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH_PX} {canvas.height_px:g}",
            "class": "graph",
            "role": "img",
            "aria-label": f"{name}: {count(len(graph.nodes))} ops, {macs(graph.macs)} MACs",
        },
    )
    wires = SubElement(
        svg,
        "g",
        {"fill": "none", "stroke": variable("muted"), "stroke-width": "1.2", "stroke-opacity": "0.7"},
    )
    for wire in layout.wires:
        for points in _route(wire, canvas):
            SubElement(wires, "path", {"d": _path(points)})
    for block in layout.blocks:
        _draw_block(svg, block, canvas)
    _draw_shapes(svg, layout, canvas)
    return tostring(svg, encoding="unicode")


def _draw_block(svg: Element, block: Block, canvas: _Canvas) -> None:
    """Draw one op, with its name, kind, shape and work as the text shown on hover."""
    node, kind, row = block.node, kind_of(block.node), canvas.row(block)
    width_px, height_px = canvas.grid.block_px
    x, y = canvas.x(block.column, row), canvas.y(block.lane, row)
    group = SubElement(svg, "g")
    work = f"\n{macs(node.macs)} MACs" if node.macs else ""
    title = SubElement(group, "title")
    title.text = f"{clean(node.name)} ({clean(node.kind)})\noutput {shape(node.shape)}{work}"
    SubElement(
        group,
        "rect",
        {
            "x": f"{x - width_px / 2:.1f}",
            "y": f"{y - height_px / 2:.1f}",
            "width": f"{width_px:.1f}",
            "height": f"{height_px:.1f}",
            "rx": "4" if canvas.grid.lettered else "2",
            "fill": variable(kind.colour),
        },
    )
    if canvas.grid.lettered:
        letter = SubElement(
            group,
            "text",
            {
                "x": f"{x:.1f}",
                "y": f"{y + 4:.1f}",
                "text-anchor": "middle",
                "font-size": "10.5" if canvas.grid.unit_px < 20 else "11.5",
            }
            | {"font-weight": "600", "fill": "#ffffff", "pointer-events": "none"},
        )
        letter.text = kind.letter


def _draw_shapes(svg: Element, layout: Layout, canvas: _Canvas) -> None:
    """Write the feature map's sizes under the longest path wherever they change and there is room."""
    shown, free_px, last_row = "", 0.0, -1
    for block in sorted((b for b in layout.blocks if b.lane == 0), key=lambda b: b.column):
        row = canvas.row(block)
        sizes = shape(block.node.shape[1:]) if len(block.node.shape) > 1 else ""
        if row != last_row:
            free_px, last_row = 0.0, row
        left_px = canvas.x(block.column, row) - canvas.grid.block_px[0] / 2
        if not sizes or sizes == shown or left_px < free_px:
            continue
        text = shorten(sizes, 18)
        width_px = len(text) * 6.1
        if left_px + width_px > WIDTH_PX:
            continue
        y = canvas.y(canvas.lanes[row] + 1, row) - canvas.grid.lane_px / 2 + 11
        label = SubElement(
            svg,
            "text",
            {"x": f"{left_px:.1f}", "y": f"{y:.1f}", "font-size": "10.5", "fill": variable("muted")},
        )
        label.text = text
        shown, free_px = sizes, left_px + width_px + 12


Points = list[tuple[float, float]]


def _route(wire: Wire, canvas: _Canvas) -> list[Points]:
    """Return the corners of a wire in pixels, one list for each row of the strip that it runs over."""
    source, target = wire.source, wire.target
    first, last = canvas.row(source), canvas.row(target)
    pieces: list[Points] = []
    for row in range(first, last + 1):
        y = canvas.y(wire.via, row)
        start = source.column + 0.5 if row == first else row * canvas.grid.columns - 0.5
        end = target.column - 0.5 if row == last else (row + 1) * canvas.grid.columns - 0.5
        points = [(canvas.x(start, row), y), (canvas.x(end, row), y)]
        if row == first:
            y_source = canvas.y(source.lane, row)
            points = [(canvas.x(source.column, row), y_source), (points[0][0], y_source), *points]
        if row == last:
            y_target = canvas.y(target.lane, row)
            points += [(points[-1][0], y_target), (canvas.x(target.column, row), y_target)]
        pieces.append([p for i, p in enumerate(points) if i == 0 or p != points[i - 1]])
    return pieces


def _path(points: Points, radius_px: float = 4.0) -> str:
    """Return SVG path data through the points, with rounded corners."""
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        into, out = _towards(corner, before, radius_px), _towards(corner, after, radius_px)
        text += f"L{into[0]:.1f} {into[1]:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {out[0]:.1f} {out[1]:.1f}"
    return text + f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _towards(
    corner: tuple[float, float], target: tuple[float, float], radius_px: float
) -> tuple[float, float]:
    """Return the point at `radius_px` from the corner, or half-way where the other point is near."""
    dx, dy = target[0] - corner[0], target[1] - corner[1]
    length_px = abs(dx) + abs(dy)
    part = min(radius_px, length_px / 2) / length_px if length_px else 0.0
    return corner[0] + dx * part, corner[1] + dy * part
