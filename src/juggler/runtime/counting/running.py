"""Run an ONNX file once on random values, for what its shapes do not tell: sizes, and branches taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from juggler.errors import ArtefactError
from juggler.reading.onnx_files import read_onnx
from juggler.reading.request import Request
from juggler.runtime.counting.node import Shape
from juggler.runtime.counting.stored import all_graphs

if TYPE_CHECKING:
    import onnx

DEEPEST = 8  # branches within branches
NEVER_ENDING = ("Loop", "Scan")


class Trial:
    """A file that can be run, and inputs for it.

    Args:
        graph: the file.
        request: who asks for it.
        inputs: its inputs.
        sizes: their shapes.
    """

    def __init__(
        self,
        graph: Path | bytes,
        request: Request,
        inputs: Sequence[onnx.ValueInfoProto],
        sizes: Sequence[Shape],
    ) -> None:
        self._graph, self._request, self._inputs, self._sizes = graph, request, inputs, sizes
        self._taken: list[dict[str, bool]] = []

    def with_branches(self, model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
        """Return the model with the branches written out that a run takes, and how many these are."""
        count = 0
        for _ in range(DEEPEST):
            conditions = [node.input[0] for node in model.graph.node if node.op_type == "If"]
            values = self._values(dict.fromkeys(conditions)) if conditions else {}
            if not values:
                break
            taken = {name: bool(value.reshape(-1)[0]) for name, value in values.items() if value.size}
            model = _with_branches(model, taken)
            self._taken.append(taken)
            count += len(conditions)
        return model, count

    def shapes(self, names: Sequence[str]) -> dict[str, Shape]:
        """Return the shapes of values by name; none where the file does not run."""
        return {name: tuple(map(int, shape)) for name, shape in self._values(names, shapes=True).items()}

    def _values(self, names: Sequence[str] | Mapping[str, None], *, shapes: bool = False) -> dict[str, Any]:
        """Return values by name, or their shapes; none where the file does not run, or might never end."""
        import onnx  # noqa: PLC0415  # heavy
        import onnxruntime as ort  # noqa: PLC0415  # heavy
        from google.protobuf.message import EncodeError  # type: ignore[import-untyped]  # noqa: PLC0415

        from juggler.runtime.backends.onnxruntime import failures, session_options  # noqa: PLC0415

        try:
            model = inlined(read_onnx(self._graph, self._request))
        except ArtefactError:  # its weights cannot be had, or are too many
            return {}
        for taken in self._taken:
            model = _with_branches(model, taken)
        if any(node.op_type in NEVER_ENDING for graph in all_graphs(model.graph) for node in graph.node):
            return {}
        del model.graph.output[:], model.graph.value_info[:]
        ends = [f"juggler_shape_{index}" for index, _ in enumerate(names)] if shapes else list(names)
        for name, end in zip(names, ends, strict=True):
            if shapes:
                model.graph.node.append(onnx.helper.make_node("Shape", [name], [end]))
            model.graph.output.append(onnx.ValueInfoProto(name=end))
        options = session_options(None)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            content = model.SerializeToString()
            session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            values = session.run(ends, self._feed())
        except (*failures(), EncodeError, ValueError):
            return {}
        return dict(zip(names, values, strict=True))

    def _feed(self) -> dict[str, Any]:
        """Return normal numbers for each input, or 0 and 1 of integers."""
        import onnx  # noqa: PLC0415  # heavy

        rng, feed = np.random.default_rng(0), {}
        for value, size in zip(self._inputs, self._sizes, strict=True):
            kind = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
            values = rng.integers(0, 2, size) if kind.kind in "iub" else rng.standard_normal(size)
            feed[value.name] = np.asarray(values).astype(kind)
        return feed


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the functions that it defines written out."""
    if not model.functions:
        return model
    from onnx import inliner  # noqa: PLC0415  # heavy

    written_out: onnx.ModelProto = inliner.inline_local_functions(model)
    return written_out


def _with_branches(model: onnx.ModelProto, taken: Mapping[str, bool]) -> onnx.ModelProto:
    """Return a copy with one branch in the place of each If whose condition is known.

    Raises:
        ValueError: two branches call different values by one name.
    """
    import onnx  # noqa: PLC0415  # heavy

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    nodes = []
    for node in model.graph.node:
        if node.op_type != "If" or node.input[0] not in taken:
            nodes.append(node)
            continue
        branch_name = "then_branch" if taken[node.input[0]] else "else_branch"
        branch = next(attribute.g for attribute in node.attribute if attribute.name == branch_name)
        nodes += branch.node
        copy.graph.initializer.extend(branch.initializer)
        pairs = zip(branch.output, node.output, strict=True)
        nodes += [onnx.helper.make_node("Identity", [inner.name], [outer]) for inner, outer in pairs]
    names = [name for node in nodes for name in node.output if name]
    if len(names) != len(set(names)):
        raise ValueError("two branches call different values by one name")
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy
