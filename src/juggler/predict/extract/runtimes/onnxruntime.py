"""Read ONNX Runtime's optimised model: blocked convolutions, fused activations and sums, reorders.

The model is optimised as a session would on this machine, and written to a file that is read back. Sizes of
what the optimiser left come from ONNX's own inference on the source; the runtime's own operators
(`com.microsoft.nchwc`) give their nodes the names of what they replace, and else have few rules.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from juggler.errors import ArtefactError, ConfigError, Unavailable
from juggler.predict.extract.kernels import ExtractedKernels, NetworkKernel, group_by_op
from juggler.predict.extract.node import BINARY, FREE, INT8_PASSES, UNARY, Shape, SizedNode, kernel_of
from juggler.predict.graphs.structure import is_weight, with_placeholder_weights
from juggler.runtime.onnx_graphs.editing import attributes_of
from juggler.runtime.onnx_graphs.structure import GraphStructure, read_structure
from juggler.runtime.session import BACKENDS

if TYPE_CHECKING:
    import onnx

BLOCKED = "com.microsoft.nchwc"
SUFFIX = "_nchwc"
FATAL = 4
INTEGERS = frozenset(
    {"Gather", "Cast", "Slice", "Concat", "Add", "Mul", "Sub", "Div", "Range", "Equal", "Where"}
)


QUANTISED_PRODUCTS = ("QGemm", "QLinearMatMul", "MatMulInteger", "DynamicQuantizeMatMul")
PRODUCTS = (*QUANTISED_PRODUCTS, "QLinearConv", "ConvInteger", "Conv")
ELEMENTWISE = (
    INT8_PASSES.keys() | UNARY | BINARY.keys() | {"Add", "Sum", "BatchNormalization", "ReorderInput"}
)


class OnnxRuntimeReader:
    """Reads what ONNX Runtime's CPU provider runs."""

    backend = "onnxruntime"

    def read(self, structure: GraphStructure, *shapes: tuple[int, ...]) -> ExtractedKernels:
        """Optimise the graph and describe each of its nodes.

        Raises:
            Unavailable: ONNX Runtime or onnx is not installed.
            ArtefactError: ONNX Runtime cannot open it.
            ConfigError: the network takes another input.
        """
        source = structure.sized(*shapes)
        graph = _optimise(
            with_placeholder_weights(structure.model, dense_as_inputs=True), structure.name
        ).graph
        sizes = _Sizes(source.graph, graph)
        kernels, missed, free = [], [], 0
        for node in sizes.nodes():
            if _only_renames(node):
                free += 1
                continue
            try:
                spec = kernel_of(node)
            except (ValueError, ConfigError):
                spec = None
            if spec is None:
                missed.append((node.op, node.name, node.bytes))
            else:
                kernels.append(NetworkKernel(node.name, node.op, spec))
        release = BACKENDS.get(self.backend).status().version or "unknown"
        return ExtractedKernels(
            structure.name, self.backend, release, shapes[0], tuple(kernels), group_by_op(missed), free
        )


@dataclass
class _Sizes:
    """Shapes of everything in an optimised graph, worked out node by node in its order."""

    source: onnx.GraphProto
    graph: onnx.GraphProto
    known: dict[str, Shape] = field(default_factory=dict)
    integers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for value in (*self.source.input, *self.source.value_info, *self.source.output, *self.graph.input):
            kind = value.type.tensor_type
            dims = tuple(dim.dim_value for dim in kind.shape.dim)
            if kind.HasField("shape") and all(dims):
                self.known.setdefault(value.name, dims)
            if kind.elem_type in (6, 7):  # int32 and int64: sizes, not maps
                self.integers.add(value.name)
        for tensor in (*self.source.initializer, *self.graph.initializer):
            self.known.setdefault(tensor.name, tuple(tensor.dims))
        self._constants = {t.name for t in self.graph.initializer}
        self._constants |= {v.name for v in self.graph.input if is_weight(v.name)}
        # Nodes that change their outputs' names keep their own.
        self._by_node = {n.name: self.known.get(n.output[0]) for n in self.source.node if n.name}

    def nodes(self) -> Iterator[SizedNode]:
        """Yield the nodes in their order."""
        blocked: set[str] = set()
        for node in self.graph.node:
            attributes = attributes_of(node)
            is_blocked_op = node.domain == BLOCKED
            is_blocked = bool(node.input) and node.input[0] in blocked
            inputs = tuple(self.known.get(name) for name in node.input)
            shapes = self._of_outputs(node, inputs, attributes)
            self.known.update({n: s for n, s in zip(node.output, shapes, strict=True) if n and s is not None})
            if (is_blocked_op and node.op_type != "ReorderOutput") or (is_blocked and not is_blocked_op):
                blocked.update(node.output)
            yield SizedNode(
                node.op_type,
                (node.name or node.output[0]).removesuffix(SUFFIX),
                inputs,
                tuple(shapes),
                tuple(name in self._constants for name in node.input),
                is_blocked,
                attributes | {"integers": bool(node.output) and node.output[0] in self.integers},
            )

    def _of_outputs(
        self, node: onnx.NodeProto, inputs: tuple[Shape | None, ...], attributes: Mapping[str, Any]
    ) -> list[Shape | None]:
        named = [self.known.get(name) for name in node.output]
        if named and named[0] is None:
            source_name = node.name.removesuffix(SUFFIX)
            named[0] = self.known.get(source_name) or self._by_node.get(node.name)
        if named and named[0] is None:
            named[0] = _shape_by_rule(node.op_type, inputs, attributes)
        return named


