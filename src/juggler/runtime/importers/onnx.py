"""Read ONNX models as torch.fx graphs of plain torch modules and functions, the batch free.

One handle an op, in `_onnx_ops.HANDLES`; an op without a handle, or with attributes that torch has no
equal for, is refused: the error names every such node at once.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from torch import fx

from juggler.errors import ConfigError
from juggler.reading.request import Request
from juggler.runtime.importers._comparison import compare_with_source, record_checks
from juggler.runtime.importers._onnx_graph import OnnxBuilder, Op, Unsupported
from juggler.runtime.importers._onnx_ops import HANDLES
from juggler.runtime.modules import record_ends
from juggler.runtime.onnx_graphs.constants import fold_constants
from juggler.runtime.onnx_graphs.editing import attributes_of, replace_all, true_inputs
from juggler.runtime.onnx_graphs.ends import load_model, spec_of

SHOWN = 4  # names of nodes of one kind that an error lists


class OnnxImporter:
    """Turns ONNX graphs into graph modules."""

    name = "onnx"

    def load(self, source: Path | bytes) -> fx.GraphModule:
        """Read the network as a graph module in evaluation mode.

        Raises:
            ArtefactError: the file is missing or is no ONNX model.
            ConfigError: ops without an equal here; the message names each with its node.
            Refused: as imported it computes something else than the file does in ONNX Runtime.
        """
        what = "ONNX bytes" if isinstance(source, bytes) else str(source)
        # A file that no exporter wrote stumbles anywhere, in onnx itself too.
        with Request(f"import {what}", "Export the network again").refusing("network that makes sense"):
            return self._load(source)

    def _load(self, source: Path | bytes) -> fx.GraphModule:
        model = load_model(source)
        fold_constants(model)
        build, refused = _build_graph(model)
        # What was computed from known sizes lets ONNX infer more of them, which may be what was lacking.
        while refused and _settle(model, build):
            build, refused = _build_graph(model)
        if refused:
            raise ConfigError(
                "import an ONNX model",
                f"{len(refused)} nodes without an equal here: {_list_refused(refused)}",
                "Export it with simpler ops, or add their handles to juggler.runtime.importers",
            )
        outputs = tuple(build.value(value.name) for value in model.graph.output)
        build.graph.output(outputs[0] if len(outputs) == 1 else outputs)
        network = build.finish("Imported")
        record_checks(network, compare_with_source(network, source))
        record_ends(network, map(spec_of, true_inputs(model.graph)), map(spec_of, model.graph.output))
        return network


def _build_graph(model: onnx.ModelProto) -> tuple[OnnxBuilder, list[tuple[str, str, str]]]:
    """Build the graph as far as it goes; return it with the kind, name and reason of what has no equal."""
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    build = OnnxBuilder(_shapes(model.graph), _types(model.graph), _opset(model))
    for tensor in model.graph.initializer:
        build.constants[tensor.name] = numpy_helper.to_array(tensor)
    for value in true_inputs(model.graph):
        build.values[value.name] = build.graph.placeholder(_identifier(value.name))
    refused = [
        refusal for index, node in enumerate(model.graph.node) if (refusal := _add(build, node, index))
    ]
    return build, refused


def _settle(model: onnx.ModelProto, build: OnnxBuilder) -> bool:
    """Turn sizes that are known now into constants, in place; say whether there were any."""
    known = {name: size for name, size in build.sizes.items() if _is_known(size)}
    remaining = [node for node in model.graph.node if node.output[0] not in known]
    has_settled = len(remaining) < len(model.graph.node)
    settled = [node.output[0] for node in model.graph.node if node.output[0] in known]
    replace_all(model.graph.node, remaining)
    model.graph.initializer.extend(numpy_helper.from_array(np.array(known[n], np.int64), n) for n in settled)
    return has_settled


def _is_known(size: object) -> bool:
    return all(isinstance(part, int) for part in (size if isinstance(size, list) else [size]))


def _add(build: OnnxBuilder, node: onnx.NodeProto, index: int) -> tuple[str, str, str] | None:
    """Add one node; return its kind, its name and the reason where it has no equal here, else nothing."""
    op = Op(
        kind=node.op_type,
        name=_identifier(node.name or f"{node.op_type}_{index}"),
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes=attributes_of(node),
    )
    try:
        if node.domain not in ("", "ai.onnx") or op.kind not in HANDLES:
            raise Unsupported("no handle")
        HANDLES[op.kind](build, op)
    except Unsupported as reason:
        for name in op.outputs:
            build.values[name] = build.missing()
        return op.kind, node.name or op.outputs[0], str(reason)
    return None


def _list_refused(refused: list[tuple[str, str, str]]) -> str:
    """Return what is lacking, one entry a kind of op and a reason, with its count and the nodes' names."""
    groups: dict[tuple[str, str], list[str]] = {}
    for kind, name, reason in refused:
        groups.setdefault((kind, reason), []).append(name)
    return "; ".join(
        f"{f'{len(names)} ' if len(names) > 1 else ''}{kind} ({', '.join(names[:SHOWN])}"
        f"{', ...' if len(names) > SHOWN else ''}): {reason}"
        for (kind, reason), names in groups.items()
    )


def _opset(model: onnx.ModelProto) -> int:
    return next((int(s.version) for s in model.opset_import if s.domain in ("", "ai.onnx")), 1)


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int | str, ...]]:
    """Return the shapes that are known: numbers, and names of free sizes."""
    known = {}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        if value.type.tensor_type.HasField("shape"):
            dims = enumerate(value.type.tensor_type.shape.dim)
            known[value.name] = tuple(
                d.dim_value if d.HasField("dim_value") else d.dim_param or f"{value.name}:{axis}"
                for axis, d in dims
            )
    for tensor in graph.initializer:
        known[tensor.name] = tuple(tensor.dims)
    return known


def _types(graph: onnx.GraphProto) -> dict[str, int]:
    values = [*graph.input, *graph.value_info, *graph.output]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def _identifier(name: str) -> str:
    """Return a name that Python and torch.fx accept."""
    word = re.sub(r"\W+", "_", name).strip("_").lower() or "node"
    return f"n{word}" if word[0].isdigit() else word


IMPORTER = OnnxImporter()
