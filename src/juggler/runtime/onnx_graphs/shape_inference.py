"""Work out every size in a graph for one input, also where sizes are computed by nodes of the graph itself.

ONNX's own inference does it at once for most networks. A channel shuffle exported with a free batch reshapes
to sizes that it computes from sizes, which stops that inference; then this goes through the graph node by
node, and carries along the numbers that sizes are computed from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from juggler.runtime.onnx_graphs.editing import attributes_of, replace_all

if TYPE_CHECKING:
    import onnx

Numbers: TypeAlias = npt.NDArray[Any]
SMALL_BYTES = 1024  # of constants that sizes may be computed from
LONGEST = 64  # of the lists of sizes that are carried along


def with_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a size for every value that has one.

    Raises:
        onnx.shape_inference.InferenceError: the sizes contradict each other.
    """
    import onnx  # noqa: PLC0415  # heavy

    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(model, data_prop=True)
    known = {v.name: v.type for v in (*inferred.graph.value_info, *inferred.graph.output)}
    values = [name for node in inferred.graph.node for name in node.output if name]
    if all(name in known and _is_known(known[name]) for name in values):
        return inferred
    types = _infer_node_by_node(model)
    infos = (onnx.ValueInfoProto(name=name, type=kind) for name, kind in types.items())
    replace_all(inferred.graph.value_info, infos)
    return inferred


def infer_without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with the types and sizes that ONNX infers, its large constants left empty.

    What the file itself says of values within is not read, for it may be wrong, and neither is what it says
    of its outputs where that contradicts the rest. Weights are not copied, so they may be of any size.

    Raises:
        onnx.shape_inference.InferenceError: the sizes contradict each other.
    """
    import onnx  # noqa: PLC0415  # heavy

    slim = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    slim.graph.name = model.graph.name or "graph"
    slim.graph.node.extend(model.graph.node)
    slim.graph.input.extend(model.graph.input)
    slim.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if tensor.ByteSize() <= SMALL_BYTES:
            slim.graph.initializer.append(tensor)
        else:
            slim.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    for value in slim.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(slim, data_prop=True)


def infer_node(
    node: onnx.NodeProto,
    types: Mapping[str, onnx.TypeProto],
    numbers: Mapping[str, Numbers],
    versions: Mapping[str, int],
) -> dict[str, onnx.TypeProto]:
    """Return the types of a node's outputs, as far as its inputs and small constants tell them."""
    import onnx  # noqa: PLC0415  # heavy

    if any(name and name not in types for name in node.input):
        return {}  # what an operator of somebody's own has made
    try:
        schema = onnx.defs.get_schema(node.op_type, versions.get(node.domain, 1), node.domain)
        inferred = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            {name: types[name] for name in node.input if name in types},
            {n: onnx.numpy_helper.from_array(numbers[n], n) for n in node.input if n in numbers},
            opset_imports=[onnx.helper.make_opsetid(domain, v) for domain, v in versions.items()],
        )
    except (
        onnx.defs.SchemaError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
        KeyError,
        ValueError,
    ):
        return {}  # an operator of somebody's own: what follows from it is not known
    return dict(inferred)


def _infer_node_by_node(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """Return the type of every value, found node by node."""
    import onnx  # noqa: PLC0415  # heavy

    types = {value.name: value.type for value in model.graph.input}
    numbers: dict[str, Numbers] = {}
    for tensor in model.graph.initializer:
        types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, list(tensor.dims))
        if len(tensor.dims) < 2 and (tensor.raw_data or tensor.int64_data or tensor.int32_data):
            numbers[tensor.name] = onnx.numpy_helper.to_array(tensor)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    for node in model.graph.node:
        computed = _compute(node, types, numbers)
        if computed is not None and computed.size <= LONGEST:
            numbers[node.output[0]] = computed
            kind = onnx.helper.np_dtype_to_tensor_dtype(computed.dtype)
            types[node.output[0]] = onnx.helper.make_tensor_type_proto(kind, list(computed.shape))
        else:
            types |= infer_node(node, types, numbers, versions)
    return types


