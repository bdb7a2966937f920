"""Read OpenVINO's runtime model: what its CPU plugin compiled, each node with the layers that it stands for.

Kernels are described from the ONNX nodes that were fused into each, with the sizes and layouts that OpenVINO
gives. Elementwise chains that it compiles into one (`Subgraph`) are described as the one pass that they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from juggler.errors import ArtefactError, ConfigError, Unavailable
from juggler.predict.extract.kernels import ExtractedKernels, NetworkKernel, group_by_op
from juggler.predict.extract.node import BINARY, KINDS, UNARY, Shape, SizedNode, kernel_of
from juggler.predict.graphs.structure import with_placeholder_weights
from juggler.predict.kernels.spec import KernelSpec
from juggler.runtime.onnx_graphs.editing import attributes_of
from juggler.runtime.onnx_graphs.structure import GraphStructure
from juggler.runtime.session import BACKENDS

if TYPE_CHECKING:
    import onnx

IDLE = frozenset({"Input", "Output", "Const", "Result", "Parameter"})
RENAMES = frozenset({"Reshape", "Squeeze", "Unsqueeze", "ShapeOf", "Flatten"})
POOLS = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean")
PASSES = ("Softmax", "LogSoftmax", "LayerNormalization", "Concat", "Transpose", "BatchNormalization")
# Which of the ONNX nodes that were fused into one gives the kernel its name, the first that is there.
MAIN = ("Conv", "Gemm", "MatMul", *POOLS, *PASSES, "Add", "Sum", *BINARY, *sorted(UNARY))
SUMS = frozenset({"Add", "Sum"})
CHAINS = frozenset({"Subgraph", "Eltwise"})
BARE = "/WithoutBiases"  # what it calls a convolution whose bias it took apart
DENSE = frozenset({"Gemm", "MatMul"})


class OpenVinoReader:
    """Reads what OpenVINO's CPU plugin compiles for one size."""

    backend = "openvino"

    def read(self, structure: GraphStructure, *shapes: tuple[int, ...]) -> ExtractedKernels:
        """Compile the graph for inputs of these shapes, and describe each node of the runtime model.

        Raises:
            Unavailable: OpenVINO or onnx is not installed.
            ArtefactError: OpenVINO cannot open it.
            ConfigError: the network takes another input.
        """
        source = structure.sized(*shapes)
        # A node that makes an output of the network has the output's name, others their own.
        named = {name: node for node in source.graph.node for name in (node.name, node.output[0])}
        kernels, missed, free = [], [], 0
        for op in _compiled(with_placeholder_weights(source), structure.name).get_ordered_ops():
            facts = {key: str(value.astype(str)) for key, value in op.get_rt_info().items()}
            layer = facts.get("layerType", op.get_type_name())
            if layer in IDLE or _is_of_weights(op):
                continue
            if layer in RENAMES:
                free += 1
                continue
            name = op.get_friendly_name()
            try:
                spec = _spec(op, layer, facts, named)
            except (ValueError, ConfigError):
                spec = None
            if spec is None:
                sizes = [tuple(port.get_shape()) for port in (*op.inputs(), *op.outputs())]
                node = SizedNode(layer, name, tuple(sizes), (), (), False, {})
                missed.append((layer, name, node.bytes))
            else:
                kernels.append(NetworkKernel(name, layer, spec))
        release = BACKENDS.get(self.backend).status().version or "unknown"
        return ExtractedKernels(
            structure.name, self.backend, release, shapes[0], tuple(kernels), group_by_op(missed), free
        )


def _spec(
    op: Any, layer: str, facts: Mapping[str, str], named: Mapping[str, onnx.NodeProto]
) -> KernelSpec | None:
    """Describe one node of the runtime model."""
    if layer == "Reorder":
        return _reorder(op, facts)
    raw = facts.get("originalLayersNames", "").split(",")
    fused = [named[name] for name in dict.fromkeys(n.removesuffix(BARE) for n in raw) if name in named]
    if layer in CHAINS:
        if any(name.endswith(BARE) for name in raw):
            return None  # several dense layers compiled into one
        if any(node.op_type in (*DENSE, "Conv") for node in fused):
            return _bias(op, fused)
    mains = [node for kind in MAIN for node in fused if node.op_type == kind]
    if not mains:
        return None
    spec = kernel_of(_node(op, facts, mains[0]))
    if spec is None:
        return None
    followers = [node.op_type for node in fused if node is not mains[0]]
    functions = [kind for kind in followers if kind in UNARY]
    changes: dict[str, Any] = {}
    if spec.family in ("conv", "depthwise", "dense", "pool", "add") and functions:
        changes["activation"] = KINDS.get(functions[-1], functions[-1].lower())
    if spec.family in ("conv", "depthwise"):
        # A bias is an input beside the weights, a sum a map of the output's own size.
        sizes = [tuple(port.get_shape()) for port in op.inputs()[2:]]
        adds = bool(SUMS & set(followers)) and tuple(op.get_output_shape(0)) in sizes
        changes |= {"adds": adds, "bias": len(sizes) > adds}
    return replace(spec, **changes)


def _bias(op: Any, fused: Sequence[onnx.NodeProto]) -> KernelSpec | None:
    """Describe what is left of a convolution whose bias and activation run after it."""
    shape = tuple(op.get_output_shape(0))
    functions = [KINDS.get(n.op_type, n.op_type.lower()) for n in fused if n.op_type in UNARY]
    if len(shape) != 4:
        return None
    batch, channels, height, width = shape
    activation = functions[-1] if functions else "none"
    return KernelSpec(
        "add", batch, channels, channels, height, width, kind="broadcast", activation=activation
    )


def _node(op: Any, facts: Mapping[str, str], main: onnx.NodeProto) -> SizedNode:
    attributes = attributes_of(main)
    inputs: list[Shape | None] = [tuple(port.get_shape()) for port in op.inputs()]
    constant = [_is_constant(port) for port in op.inputs()]
    if main.op_type == "Conv" and len(inputs[1] or ()) == 5:  # [groups, out, in, taps]
        groups, out, *rest = inputs[1] or ()
        inputs[1] = (groups * out, *rest)
    if main.op_type in DENSE:
        attributes = {"transB": 1}
    if main.op_type in SUMS or main.op_type == "Mul":
        inputs = inputs[:2]
    outputs = (tuple(op.get_output_shape(0)),)
    blocked = _input_layout(op) not in ("", "a", "ab", "abc", "abcd")
    return SizedNode(
        main.op_type, op.get_friendly_name(), tuple(inputs), outputs, tuple(constant), blocked, attributes
    )


def _reorder(op: Any, facts: Mapping[str, str]) -> KernelSpec:
    kind = "from_blocked" if facts.get("outputLayouts") in ("a", "ab", "abc", "abcd") else "to_blocked"
    shape = tuple(op.get_output_shape(0))
    inputs = (tuple(op.get_input_shape(0)),)
    op_type = {"to_blocked": "ReorderInput", "from_blocked": "ReorderOutput"}[kind]
    kernel = kernel_of(SizedNode(op_type, op.get_friendly_name(), inputs, (shape,), (False,), False, {}))
    if kernel is None:
        raise ValueError("a reorder without a size")
    return kernel


def _input_layout(op: Any) -> str:
    maker = op.input(0).get_source_output().get_node()
    layouts = maker.get_rt_info()
    return str(layouts["outputLayouts"].astype(str)).split(",")[0] if "outputLayouts" in layouts else ""


def _is_constant(port: Any) -> bool:
    maker = port.get_source_output().get_node()
    return _layer(maker) == "Const" or _is_of_weights(maker)


def _is_of_weights(op: Any) -> bool:
    """Say whether a node only handles constants: OpenVINO runs it when it compiles."""
    makers = [port.get_source_output().get_node() for port in op.inputs()]
    return bool(makers) and all(_layer(maker) == "Const" or _is_of_weights(maker) for maker in makers)


def _layer(op: Any) -> str:
    facts = op.get_rt_info()
    return str(facts["layerType"].astype(str)) if "layerType" in facts else str(op.get_type_name())


def _compiled(graph: bytes, name: str) -> Any:
    """Return the runtime model of a graph."""
    status = BACKENDS.get("openvino").status()
    if not status.available:
        raise Unavailable("read a network with OpenVINO", f"{status.missing}", f"{status.remedy}")
    import openvino as ov  # noqa: PLC0415  # heavy

    core = ov.Core()
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": 1,
    }
    try:
        return core.compile_model(core.read_model(graph), "CPU", options).get_runtime_model()
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        problem = lines[-1][:300] if lines else type(error).__name__
        raise ArtefactError(
            f"read {name} with OpenVINO", problem, "Export the network again, or update openvino"
        ) from error


READER = OpenVinoReader()
