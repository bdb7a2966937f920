"""Load ONNX models, and say what they take and give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

from juggler.nouns import TensorSpec
from juggler.reading.onnx_contents import check_external
from juggler.reading.onnx_files import read_onnx
from juggler.reading.request import Request
from juggler.runtime.onnx_graphs.editing import declared_shape, true_inputs


def ends(source: Path | bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the inputs and outputs that a model declares.

    Raises:
        ArtefactError: the file is missing or is no ONNX model.
    """
    graph = load_model(source).graph
    with Request("read the inputs and outputs of a model", "Export it again").refusing("tensor"):
        return tuple(map(spec_of, true_inputs(graph))), tuple(map(spec_of, graph.output))


def load_model(source: Path | bytes) -> onnx.ModelProto:
    """Read a model and check that it is one; sizes of -1 and 0 are free, as exporters mean them.

    Raises:
        ArtefactError: the file is missing or is no ONNX model, or its weights lie where they must not.
    """
    what = "ONNX bytes" if isinstance(source, bytes) else str(source)
    request = Request(f"import {what}", "Export the network again")
    check_external(source, request)
    model = read_onnx(source, request)
    try:
        with request.refusing("valid ONNX model"):
            # A model of more than 2 GB can be checked where it lies, and not as one message.
            onnx.checker.check_model(source if isinstance(source, bytes) else str(source))
            _free_sizes(model.graph)
    except (onnx.checker.ValidationError, EncodeError) as error:
        raise request.refusal(f"no valid ONNX model ({error})") from error
    return model


def _free_sizes(graph: onnx.GraphProto) -> None:
    for value in [*graph.input, *graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value <= 0:
                dim.ClearField("dim_value")


def spec_of(value: Any) -> TensorSpec:
    """Return what an input or an output is."""
    kind: npt.DTypeLike = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return TensorSpec(value.name, declared_shape(value) or (), np.dtype(kind).name)