def _compute(
    node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto], numbers: Mapping[str, Numbers]
) -> Numbers | None:
    """Return what a node computes from sizes, where it does."""
    import onnx  # noqa: PLC0415  # heavy

    attributes = attributes_of(node)
    if node.op_type == "Shape":
        kind = types.get(node.input[0])
        if kind is None or not _is_known(kind):
            return None
        sizes = np.array([dim.dim_value for dim in kind.tensor_type.shape.dim], np.int64)
        return sizes[attributes.get("start", 0) : attributes.get("end", sizes.size)]
    if node.op_type == "Constant" and "value" in attributes:
        value = attributes["value"]
        return onnx.numpy_helper.to_array(value) if len(value.dims) < 2 else None
    maker = ARITHMETIC.get(node.op_type)
    operands = [numbers.get(name) for name in node.input]
    known = [value for value in operands if value is not None]
    return maker(known, attributes) if maker and known and len(known) == len(operands) else None


def _is_known(kind: onnx.TypeProto) -> bool:
    if not kind.HasField("tensor_type"):
        return True  # a sequence has no size
    shape = kind.tensor_type.shape
    return kind.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in shape.dim)


def _divide(values: list[Numbers], _: Mapping[str, Any]) -> Numbers:
    a, b = values
    return a // b if a.dtype.kind in "iu" else a / b


def _cast(values: list[Numbers], attributes: Mapping[str, Any]) -> Numbers:
    from onnx import helper  # noqa: PLC0415  # heavy

    return values[0].astype(helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _slice(values: list[Numbers], _: Mapping[str, Any]) -> Numbers:
    x, start, end, *rest = values
    step = int(rest[1][0]) if len(rest) > 1 else 1
    return x[int(start[0]) : int(end[0]) : step]


def _filled(values: list[Numbers], attributes: Mapping[str, Any]) -> Numbers | None:
    from onnx import numpy_helper  # noqa: PLC0415  # heavy

    value = numpy_helper.to_array(attributes["value"]) if "value" in attributes else np.zeros(1, np.float32)
    return (
        np.full(values[0].astype(int), value.reshape(()))
        if np.prod(values[0], dtype=float) <= LONGEST
        else None
    )


def _range(values: list[Numbers], _: Mapping[str, Any]) -> Numbers | None:
    start, end, step = (value.item() for value in values)
    fits = step and (end - start) / step <= LONGEST
    return np.arange(start, end, step, dtype=values[0].dtype) if fits else None


ARITHMETIC: Mapping[str, Callable[[list[Numbers], Mapping[str, Any]], Numbers | None]] = {
    "Identity": lambda values, _: values[0],
    "Gather": lambda values, attributes: np.take(values[0], values[1], axis=attributes.get("axis", 0)),
    "Unsqueeze": lambda values, _: values[0].reshape(-1),
    "Squeeze": lambda values, _: values[0].reshape(()) if values[0].size == 1 else values[0],
    "Concat": lambda values, _: np.concatenate([value.reshape(-1) for value in values]),
    "Add": lambda values, _: values[0] + values[1],
    "Sub": lambda values, _: values[0] - values[1],
    "Mul": lambda values, _: values[0] * values[1],
    "Div": _divide,
    "Floor": lambda values, _: np.floor(values[0]),
    "Cast": _cast,
    "Slice": _slice,
    "ConstantOfShape": _filled,
    "Equal": lambda values, _: values[0] == values[1],
    "Where": lambda values, _: np.where(*values),
    "Min": lambda values, _: np.minimum.reduce(values),
    "Max": lambda values, _: np.maximum.reduce(values),
    "Neg": lambda values, _: -values[0],
    "Range": _range,
    "Reshape": lambda values, _: values[0].reshape(values[1].astype(int)),
    "ReduceProd": lambda values, _: np.prod(values[0], keepdims=True).reshape(-1),
}