def _shape_by_rule(op: str, inputs: tuple[Shape | None, ...], attributes: Mapping[str, Any]) -> Shape | None:
    """Return the output's shape by the operator's own rule; None where sizes of inputs are missing."""
    shapes = tuple(shape for shape in inputs if shape is not None)
    if not shapes or inputs[0] is None:
        return None
    x = shapes[0]
    if op == "Transpose":
        return tuple(x[axis] for axis in attributes.get("perm", range(len(x))[::-1]))
    if attributes.get("channels_last"):
        first = _shape_by_rule(op, ((x[0], x[-1], *x[1:-1]), *inputs[1:]), {**attributes, "channels_last": 0})
        return first and (first[0], *first[2:], first[1])
    if op in PRODUCTS:
        return _product_shape(op, x, inputs, attributes)
    if op in ("MaxPool", "AveragePool"):
        return (*x[:2], *_window_shape(x[2:], tuple(attributes["kernel_shape"]), attributes))
    return _combined_shape(op, shapes, attributes)


def _product_shape(
    op: str, x: Shape, inputs: tuple[Shape | None, ...], attributes: Mapping[str, Any]
) -> Shape | None:
    """Return the size of a convolution or of a quantised matrix product."""
    weight = inputs[3 if op in ("QLinearConv", "QGemm", "QLinearMatMul") else 1]
    if weight is None:
        return None
    if op in QUANTISED_PRODUCTS:
        return (*x[:-1], weight[0] if attributes.get("transB") else weight[-1])
    return (x[0], weight[0], *_window_shape(x[2:], weight[2:], attributes))


def _combined_shape(op: str, shapes: tuple[Shape, ...], attributes: Mapping[str, Any]) -> Shape | None:
    x = shapes[0]
    if op.removeprefix("QLinear").startswith("Global"):
        return (*x[:2], *(1 for _ in x[2:]))
    if op == "ReorderOutput":
        return (x[0], int(attributes.get("channels", x[1])), *x[2:])
    if op == "Concat":
        axis = int(attributes["axis"]) % len(x)
        return tuple(sum(s[axis] for s in shapes) if at == axis else size for at, size in enumerate(x))
    if op == "Upsample":
        return tuple(int(size * scale) for size, scale in zip(x, attributes["scales"], strict=True))
    if op not in ELEMENTWISE:
        return None
    known = [shape for shape in shapes if len(shape) == len(x)]
    return tuple(max(sides) for sides in zip(*known, strict=True))  # elementwise, one may be broadcast


def _window_shape(sides: Shape, kernel: Shape, attributes: Mapping[str, Any]) -> Shape:
    """Return the sizes that a window leaves."""
    strides = attributes.get("strides", (1, 1))
    dilations = attributes.get("dilations", (1, 1))
    pads = attributes.get("pads", (0, 0, 0, 0))
    same = str(attributes.get("auto_pad", "")).startswith("SAME")
    rounded = math.ceil if attributes.get("ceil_mode") else math.floor
    return tuple(
        math.ceil(side / strides[at])
        if same
        else rounded(
            (side + pads[at] + pads[at + 2] - dilations[at] * (kernel[at] - 1) - 1) / strides[at] + 1
        )
        for at, side in enumerate(sides)
    )


def _only_renames(node: SizedNode) -> bool:
    """Say whether a node moves no map: it gives a new name, or computes with sizes."""
    sizes = bool(node.attributes.get("integers")) and node.op in INTEGERS
    return node.op in FREE or sizes


def _optimise(graph: bytes, name: str) -> onnx.ModelProto:
    """Return the structure of what ONNX Runtime makes of a graph."""
    status = BACKENDS.get("onnxruntime").status()
    if not status.available:
        raise Unavailable("read a network with ONNX Runtime", f"{status.missing}", f"{status.remedy}")
    import onnxruntime as ort  # noqa: PLC0415  # heavy

    from juggler.runtime.backends.onnxruntime import failures  # noqa: PLC0415

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.disable_prepacking", "1")
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        path = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except failures() as error:
            problem = str(error).strip().splitlines()[0][:300]
            raise ArtefactError(
                f"read {name} with ONNX Runtime", problem, "Export the network again, or update onnxruntime"
            ) from error
        return read_structure(path)


def _memory_folder() -> str | None:
    """Return a folder in memory where the system has one: the file is gone again at once."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


READER = OnnxRuntimeReader()
