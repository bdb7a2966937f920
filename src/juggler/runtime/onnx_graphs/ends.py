"""Load ONNX models, and say what they take and give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from juggler.errors import ArtefactError
from juggler.nouns import TensorSpec
from juggler.runtime.onnx_graphs.editing import declared_shape, true_inputs


def ends(source: Path | bytes) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Return the inputs and outputs that a model declares.

    Raises:
        ArtefactError: the file is missing or is no ONNX model.
    """
    graph = load_model(source).graph
    return tuple(map(spec_of, true_inputs(graph))), tuple(map(spec_of, graph.output))


def load_model(source: Path | bytes) -> onnx.ModelProto:
    """Read a model and check that it is one.

    Raises:
        ArtefactError: the file is missing or is no ONNX model.
    """
    what = "ONNX bytes" if isinstance(source, bytes) else str(source)
    remedy = "Export the network again"
    try:
        model = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(str(source))
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ArtefactError(f"import {what}", f"no valid ONNX model ({error})", remedy) from error
    except OSError as error:
        raise ArtefactError(f"import {what}", f"it cannot be read ({error.strerror})", remedy) from error
    return model


def spec_of(value: Any) -> TensorSpec:
    """Return what an input or an output is."""
    kind: npt.DTypeLike = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return TensorSpec(value.name, declared_shape(value) or (), np.dtype(kind).name)
