"""Fold what an ONNX graph computes from constants alone into constants.

Torch's tracing exporter writes constants as nodes, and the widths of a padding as half a dozen of them;
folded, a graph holds only what runs. What is folded is bounded, for a file of a hundred bytes can ask for
terabytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from juggler.runtime.onnx_graphs.editing import reads_of, replace_all, weights_of
from juggler.runtime.onnx_graphs.shape_inference import LONGEST, infer_node

RANDOM = frozenset({"Bernoulli", "Multinomial"})  # and everything whose name begins with Random
MOST = 1 << 24  # numbers that all constants together may grow by
COPIES = 4  # how often all that the file holds may be made anew: weights transposed, scaled, cast
SLOW = frozenset(
    {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "RNN", "GRU", "LSTM", "Resize"}
)
MOST_OF_SLOW = 1 << 12  # numbers that an op makes which the reference evaluator runs one by one
NEVER_MORE = frozenset({"Constant", "Compress", "NonZero", "Unique"})  # than they read; no sizes are inferred


def fold_constants(model: onnx.ModelProto) -> frozenset[str]:
    """Evaluate, in place, every node whose inputs are all constants; drop what nobody reads any more.

    Nodes that the reference evaluator cannot run are left as they are, and so are those that would make more
    numbers than `MOST` beyond `COPIES` times those that the file holds.

    Returns:
        Names of values that depend on constants alone and were too large.
    """
    graph = model.graph
    too_large: set[str] = set()
    constants = {name: numpy_helper.to_array(tensor) for name, tensor in weights_of(graph).items()}
    stored = set(constants)
    ends = {value.name for value in graph.output}
    budget = _Budget(model, COPIES * sum(array.size for array in constants.values()) + MOST)
    remaining = []
    for node in graph.node:
        is_constant = _is_constant(node, constants) and not ends & set(node.output)
        if is_constant and not budget.takes(node, constants):
            too_large |= set(node.output)
            is_constant = False
        results = _evaluate(model, node, constants) if is_constant else None
        if results is None:
            remaining.append(node)
        else:
            constants |= results
    replace_all(graph.node, remaining)
    read = reads_of(remaining) | ends
    old = [tensor for tensor in graph.initializer if tensor.name in read]
    new = [numpy_helper.from_array(v, n) for n, v in constants.items() if n in read and n not in stored]
    replace_all(graph.initializer, [*old, *new])
    computed = read | {name for node in remaining for name in node.output}
    infos = [info for info in graph.value_info if info.name in computed and info.name not in constants]
    replace_all(graph.value_info, infos)
    return frozenset(too_large)


class _Budget:
    """How many numbers folding may still make."""

    def __init__(self, model: onnx.ModelProto, left: int) -> None:
        self._versions = {entry.domain: entry.version for entry in model.opset_import}
        self._left = left

    def takes(self, node: onnx.NodeProto, constants: Mapping[str, Any]) -> bool:
        """Say whether a node's outputs are known to be small enough, and count them."""
        made = self._count(node, constants)
        if made is None or made > self._left or (node.op_type in SLOW and made > MOST_OF_SLOW):
            return False
        self._left -= made
        return True

    def _count(self, node: onnx.NodeProto, constants: Mapping[str, Any]) -> int | None:
        """Return how many numbers a node makes; None where that is not known before."""
        arrays = {name: constants[name] for name in node.input if name}
        counts: list[int] = []
        if node.op_type in NEVER_MORE:
            counts += [int(array.size) * max(1, int(array.ndim)) for array in arrays.values()]
            return sum(counts)
        make = onnx.helper.make_tensor_type_proto
        kinds = {n: make(onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in arrays.items()}
        small = {name: array for name, array in arrays.items() if array.size <= LONGEST}
        results = infer_node(node, kinds, small, self._versions)
        for name in filter(None, node.output):
            shape = results[name].tensor_type.shape if name in results else None
            if shape is None or not all(dim.HasField("dim_value") for dim in shape.dim):
                return None
            counts.append(math.prod(int(dim.dim_value) for dim in shape.dim))
        return sum(counts)


def _is_constant(node: onnx.NodeProto, constants: Mapping[str, Any]) -> bool:
    """Say whether a node gives the same whenever it runs."""
    is_random = node.op_type in RANDOM or node.op_type.startswith("Random")
    has_graph = any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute)
    return not is_random and not has_graph and all(name in constants for name in node.input if name)


def _evaluate(
    model: onnx.ModelProto, node: onnx.NodeProto, constants: dict[str, Any]
) -> dict[str, Any] | None:
    """Return a node's outputs, or None where the reference evaluator cannot run it."""
    names = [name for name in node.input if name]
    unknown = onnx.TypeProto()  # an evaluator asks for no types
    graph = onnx.helper.make_graph(
        [node],
        "one_node",
        [onnx.helper.make_value_info(name, unknown) for name in dict.fromkeys(names)],
        [onnx.helper.make_value_info(name, unknown) for name in node.output if name],
    )
    alone = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        values = ReferenceEvaluator(alone).run(None, {name: constants[name] for name in names})
    except (NotImplementedError, RuntimeError, TypeError, ValueError):
        return None
    return dict(zip([name for name in node.output if name], values, strict=True))
