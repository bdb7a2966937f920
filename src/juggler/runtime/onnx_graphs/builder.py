"""Write an ONNX graph node by node, with normal weights.

Normal numbers for weights and inputs are drawn once and used again and again: zeros are skipped by some
kernels, and denormals slow all of them down; to draw 100 million for each kernel would take longer than to
time it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

Array = npt.NDArray[Any]
Shapes: TypeAlias = Mapping[str, tuple[int | str | None, ...]]
# As networks are exported: average pools of newer sets are run by another, slower kernel. Gelu is of 20.
OPSET, NEWER, IR_VERSION = 17, 20, 9
POOL = 1 << 20
LINE = 16  # numbers in a cache line


@dataclass
class GraphBuilder:
    """A graph being written: nodes in order, weights, and the shapes of what comes in and goes out."""

    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def add_input(self, name: str, shape: tuple[int, ...], *, before: bool = False) -> str:
        """Add an input, and a kernel that hands it on where it is to come from one; return its tensor."""
        self.inputs[name] = shape
        if not before:
            return name
        if len(shape) == 4:
            return self.add_node("MaxPool", (name,), f"before_{name}", kernel_shape=[1, 1])
        return self.add_node("Neg", (name,), f"before_{name}")  # pools take images only

    def add_node(
        self, op: str, inputs: tuple[str, ...], name: str, output: str | None = None, /, **attributes: Any
    ) -> str:
        """Add an operator; return its output, `NAME_out` where no other name is given."""
        from onnx import helper  # noqa: PLC0415  # heavy

        output = output or f"{name}_out"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=name, **attributes))
        return output

    def add_parts(self, op: str, inputs: tuple[str, ...], name: str, count: int, /, **attributes: Any) -> str:
        """Add an operator of so many outputs, `NAME_0`, `NAME_1` and so on; return the first."""
        from onnx import helper  # noqa: PLC0415  # heavy

        outputs = [f"{name}_{index}" for index in range(count)]
        self.nodes.append(helper.make_node(op, list(inputs), outputs, name=name, **attributes))
        return outputs[0]

    def add_weight(self, name: str, shape: tuple[int, ...], scale: float = 1.0, *, shift: float = 0.0) -> str:
        """Add normal weights of that standard deviation; return their tensor."""
        from onnx import TensorProto, helper  # noqa: PLC0415

        values = normal(shape)
        values *= np.float32(scale)
        values += np.float32(shift)
        self.weights.append(helper.make_tensor(name, TensorProto.FLOAT, shape, values.tobytes(), raw=True))
        return name

    def add_array(self, name: str, values: Array) -> str:
        """Add numbers as they are; return their tensor."""
        from onnx import numpy_helper  # noqa: PLC0415

        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def add_scalar(self, name: str, value: float) -> str:
        """Add one number; return its tensor."""
        from onnx import TensorProto, helper  # noqa: PLC0415

        self.weights.append(helper.make_tensor(name, TensorProto.FLOAT, (), [value]))
        return name

    def add_integers(self, name: str, values: list[int]) -> None:
        """Add a vector of whole numbers."""
        from onnx import TensorProto, helper  # noqa: PLC0415

        self.weights.append(helper.make_tensor(name, TensorProto.INT64, (len(values),), values))

    def to_onnx(self, name: str, inputs: Shapes, outputs: Shapes, ir_version: int = IR_VERSION) -> bytes:
        """Return what was written as ONNX bytes; a text or None in a shape is a size free at run time."""
        from onnx import TensorProto, helper  # noqa: PLC0415  # heavy

        ends = [
            [helper.make_tensor_value_info(end, TensorProto.FLOAT, shape) for end, shape in shapes.items()]
            for shapes in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, name, *ends, self.weights)
        opsets = [
            helper.make_opsetid("", NEWER if "Gelu" in {node.op_type for node in self.nodes} else OPSET)
        ]
        opsets += [helper.make_opsetid(domain, 1) for domain in sorted({n.domain for n in self.nodes} - {""})]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
        return bytes(model.SerializeToString())


@dataclass(frozen=True)
class KernelGraph:
    """One kernel as a graph.

    Attributes:
        model: ONNX bytes.
        inputs: shapes by name.
    """

    model: bytes
    inputs: dict[str, tuple[int, ...]]

    def feed(self) -> dict[str, Array]:
        """Return normal inputs, views of numbers that are drawn once; nobody may write to them."""
        ends = np.cumsum([on_line(prod(shape)) for shape in self.inputs.values()])
        parts = zip(self.inputs.items(), np.split(normal_inputs(int(ends[-1])), ends), strict=False)
        return {name: part[: prod(shape)].reshape(shape) for (name, shape), part in parts}


def kernel_graph_of(builder: GraphBuilder, outputs: Mapping[str, tuple[int, ...]]) -> KernelGraph:
    """Make a model of what was written."""
    return KernelGraph(builder.to_onnx("one kernel", builder.inputs, outputs), dict(builder.inputs))


def normal(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return normal numbers of that shape, the same ones again and again."""
    size = prod(shape)
    values = np.empty(size, np.float32)
    pool = _pool()
    for start in range(0, size, POOL):
        part = values[start : start + POOL]
        part[:] = pool[: part.size]
    return values.reshape(shape)


@lru_cache(maxsize=1)
def _pool() -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(POOL, dtype=np.float32)


_GROWN: list[npt.NDArray[np.float32]] = []


def normal_inputs(size: int) -> npt.NDArray[np.float32]:
    """Return so many normal numbers or more, the largest array so far: new memory is slow to touch.

    It begins with a cache line, as the maps do that a runtime hands from kernel to kernel: vectors that lie
    across two lines cost some kernels twice the time.
    """
    if not _GROWN or _GROWN[0].size < size:
        count = max(size, POOL)
        room = np.empty(count + LINE, np.float32)
        start = -(room.ctypes.data // room.itemsize) % LINE
        room[start : start + count] = normal((count,))
        _GROWN[:] = [room[start : start + count]]
        _GROWN[0].flags.writeable = False
    return _GROWN[0]


def on_line(count: int) -> int:
    """Return the count rounded up to whole cache lines of float32."""
    return -(-count // LINE) * LINE
