"""Take the branches of an ONNX graph that are known: an `If` whose condition is a constant."""

from __future__ import annotations

import onnx
from onnx import numpy_helper

from juggler.runtime.onnx_graphs.editing import attributes_of, replace_all, weights_of


def inline_branches(graph: onnx.GraphProto) -> bool:
    """Put the branch that is taken in place of each `If` with a constant condition; say whether any was.

    Names within branches are as unique as those without: the format asks for it, and the checker sees to it.
    """
    constants = weights_of(graph)
    nodes: list[onnx.NodeProto] = []
    is_changed = False
    for node in graph.node:
        condition = constants.get(node.input[0]) if node.op_type == "If" and not node.domain else None
        if condition is None:
            nodes.append(node)
            continue
        is_true = bool(numpy_helper.to_array(condition).reshape(-1)[0])
        branch = attributes_of(node)["then_branch" if is_true else "else_branch"]
        nodes.extend(branch.node)
        graph.initializer.extend(branch.initializer)
        for result, name in zip(branch.output, node.output, strict=True):
            nodes.append(onnx.helper.make_node("Identity", [result.name], [name]))
        is_changed = True
    if is_changed:
        replace_all(graph.node, nodes)
    return is_changed
