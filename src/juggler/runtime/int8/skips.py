"""Take skip connections back out of flat kernels, for arithmetic that has few bits.

A flat kernel has the identity in its centre: a 1 on the diagonal, among weights of a few hundredths. In
float32 that costs nothing; in int8 the 1 sets the scale, and the others are left with three or four bits.
`conv(x, W) = conv(x, W - I) + x` is the same function with the 1 gone.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from juggler.runtime.onnx_graphs.editing import attributes_of, replace_all, uses_of, weights_of
from juggler.runtime.session import Array

WORTH = 0.5  # the median channel's largest weight must fall to less than this share of itself


def split_skips(model: onnx.ModelProto) -> int:
    """Replace, in place, each conv that holds an identity by a conv without it and an addition.

    Returns:
        How many were replaced: convs of one group and stride 1 that keep the size and the number of channels,
        and whose weights become at most half as large by it.
    """
    graph = model.graph
    weights, uses = weights_of(graph), uses_of(graph)
    nodes, count = [], 0
    for node in graph.node:
        nodes.append(node)
        name = node.input[1] if node.op_type == "Conv" else ""
        if name not in weights or uses[name] > 1:
            continue
        without = _without_identity(node, numpy_helper.to_array(weights[name]))
        if without is not None:
            weights[name].CopyFrom(numpy_helper.from_array(without, name))
            (end,) = node.output
            node.output[0] = f"{end}_without_skip"
            nodes.append(onnx.helper.make_node("Add", [node.output[0], node.input[0]], [end], f"{end}_skip"))
            count += 1
    replace_all(graph.node, nodes)
    return count


def _without_identity(node: onnx.NodeProto, weight: Array) -> Array | None:
    """Return the weights, `[out, in, *kernel]`, without the identity; None where it is not worth it."""
    kernel = weight.shape[2:]
    if weight.shape[0] != weight.shape[1] or any(side % 2 == 0 for side in kernel):
        return None
    if not _keeps_size(node, kernel):
        return None
    without = weight.copy()
    channels = np.arange(len(weight))
    without[(channels, channels, *(side // 2 for side in kernel))] -= 1.0
    before, after = _largest(weight), _largest(without)
    return without if np.median(after) < WORTH * np.median(before) else None


def _keeps_size(node: onnx.NodeProto, kernel: tuple[int, ...]) -> bool:
    """Say whether a conv of one group gives a map of its input's size, each point over its own."""
    attributes = attributes_of(node)
    dilations = attributes.get("dilations", [1] * len(kernel))
    border = [side // 2 * dilation for side, dilation in zip(kernel, dilations, strict=True)]
    return (
        attributes.get("group", 1) == 1
        and attributes.get("auto_pad", "NOTSET") == "NOTSET"
        and set(attributes.get("strides", [1])) == {1}
        and list(attributes.get("pads", [0] * 2 * len(kernel))) == [*border, *border]
    )


def _largest(weight: Array) -> Array:
    """Return the largest weight of each output channel, `[out]`, without its sign."""
    largest: Array = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    return largest
