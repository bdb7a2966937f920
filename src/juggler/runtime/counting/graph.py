"""Count an ONNX file: what each node costs by the shapes around it, and what cannot be told.

Nothing is computed and no weight is read. What is computed of stored tensors and of sizes alone is left out:
every runtime works it out beforehand. Where sizes depend on values, or an operator of somebody's own hides
them, the file is run once on random values, and only its shapes are kept.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from juggler.count.counted import Counted, OpCount, Uncounted
from juggler.count.liveness import Step, live_bytes
from juggler.count.work import Work
from juggler.errors import ConfigError
from juggler.reading.request import MALFORMED, Request
from juggler.runtime.counting.elementwise import HANDLES as ELEMENTWISE
from juggler.runtime.counting.node import Node, Shape
from juggler.runtime.counting.products import HANDLES as PRODUCTS
from juggler.runtime.counting.running import Trial, inlined
from juggler.runtime.counting.stored import Stored, bytes_of, op_of, roles, shape_of, stored_in
from juggler.runtime.onnx_graphs.editing import attributes_of
from juggler.runtime.onnx_graphs.structure import GraphStructure, read_structure

if TYPE_CHECKING:
    import onnx

HANDLES = {**ELEMENTWISE, **PRODUCTS}
SIZES = ("Shape", "Size", "Constant")
RANDOM = ("Random", "Bernoulli", "Multinomial")
TEXT_SCOPES = "pkg.torch.onnx.name_scopes"
UNCOUNTED = "uncounted"


def count_graph(
    graph: Path | bytes, shapes: Sequence[Shape] = (), *, batch: int = 1, name: str = ""
) -> Counted:
    """Count an ONNX model for inputs of these shapes.

    Args:
        graph: its path or bytes.
        shapes: one an input, without the batch or with it; the file's own where absent.
        batch: inputs at once.
        name: what to call it in errors; the file's own name where absent.

    Raises:
        ArtefactError: it is no ONNX model.
        ConfigError: it takes other shapes, or leaves a size free that is not given.
    """
    label = name or (graph.stem if isinstance(graph, Path) else "a graph")
    request = Request(f"count {label}", "Export the network again")
    with request.refusing("graph that can be followed"):
        model = inlined(read_structure(graph))
        structure = GraphStructure(model, label)
        sizes = structure.shapes_for(shapes, batch)
        trial = Trial(graph, request, structure.inputs, sizes)
        straight, branches = trial.with_branches(model)
        walk = _Walk(GraphStructure(straight, label).sized(*sizes), stored_in(model))
        hidden = walk.hidden()
        note = walk.take_shapes(trial.shapes(hidden)) if hidden else ""
        if branches:
            note = (
                f"Of {branches} branches those are counted that a run on random values takes. {note}".strip()
            )
        return walk.counted(sizes, note)


@dataclass
class _Walk:
    """A graph with its sizes, gone through node by node."""

    model: onnx.ModelProto
    stored: Mapping[str, Stored]
    shapes: dict[str, Shape] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    origins: dict[str, frozenset[str]] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        graph = self.model.graph
        for value in (*graph.input, *graph.value_info, *graph.output):
            size = shape_of(value.type)
            self.kinds[value.name] = value.type.tensor_type.elem_type
            if size is not None:
                self.shapes[value.name] = size
        for tensor in graph.initializer:
            self._take_tensor(tensor.name, tensor)
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.HasField("t"):
                    self._take_tensor(node.output[0], attribute.t)
        self.nodes = [node for node in graph.node if not self._is_static(node)]

    def _take_tensor(self, name: str, tensor: onnx.TensorProto) -> None:
        from onnx import numpy_helper  # noqa: PLC0415  # heavy

        self.shapes[name], self.kinds[name] = tuple(tensor.dims), tensor.data_type
        self.origins[name] = frozenset((name,))
        if prod(tensor.dims) == 1 and tensor.data_type in (1, 10, 11):
            self.numbers[name] = float(numpy_helper.to_array(tensor).reshape(()))

    def _is_static(self, node: onnx.NodeProto) -> bool:
        """Say whether a node computes from what is stored and from sizes alone, and remember from what."""
        names = [name for name in node.input if name]
        is_size = node.op_type in SIZES and not node.domain
        inner = [graph for a in node.attribute for graph in (*([a.g] if a.HasField("g") else ()), *a.graphs)]
        if node.op_type.startswith(RANDOM) or inner or not (is_size or all(n in self.origins for n in names)):
            return False
        origins = frozenset[str]().union(*(self.origins.get(n, frozenset()) for n in names if not is_size))
        for name in node.output:
            self.origins.setdefault(name, origins)
        return True

    def hidden(self) -> list[str]:
        """Return the names of values whose sizes are not known, of nodes that are counted."""
        names = [name for node in self.nodes for name in (*node.input, *node.output) if name]
        return list(dict.fromkeys(name for name in names if name not in self.shapes))

    def take_shapes(self, shapes: Mapping[str, Shape]) -> str:
        """Take up the shapes of a run, and return what to say of it."""
        self.shapes |= shapes
        ops = Counter(op_of(n) for n in self.nodes if any(name in shapes for name in n.output))
        if not ops:
            return ""
        text = ", ".join(f"{times} {op}" for op, times in ops.most_common(5))
        return f"Sizes that the file leaves open were taken from a run on random values: {text}"

    def counted(self, sizes: Sequence[Shape], note: str) -> Counted:
        """Return the counts of all nodes."""
        rows = [row for node in self.nodes for row in self._rows(node)]
        if not rows:
            raise ConfigError(
                "count the network", "it runs no operator", "Give a network that computes something"
            )
        buffers = self._buffers()
        steps = [
            Step(*(tuple(buffers[n] for n in names if n in buffers) for names in row.ends)) for row in rows
        ]
        room = {number: self._bytes(name) for name, number in reversed(buffers.items())}
        graph = self.model.graph
        ends = [
            [buffers[v.name] for v in values if v.name in buffers] for values in (graph.input, graph.output)
        ]
        alive = live_bytes(steps, room, inputs=ends[0], outputs=ends[1])
        names = _unique([row.name for row in rows])
        unread = set(self.stored)
        ops = tuple(
            self._op(row, name, live, unread) for row, name, live in zip(rows, names, alive, strict=True)
        )
        missed = Counter(op.operator for op in ops if op.kind == UNCOUNTED)
        first = {op.operator: op.name for op in reversed(ops)}
        return Counted(
            ops=ops,
            uncounted=tuple(Uncounted(op, times, first[op]) for op, times in missed.most_common()),
            how="graph",
            note=note,
            input_shapes=tuple(sizes),
            parameters=roles(self.stored, "parameter"),
            statistics=roles(self.stored, "statistic"),
            param_bytes=sum(t.bytes for t in self.stored.values() if t.role != "setting"),
        )

    def _rows(self, node: onnx.NodeProto) -> Iterator[_Row]:
        """Yield a node's parts."""
        works = self._works(node) or (Work(UNCOUNTED),)
        label = node.name or next((name for name in node.output if name), op_of(node))
        for work in works:
            reads = (
                [n for n in node.input if n]
                if work.reads is None
                else [node.input[int(p)] for p in work.reads]
            )
            writes = [name for name in node.output if name] if work.writes else []
            yield _Row(f"{label} {work.part}".rstrip(), _path(node), node, work, (reads, writes))

    def _works(self, node: onnx.NodeProto) -> tuple[Work, ...]:
        """Return the work of a node; none where it is not known."""
        handle = HANDLES.get(op_of(node))
        names = [name for name in (*node.input, *node.output) if name]
        if handle is None or not all(name in self.shapes for name in names):
            return ()
        try:
            sized = Node(
                op_of(node),
                attributes_of(node),
                tuple(self.shapes[name] if name else None for name in node.input),
                tuple(self.shapes[name] for name in node.output if name),
                frozenset(i for i, name in enumerate(node.input) if self.origins.get(name)),
                {i: self.numbers[name] for i, name in enumerate(node.input) if name in self.numbers},
            )
            works = handle(sized)
        except (ConfigError, *MALFORMED):  # a node that breaks its own rules
            return ()
        works = (works,) if isinstance(works, Work) else works
        return works if all(work.kind for work in works) else ()

    def _buffers(self) -> dict[str, int]:
        """Return a number for each value that no tensor of the file stands for; views share their input's."""
        numbers = itertools.count()
        inputs = [value.name for value in self.model.graph.input if value.name not in self.origins]
        buffers = {name: next(numbers) for name in inputs}
        for node in self.nodes:
            works = self._works(node)
            is_view = (
                bool(works) and works[0].kind == "view" and bool(node.input) and node.input[0] in buffers
            )
            for name in node.output:
                buffers[name] = buffers[node.input[0]] if is_view else next(numbers)
        return buffers

    def _bytes(self, name: str) -> int:
        """Return the bytes of a value; of one whose type is not known, of as many floats."""
        from onnx import TensorProto  # noqa: PLC0415  # heavy

        kind = self.kinds.get(name, TensorProto.UNDEFINED) or TensorProto.FLOAT
        return bytes_of(prod(self.shapes.get(name, (0,))), kind)

    def _op(self, row: _Row, name: str, live: int, unread: set[str]) -> OpCount:
        work, (reads, writes) = row.work, row.ends
        is_view = work.kind == "view"
        output_bytes = 0 if is_view else sum(map(self._bytes, writes))
        read: Counter[str] = Counter()
        weight_bytes = input_bytes = largest = 0
        shared = False
        for value in dict.fromkeys(() if is_view else reads):
            size = self._bytes(value)
            if value not in self.origins:
                input_bytes += min(size, output_bytes) if work.kind == "move" else size
                continue
            tensors = {origin: self.stored[origin] for origin in self.origins[value]}
            held = sum(tensor.bytes for tensor in tensors.values())
            weight_bytes += min(held, size, *((output_bytes,) if work.kind == "move" else ()))
            new = [tensor for origin, tensor in tensors.items() if origin in unread]
            for tensor in new:
                read[tensor.role] += tensor.elements
            if held > largest and any(tensor.role == "parameter" for tensor in tensors.values()):
                largest, shared = held, not new
            unread -= set(tensors)
        return OpCount(
            name=name,
            module_path=row.path,
            operator=f"onnx.{op_of(row.node)}",
            kind=work.kind,
            macs=work.macs,
            additions=work.additions,
            multiplications=work.multiplications,
            comparisons=work.comparisons,
            functions=work.functions,
            parameters=read["parameter"],
            statistics=read["statistic"],
            weight_bytes=weight_bytes,
            input_bytes=input_bytes,
            output_bytes=output_bytes,
            live_bytes=live,
            out_shape=self.shapes.get(next(iter(row.node.output), ""), ()),
            geometry=work.geometry,
            shared=shared,
        )


@dataclass(frozen=True)
class _Row:
    """One part of a node: its name, its module, and the values that it reads and writes."""

    name: str
    path: str
    node: onnx.NodeProto
    work: Work
    ends: tuple[list[str], list[str]]


def _path(node: onnx.NodeProto) -> str:
    """Return the module that a node belongs to, where its exporter says so.

    Torch's tracing exporter names a node `/layer1/layer1.0/conv/Conv`, its other one writes scopes beside.
    """
    scopes = next((entry.value for entry in node.metadata_props if entry.key == TEXT_SCOPES), "")
    if scopes:
        names = re.findall(r"'([^']*)'", scopes)
        return names[-2] if len(names) > 1 else ""
    parts: list[str] = []
    for part in node.name.strip("/").split("/")[:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def _unique(names: Sequence[str]) -> list[str]:
    total, used = Counter(names), Counter[str]()
    unique = []
    for name in names:
        used[name] += 1
        unique.append(f"{name}#{used[name]}" if total[name] > 1 else name)
    return unique
