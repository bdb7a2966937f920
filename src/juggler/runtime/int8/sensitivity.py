"""Say how much noise int8 adds in each layer by itself.

Noise that reaches the output tells that some layer is to blame, not which. Here every layer is run twice on
what float32 gives it: as it is, and beside it as the int8 graph has it, its inputs and weights rounded. One
graph holds all these pairs and sums their differences up, so that one run over the inputs ranks all layers.
What is left out: how much of a layer's noise the rest of the network lets through.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from juggler.nouns import Noun
from juggler.runtime.onnx_graphs.editing import makers_of, replace_all, weights_of
from juggler.runtime.open import open_session
from juggler.runtime.session import Array

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
MARK = "juggler.rounded"


@dataclass(frozen=True)
class LayerNoise(Noun):
    """One layer of an int8 graph: its node's name, and 10 log10(signal / noise) that it has by itself."""

    name: str
    signal_to_noise_db: float


def layer_noise(
    exact: onnx.ModelProto, int8: onnx.ModelProto, feeds: Sequence[dict[str, Array]]
) -> tuple[LayerNoise, ...]:
    """Rank the layers of an int8 graph, the noisiest first; those that int8 leaves exact are left out.

    Args:
        exact: the float32 graph that the tool was given; see `quantization.prepare`.
        int8: what the tool made of it.
        feeds: inputs in pieces, an array an input by name.
    """
    pairs = _Pairs(exact, int8)
    names = [node.name for node in int8.graph.node if pairs.add(node)]
    if not names:
        return ()
    del pairs.model.graph.output[: len(exact.graph.output)]
    sums = np.zeros(2 * len(names))
    with open_session(pairs.model.SerializeToString()) as session:
        for feed in feeds:
            sums_of_piece = session.run(*(feed[spec.name] for spec in session.inputs))
            sums += np.array([float(value.item()) for value in sums_of_piece])
    noise, signal = sums[0::2], sums[1::2]
    ranked = [
        LayerNoise(name, 10.0 * math.log10(signal_power / noise_power))
        for name, signal_power, noise_power in zip(names, signal, noise, strict=True)
        if signal_power > 0.0 and noise_power > 0.0
    ]
    return tuple(sorted(ranked, key=lambda layer: layer.signal_to_noise_db))


class _Pairs:
    """The float32 graph, with a rounded twin beside each layer and the sums of squares as outputs."""

    def __init__(self, exact: onnx.ModelProto, int8: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(exact)
        # The tools may have raised the opset for their own ops; those of before mean the same in both.
        replace_all(self.model.opset_import, int8.opset_import)
        self.model.ir_version = max(exact.ir_version, int8.ir_version)
        self._layers = {node.name: node for node in exact.graph.node if node.op_type in LAYERS}
        self._stored, self._makers = weights_of(int8.graph), makers_of(int8.graph)
        self._known = {value.name for value in exact.graph.input} | set(makers_of(exact.graph))
        self._copied: set[str] = set()

    def add(self, node: onnx.NodeProto) -> bool:
        """Add the twin of a node of the int8 graph; say whether it is a rounded layer that could be."""
        layer = self._layers.get(node.name)
        if layer is None or layer.op_type != node.op_type or not self._is_rounded(node):
            return False
        if not all(self._can_copy(name) for name in node.input if name):
            return False
        names = [self._copy(name) if name else "" for name in node.input]
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.name = f"{MARK}.{node.name}"
        end, off = f"{MARK}.{layer.output[0]}", f"{MARK}.off.{layer.output[0]}"
        twin.input[:], twin.output[:] = names, [end]
        graph, make = self.model.graph, onnx.helper.make_node
        graph.node.extend([twin, make("Sub", [end, layer.output[0]], [off])])
        for kind, source in (("noise", off), ("signal", layer.output[0])):
            total = f"{MARK}.{kind}.{layer.output[0]}"
            graph.node.append(make("ReduceSumSquare", [source], [total], keepdims=0))
            graph.output.append(onnx.helper.make_tensor_value_info(total, onnx.TensorProto.FLOAT, []))
        return True

    def _is_rounded(self, node: onnx.NodeProto) -> bool:
        makers = [self._makers.get(name) for name in node.input[:2]]  # a bias alone is exact
        return any(maker is not None and maker.op_type in ROUNDING for maker in makers)

    def _can_copy(self, name: str) -> bool:
        """Say whether a tensor of the int8 graph can be made of what the float32 graph has."""
        maker = self._makers.get(name)
        if maker is not None and maker.op_type in ROUNDING:
            return all(self._can_copy(source) for source in maker.input if source)
        return name in self._stored or name in self._known

    def _copy(self, name: str) -> str:
        """Add what makes a tensor of the int8 graph, once; return its name there."""
        maker = self._makers.get(name)
        is_rounding = maker is not None and maker.op_type in ROUNDING
        if not is_rounding and name not in self._stored:
            return name
        copied_name = f"{MARK}.{name}"
        if copied_name in self._copied:
            return copied_name
        self._copied.add(copied_name)
        if maker is None or not is_rounding:
            tensor = self.model.graph.initializer.add()
            tensor.CopyFrom(self._stored[name])
            tensor.name = copied_name
            return copied_name
        sources = [self._copy(source) if source else "" for source in maker.input]
        copy: Any = onnx.NodeProto()
        copy.CopyFrom(maker)
        copy.name, copy.input[:], copy.output[:] = f"{MARK}.{maker.name or name}", sources, [copied_name]
        self.model.graph.node.append(copy)
        return copied_name
