"""A network's graph without its weights, and the same graph with placeholders for a runtime to optimise.

What a runtime makes of a graph depends on its ops and sizes, not on what the weights are. So all weights of
one size share one placeholder: ResNet-152 has 240 MB of weights and 37 MB of sizes that differ, and the
runtime repacks each of them once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from juggler.errors import ArtefactError, ConfigError
from juggler.runtime.onnx_graphs.editing import replace_all, uses_of, weights_of
from juggler.runtime.onnx_graphs.structure import GraphStructure, read_structure, with_tensors

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

    from juggler.runtime.session import Model

WEIGHT = "juggler_weight_"  # how placeholders are called, and what follows is their type and size
PRODUCTS = ("Gemm", "MatMul")


def graph_structure_of(model: Model, shape: tuple[int, ...], name: str = "") -> GraphStructure:
    """Return the structure of a network.

    Args:
        model: path or bytes of an ONNX model, or a module in evaluation mode.
        shape: the input's shape without the batch, which a module is traced at.
        name: what to call it; a file's own where absent.

    Raises:
        ArtefactError: no ONNX model.
        ConfigError: a module that cannot be exported, or is in training mode.
    """
    if isinstance(model, str | Path | bytes):
        origin = "a graph" if isinstance(model, bytes) else Path(model).stem
        graph = read_structure(model if isinstance(model, bytes) else Path(model))
        _read_directly(graph.graph, {tensor.name for tensor in graph.graph.initializer})
        return GraphStructure(graph, name or origin)
    import torch  # noqa: PLC0415  # heavy

    types = (p.dtype for p in model.parameters() if p.is_floating_point())
    example = torch.randn(1, *shape, dtype=next(types, torch.float32))
    return graph_structure_of_module(model, (example,), name)


def graph_structure_of_module(
    module: nn.Module, examples: tuple[Tensor, ...], name: str = ""
) -> GraphStructure:
    """Return the structure of a module for one example of each input, without its weights where that works.

    Raises:
        ConfigError: it cannot be exported, or is in training mode.
    """
    from juggler.runtime.export import draft, outline  # noqa: PLC0415

    try:
        model = _weights_as_constants(outline(module, examples), len(examples))
    except ConfigError:  # the exporter that needs the weights may still write it, or say why not
        model = read_structure(draft(module, examples))
    return GraphStructure(model, name or type(module).__name__)


def with_placeholder_weights(model: onnx.ModelProto, *, dense_as_inputs: bool = False) -> bytes:
    """Return the graph with placeholders for weights, batch norms folded into the convolutions before them.

    Every runtime folds these norms; done here, the placeholders stay shared.

    Args:
        model: as `GraphStructure.model` or `GraphStructure.sized` have it; not changed.
        dense_as_inputs: make the weights of dense layers inputs of the graph, which need no memory.
    """
    import onnx  # noqa: PLC0415  # heavy

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _fold_norms(copy.graph)
    sizes = {t.name: t for t in copy.graph.initializer if _is_empty(t)}
    free = _dense_weights(copy.graph, sizes) if dense_as_inputs else set()
    read = {name for node in copy.graph.node for name in node.input}
    constants = [t for t in copy.graph.initializer if t.name not in sizes and t.name in read]
    placeholders: dict[str, onnx.TensorProto] = {}
    placeholder_inputs: dict[str, onnx.TensorProto] = {}
    kin: dict[tuple[str, ...], dict[tuple[str, ...], int]] = {}
    for node in copy.graph.node:
        weights = tuple(name for name in node.input if name in sizes)
        # Two layers that read one map through equal weights would be merged: theirs differ.
        like = (node.op_type, *(_size_name(sizes[n]) if n in sizes else n for n in node.input))
        variant = kin.setdefault(like, {}).setdefault(weights, len(kin[like]))
        for index, name in enumerate(node.input):
            if name in sizes:
                new = f"{WEIGHT}{_size_name(sizes[name])}_{variant}" + ("_dense" if name in free else "")
                (placeholder_inputs if name in free else placeholders)[new] = sizes[name]
                node.input[index] = new
    replace_all(copy.graph.initializer, constants)
    replace_all(copy.graph.input, [value for value in copy.graph.input if value.name not in sizes])
    make = onnx.helper.make_tensor_value_info
    copy.graph.input.extend(make(name, t.data_type, list(t.dims)) for name, t in placeholder_inputs.items())
    filled = (
        (name, list(t.dims), t.data_type, _placeholder_bytes(t, int(name.rpartition("_")[2])))
        for name, t in placeholders.items()
    )
    return with_tensors(copy.SerializeToString(), filled)


def is_weight(name: str) -> bool:
    """Say whether a graph's input is the placeholder of a dense layer's weights."""
    return name.startswith(WEIGHT)


def _is_empty(tensor: onnx.TensorProto) -> bool:
    filled = tensor.raw_data or tensor.float_data or tensor.int32_data or tensor.int64_data
    return not filled and not tensor.double_data and math.prod(tensor.dims) > 0


def _dense_weights(graph: onnx.GraphProto, sizes: Mapping[str, Any]) -> set[str]:
    """Return the weights that only dense layers read, as their second factor."""
    uses = uses_of(graph)
    dense = Counter(n.input[1] for n in graph.node if n.op_type in PRODUCTS and not n.domain)
    return {name for name in sizes if dense[name] and dense[name] == uses[name]}


def _fold_norms(graph: onnx.GraphProto) -> None:
    """Drop each batch norm behind a convolution that nobody else reads; the convolution gets a bias."""
    import onnx  # noqa: PLC0415  # heavy

    constants, uses = set(weights_of(graph)), uses_of(graph)
    makers = {node.output[0]: node for node in graph.node if node.op_type == "Conv" and not node.domain}
    nodes = []
    for node in graph.node:
        conv = makers.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if (
            conv is None
            or uses[node.input[0]] != 1
            or not constants.issuperset([*conv.input[1:], *node.input[1:]])
        ):
            nodes.append(node)
            continue
        if len(conv.input) == 2:
            size = weights_of(graph)[node.input[2]].dims[0]
            bias = onnx.TensorProto(
                name=f"{conv.output[0]}_bias", data_type=onnx.TensorProto.FLOAT, dims=[size]
            )
            graph.initializer.append(bias)
            constants.add(bias.name)
            conv.input.append(bias.name)
        conv.output[0] = node.output[0]
    replace_all(graph.node, nodes)


def _size_name(tensor: onnx.TensorProto) -> str:
    return f"{tensor.data_type}_{'x'.join(map(str, tensor.dims))}"


def _placeholder_bytes(tensor: onnx.TensorProto, variant: int) -> bytes:
    """Return numbers for a placeholder: not 0 and not 1, so that nothing is dropped as doing nothing."""
    import numpy as np  # noqa: PLC0415
    import onnx  # noqa: PLC0415  # heavy

    if tensor.data_type == onnx.TensorProto.STRING:
        raise ArtefactError(
            "read a network", f"a tensor of texts, {tensor.name}", "Give a network of numbers"
        )
    kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    count = math.prod(tensor.dims)
    if kind.kind != "f":
        return bytes(np.full(count, 3 + variant % 100, kind).data)
    first = bytes(np.full(1, 0.0115 + 1e-4 * variant, kind).data)
    # Repeated, these bytes are 0.0115 in float32; and nothing makes 37 MB of numbers faster.
    return first + b"\x3c" * int((count - 1) * kind.itemsize)


def _weights_as_constants(model: onnx.ModelProto, inputs: int) -> onnx.ModelProto:
    """Turn the inputs that are weights into empty constants, and read shared ones where they are."""
    import onnx  # noqa: PLC0415  # heavy

    graph = model.graph
    weights = list(graph.input[inputs:])
    _read_directly(graph, {value.name for value in weights})
    for value in weights:
        kind = value.type.tensor_type
        dims = [dim.dim_value for dim in kind.shape.dim]
        graph.initializer.append(onnx.TensorProto(name=value.name, data_type=kind.elem_type, dims=dims))
    del graph.input[inputs:]
    return model


def _read_directly(graph: onnx.GraphProto, weights: set[str]) -> None:
    """Drop each node that only gives a weight another name: what reads it reads the weight.

    Exporters share equal weights so. With its bias behind such a node, one layer would look like another
    that reads the same map, and a runtime would merge the two.
    """
    same = {name: name for name in weights}
    ends = {value.name for value in graph.output}
    nodes = []
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in same and node.output[0] not in ends:
            same[node.output[0]] = same[node.input[0]]
            continue
        nodes.append(node)
        for index, name in enumerate(node.input):
            node.input[index] = same.get(name, name)
    replace_all(graph.node, nodes)
