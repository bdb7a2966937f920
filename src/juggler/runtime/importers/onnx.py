"""Read ONNX models as torch.fx graphs of plain torch modules and functions, the batch free.

One handle an op, in `_onnx_ops.HANDLES`; an op without a handle, or with attributes that torch has no
equal for, is refused: the error names every such node at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from torch import fx

from juggler.errors import ArtefactError, ConfigError, JugglerError, first_line
from juggler.reading.request import name_of
from juggler.runtime.importers._comparison import compare_with_source, record_checks
from juggler.runtime.importers._onnx_graph import OnnxBuilder, Op, Size, Unsupported, identifier, is_known
from juggler.runtime.importers._onnx_ops import HANDLES
from juggler.runtime.importers._onnx_shapes import SIZE_HANDLES
from juggler.runtime.modules import record_ends
from juggler.runtime.onnx_graphs.branches import inline_branches
from juggler.runtime.onnx_graphs.constants import fold_constants
from juggler.runtime.onnx_graphs.editing import attributes_of, replace_all, true_inputs
from juggler.runtime.onnx_graphs.ends import load_model, spec_of
from juggler.runtime.onnx_graphs.shape_inference import infer_without_weights

SHOWN = 4  # names of nodes of one kind that an error lists
LARGEST = 1 << 28  # numbers of one value, for one input: 1 GiB in float32
TOO_LARGE = "it makes more numbers out of constants than a network needs"


class OnnxImporter:
    """Turns ONNX graphs into graph modules."""

    name = "onnx"

    def load(self, source: Path | bytes, shapes: Sequence[Sequence[int]] | None = None) -> fx.GraphModule:
        """Read the network as a graph module in evaluation mode.

        Args:
            source: the file, or its bytes.
            shapes: one shape an input, at which the network is compared with the file beside others.

        Raises:
            ArtefactError: the file is missing or is no ONNX model.
            ConfigError: ops without an equal here; the message names each with its node.
            Refused: as imported it computes something else than the file does in ONNX Runtime.
        """
        try:
            model = load_model(source)
            network = _read(model)
            record_checks(network, compare_with_source(network, source, shapes))
            record_ends(network, map(spec_of, true_inputs(model.graph)), map(spec_of, model.graph.output))
        except JugglerError:
            raise
        except Exception as error:  # whatever onnx, numpy or torch make of a strange file
            reason = f"it cannot be read ({type(error).__name__}: {first_line(error)})"
            remedy = "Check it with onnx.checker and onnx.shape_inference, and export it again"
            raise ArtefactError(f"import {name_of(source)}", reason, remedy) from error
        return network


def _read(model: onnx.ModelProto) -> fx.GraphModule:
    too_large = _simplify(model)
    build, refused = _build_graph(model, too_large)
    # What was computed from known sizes lets ONNX infer more of them, which may be what was lacking.
    while refused and _settle(model, build):
        too_large = _simplify(model)
        build, refused = _build_graph(model, too_large)
    if refused:
        raise ConfigError(
            "import an ONNX model",
            f"{len(refused)} nodes without an equal here: {_list_refused(refused)}",
            "Export it with simpler ops, or add their handles to juggler.runtime.importers",
        )
    outputs = tuple(build.value(value.name) for value in model.graph.output)
    build.graph.output(outputs[0] if len(outputs) == 1 else outputs)
    network = build.finish("Imported")
    network.graph.eliminate_dead_code()  # computations on free sizes that nothing has needed
    network.recompile()
    return network


def _simplify(model: onnx.ModelProto) -> frozenset[str]:
    """Fold constants and take the branches that are known, in place; return what was too large to fold."""
    too_large = fold_constants(model)
    while inline_branches(model.graph):
        too_large = fold_constants(model)
    return too_large


def _build_graph(
    model: onnx.ModelProto, too_large: frozenset[str]
) -> tuple[OnnxBuilder, list[tuple[str, str, str]]]:
    """Build the graph as far as it goes; return it with the kind, name and reason of what has no equal."""
    graph = infer_without_weights(model).graph
    build = OnnxBuilder(_shapes(graph), _types(graph), _opset(model))
    for tensor in model.graph.initializer:
        build.constants[tensor.name] = numpy_helper.to_array(tensor)
    for value in true_inputs(model.graph):
        build.values[value.name] = build.graph.placeholder(identifier(value.name))
    refused = [
        refusal
        for index, node in enumerate(model.graph.node)
        if (refusal := _add(build, node, index, too_large))
    ]
    return build, refused


def _settle(model: onnx.ModelProto, build: OnnxBuilder) -> bool:
    """Turn sizes that are known now into constants, in place; say whether there were any."""
    known = {name: size for name, size in build.sizes.items() if is_known(size)}
    remaining = [node for node in model.graph.node if node.output[0] not in known]
    settled = [node.output[0] for node in model.graph.node if node.output[0] in known]
    replace_all(model.graph.node, remaining)
    for name in settled:
        kind = build.dtype(name) if name in build.types else np.int64
        model.graph.initializer.append(numpy_helper.from_array(np.array(known[name], kind), name))
    return bool(settled)


def _add(
    build: OnnxBuilder, node: onnx.NodeProto, index: int, too_large: frozenset[str]
) -> tuple[str, str, str] | None:
    """Add one node; return its kind, its name and the reason where it has no equal here, else nothing."""
    name = node.name or f"{node.op_type}_{index}"
    try:
        if node.domain not in ("", "ai.onnx"):
            raise Unsupported("no handle")
        _check_size(build, node, too_large)
        op = Op(node.op_type, identifier(name), tuple(node.input), tuple(node.output), attributes_of(node))
        _handle(build, op)
    except Unsupported as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001  # whatever numpy or torch make of strange attributes
        reason = f"it cannot be read ({type(error).__name__}: {first_line(error)})"
    else:
        return None
    for output in node.output:
        build.values[output] = build.missing()
    return node.op_type, node.name or (node.output[0] if node.output else name), reason


def _handle(build: OnnxBuilder, op: Op) -> None:
    """Let the op's handle build it: the one for sizes where it computes with sizes."""
    computes_sizes = any(name in build.sizes for name in op.inputs)
    if computes_sizes and op.kind in SIZE_HANDLES and not any(name in build.values for name in op.inputs):
        SIZE_HANDLES[op.kind](build, op)
    elif op.kind in HANDLES:
        HANDLES[op.kind](build, op)
    else:
        raise Unsupported("no handle")


def _check_size(build: OnnxBuilder, node: onnx.NodeProto, too_large: frozenset[str]) -> None:
    for name in node.output:
        if name in too_large:
            raise Unsupported(TOO_LARGE)
        sizes = [size for size in build.shapes.get(name, ()) if isinstance(size, int)]
        if np.prod(sizes, dtype=float) > LARGEST:
            raise Unsupported(
                f"it makes a value of {'x'.join(map(str, sizes))}, more than {LARGEST:,} numbers"
            )


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


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[Size, ...]]:
    """Return the shapes that are known: numbers, and names of free sizes."""
    known: dict[str, tuple[Size, ...]] = {}
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
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


IMPORTER = OnnxImporter()
