"""What an ONNX file stores: which of its tensors are parameters, which statistics, which mere settings.

A file does not say. A parameter is what an operator takes as a weight, a table or a bias, and any other
tensor of floating numbers of more than one element. Scales, zero points, limits, sizes and axes are
settings, and so is a number that a formula is written with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from juggler.runtime.counting.node import Shape

if TYPE_CHECKING:
    import onnx

BITS = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
STATISTICS = {"BatchNormalization": (3, 4)}
# Where integers are numbers that were learnt, and which inputs are settings whatever their type.
WEIGHTS = {
    "QLinearConv": (3, 8),
    "ConvInteger": (1,),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    "DequantizeLinear": (0,),
    "Gather": (0,),
    "com.microsoft.DequantizeLinear": (0,),
    "com.microsoft.QGemm": (3, 6),
    "com.microsoft.DynamicQuantizeMatMul": (1,),
    "com.microsoft.MatMulIntegerToFloat": (0, 1),
    "com.microsoft.DynamicQuantizeLSTM": (1, 2),
    "com.microsoft.QAttention": (1,),
    "com.microsoft.MatMulNBits": (1,),
    "com.microsoft.QLinearAdd": (0, 3),
    "com.microsoft.QLinearMul": (0, 3),
}
SETTINGS = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), range(1, 3)),
    **dict.fromkeys(("com.microsoft.QuantizeLinear", "com.microsoft.DequantizeLinear"), range(1, 3)),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "com.microsoft.QGemm": (1, 2, 4, 5, 7, 8),
    "com.microsoft.DynamicQuantizeMatMul": (2, 3),
    "com.microsoft.MatMulIntegerToFloat": (2, 3, 4, 5),
    "com.microsoft.DynamicQuantizeLSTM": range(8, 12),
    "com.microsoft.QAttention": range(3, 8),
    "com.microsoft.MatMulNBits": range(2, 5),
    "com.microsoft.QLinearAdd": (1, 2, 4, 5, 6, 7),
    "com.microsoft.QLinearMul": (1, 2, 4, 5, 6, 7),
    "com.microsoft.QLinearConcat": range(99),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), range(4, 7)),  # lengths, and the states to begin with
    **dict.fromkeys(("Resize", "Upsample", "OneHot", "Pad", "Clip", "Range", "ConstantOfShape"), range(1, 4)),
}
PASSED = ("Slice", "Reshape", "Transpose", "Unsqueeze", "Squeeze", "Cast", "Identity", "Flatten", "Expand")


@dataclass(frozen=True)
class Stored:
    """A tensor of the file.

    Attributes:
        elements: how many numbers it stands for.
        bytes: that it takes.
        role: `parameter`, `statistic` or `setting`.
    """

    elements: int
    bytes: int
    role: str


def op_of(node: onnx.NodeProto) -> str:
    """Return an operator's name, with its domain where that is not ONNX's own."""
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"


def bytes_of(elements: int, kind: int) -> int:
    """Return the bytes of so many elements of one of ONNX's types; texts are left out."""
    from onnx import TensorProto, helper  # noqa: PLC0415  # heavy

    name = TensorProto.DataType.Name(kind)
    if name in BITS:
        return -(-elements * BITS[name] // 8)
    if kind in (TensorProto.UNDEFINED, TensorProto.STRING):
        return 0
    return elements * int(helper.tensor_dtype_to_np_dtype(kind).itemsize)


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and all that lie inside of it: branches and bodies of loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from all_graphs(inner)


def stored_in(model: onnx.ModelProto) -> dict[str, Stored]:
    """Return the tensors that a file stores, by name; those of branches and loops too."""
    tensors: dict[str, Any] = {}
    uses: dict[str, set[str]] = {}
    packed: dict[str, int] = {}
    for graph in reversed(list(all_graphs(model.graph))):
        tensors |= {tensor.name: tensor for tensor in graph.initializer}
        for node in reversed(graph.node):  # what only passes through has the roles of what comes out
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                tensors[node.output[0]] = node.attribute[0].t
            for place, name in enumerate(node.input):
                is_passed = place == 0 and op_of(node) in PASSED
                after = uses.get(node.output[0], {"other"}) if is_passed else {_role(op_of(node), place)}
                uses.setdefault(name, set()).update(after)
            if op_of(node) == "com.microsoft.MatMulNBits":
                packed[node.input[1]] = prod(a.i for a in node.attribute if a.name in ("K", "N"))
    return {
        name: _stored(tensor, uses.get(name, {"other"}), packed.get(name)) for name, tensor in tensors.items()
    }


def _role(op: str, place: int) -> str:
    if place in STATISTICS.get(op, ()):
        return "statistic"
    if place in WEIGHTS.get(op, ()):
        return "parameter"
    return "setting" if place in SETTINGS.get(op, ()) else "other"


def _stored(tensor: onnx.TensorProto, uses: set[str], packed: int | None) -> Stored:
    from onnx import TensorProto, helper  # noqa: PLC0415  # heavy

    elements = prod(tensor.dims)
    names = (TensorProto.STRING, TensorProto.UNDEFINED, TensorProto.BOOL, TensorProto.INT64)
    is_number = tensor.data_type not in names
    is_floating = is_number and helper.tensor_dtype_to_np_dtype(tensor.data_type).kind not in "iu"
    if "statistic" in uses:
        role = "statistic"
    elif ("parameter" in uses and is_number) or ("other" in uses and is_floating and elements > 1):
        role = "parameter"
    else:
        role = "setting"
    return Stored(packed or elements, bytes_of(elements, tensor.data_type), role)


def shape_of(kind: onnx.TypeProto) -> Shape | None:
    """Return the sizes of a value's type; None where one is not known, or it is no tensor."""
    tensor = kind.tensor_type
    if not kind.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    if not all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def roles(stored: Mapping[str, Stored], role: str) -> int:
    """Return the elements of all tensors of a role."""
    return sum(tensor.elements for tensor in stored.values() if tensor.role == role)
