"""What a network is made of: work, weights, kernels and memory traffic, counted on its ONNX graph."""

from __future__ import annotations

import math
from typing import Any

import onnx

from juggler.errors import ArtefactError
from juggler.reproduce.results import Shape
from juggler.runtime.counting import count_graph
from juggler.runtime.onnx_graphs.editing import makers_of, weights_of

FUSED = {"Relu", "Flatten", "Identity", "Reshape"}  # every runtime here folds these into a neighbour
FLOAT_BYTES = 4
LARGEST_SHAPE_BYTES = 4096  # a tensor that holds a shape is smaller


def count(graph: bytes, shape: tuple[int, ...]) -> Shape:
    """Count a graph for one input of `shape`, `[channels, height, width]`.

    A runtime folds a ReLU into the op before it, and an addition into the convolution that computes one of
    its terms; the other term is then read once more. What is left are the kernels.

    Raises:
        ArtefactError: the graph has an op whose output's size is not known.
    """
    model = onnx.load_from_string(graph)
    for value in model.graph.input:
        for size, size_px in zip(value.type.tensor_type.shape.dim, (1, *shape), strict=True):
            size.dim_value = size_px
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > LARGEST_SHAPE_BYTES:
            tensor.ClearField("raw_data")  # weights of hundreds of megabytes would be copied to and fro
    del model.graph.value_info[:]
    for value in model.graph.output:  # its free batch would stand against the fixed one
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    sizes = _sizes(inferred.graph)
    weights = {name: tuple(tensor.dims) for name, tensor in weights_of(inferred.graph).items()}
    makers = makers_of(inferred.graph)
    kernels = moved = 0
    for node in inferred.graph.node:
        if node.op_type in ("Constant", *FUSED):
            continue
        if node.op_type == "Add" and any(
            name in makers and makers[name].op_type == "Conv" for name in node.input
        ):
            moved += _elements(node.input[-1], sizes)  # one map more for the convolution to read
            continue
        kernels += 1
        moved += sum(math.prod(weights[name]) for name in node.input if name in weights)
        moved += sum(_elements(name, sizes) for name in node.input if name and name not in weights)
        moved += sum(_elements(name, sizes) for name in node.output)
    macs = count_graph(graph, [shape]).macs
    return Shape(macs, sum(math.prod(dims) for dims in weights.values()), kernels, FLOAT_BYTES * moved)


def _elements(name: str, sizes: dict[str, tuple[int, ...]]) -> int:
    return math.prod(_size(name, sizes))


def _size(name: str, sizes: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    if name not in sizes:
        raise ArtefactError(
            "count a graph", f"the size of {name!r} is not known", "Export the network again, with an example"
        )
    return sizes[name]


def _sizes(graph: Any) -> dict[str, tuple[int, ...]]:
    values = [*graph.input, *graph.value_info, *graph.output]
    return {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in values
        if value.type.tensor_type.HasField("shape")
    }
