"""Keep layers that were left in float32 in float32 on ONNX Runtime, which would quantise them by itself.

Between a DequantizeLinear and a QuantizeLinear it takes a layer with float weights for one that was
forgotten, and rounds its weights to 8 bits with one scale for all channels when it opens the graph (its
optimiser WeightBiasQuantization; of a network with one such layer 38 dB became 7). It passes over layers
whose bias is no constant; so here the bias of such a layer is what a DequantizeLinear gives, without error.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import onnx
from onnx import numpy_helper

from juggler.runtime.onnx_graphs.editing import attributes_of, replace_all, weights_of
from juggler.runtime.session import Array

MANTISSA_BITS = 24
SMALLEST = 2.0**-100  # of a bias that is kept: below it the scale would be no normal number
OUTPUTS = {"Conv": 0, "ConvTranspose": 1}  # the dimension of the weights that counts output channels


def guard_float_layers(model: onnx.ModelProto, names: Collection[str]) -> int:
    """Give the layers of these names, in place, biases that keep their weights as they are.

    Returns:
        How many were guarded; layers that are quantised, or of another kind, are passed over.
    """
    stored = weights_of(model.graph)
    guards = []
    for node in model.graph.node:
        if node.name not in names or node.op_type not in {*OUTPUTS, "Gemm"} or node.input[1] not in stored:
            continue
        bias = _bias(node, stored)
        if bias is None:
            continue
        ends = [f"{node.name}.bias_{part}" for part in ("mantissa", "scale", "exact")]
        tensors = zip(exact_parts(bias), ends[:2], strict=True)
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for array, name in tensors)
        guards.append(onnx.helper.make_node("DequantizeLinear", ends[:2], ends[2:], ends[2], axis=0))
        node.input[:] = [*node.input[:2], ends[2]]
    replace_all(model.graph.node, [*guards, *model.graph.node])
    return len(guards)


def exact_parts(bias: Array) -> tuple[Array, Array]:
    """Return integers and powers of two, both `[channels]`, whose products are the float32 values given."""
    fraction, exponent = np.frexp(np.where(np.abs(bias) < SMALLEST, 0.0, bias).astype(np.float64))
    return (
        np.round(fraction * 2.0**MANTISSA_BITS).astype(np.int32),
        np.exp2(exponent - MANTISSA_BITS).astype(np.float32),
    )


def _bias(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> Array | None:
    """Return a layer's bias, zeros where it has none; None where it is no vector that is known."""
    if len(node.input) > 2 and node.input[2]:
        known = stored.get(node.input[2])
        bias = None if known is None else numpy_helper.to_array(known)
        return bias if bias is not None and bias.ndim == 1 else None
    attributes = attributes_of(node)
    place = OUTPUTS.get(node.op_type, 0 if attributes.get("transB") else 1)
    groups = attributes.get("group", 1) if node.op_type == "ConvTranspose" else 1
    return np.zeros(stored[node.input[1]].dims[place] * groups, np.float32)
