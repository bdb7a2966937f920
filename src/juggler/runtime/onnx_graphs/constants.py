"""Fold what an ONNX graph computes from constants alone into constants.

Torch's tracing exporter writes constants as nodes, and the widths of a padding as half a dozen of them;
folded, a graph holds only what runs.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from juggler.runtime.onnx_graphs.editing import replace_all, weights_of

RANDOM = frozenset({"Bernoulli", "Multinomial"})  # and everything whose name begins with Random


def fold_constants(model: onnx.ModelProto) -> None:
    """Evaluate, in place, every node whose inputs are all constants; drop what nobody reads any more.

    Nodes that the reference evaluator cannot run are left as they are.
    """
    graph = model.graph
    constants = {name: numpy_helper.to_array(tensor) for name, tensor in weights_of(graph).items()}
    stored = set(constants)
    ends = {value.name for value in graph.output}
    remaining = []
    for node in graph.node:
        results = None if ends & set(node.output) else _evaluate(model, node, constants)
        if results is None:
            remaining.append(node)
        else:
            constants |= results
    replace_all(graph.node, remaining)
    read = {name for node in remaining for name in node.input} | ends
    old = [tensor for tensor in graph.initializer if tensor.name in read]
    new = [numpy_helper.from_array(v, n) for n, v in constants.items() if n in read and n not in stored]
    replace_all(graph.initializer, [*old, *new])
    computed = read | {name for node in remaining for name in node.output}
    infos = [info for info in graph.value_info if info.name in computed and info.name not in constants]
    replace_all(graph.value_info, infos)


def _evaluate(
    model: onnx.ModelProto, node: onnx.NodeProto, constants: dict[str, Any]
) -> dict[str, Any] | None:
    """Return a node's outputs, or None where they are no constants."""
    names = [name for name in node.input if name]
    is_random = node.op_type in RANDOM or node.op_type.startswith("Random")
    has_graph = any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in node.attribute)
    if is_random or has_graph or not all(name in constants for name in names):
        return None
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
