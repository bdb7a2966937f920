"""Quantise ONNX graphs to int8 after training, by ONNX Runtime's own tool.

What is written is a QDQ graph: float ops between pairs of QuantizeLinear and DequantizeLinear, which each
runtime fuses into integer kernels. Activations are unsigned 8 bits with a zero point, one scale a tensor;
weights are signed 8 bits, symmetric, one scale an output channel. Tried on flat networks of depth 18 and 50
at 224 px, 2 cores with AMX: of all forms this one alone runs fast on both ONNX Runtime and OpenVINO (depth
50: 36 to 13 ms, and 26 to 1.8 ms). With signed activations OpenVINO falls back to float32 unless they are
symmetric, and symmetric ones cost ONNX Runtime another 40 %. One scale a channel instead of one a tensor is
worth 1 dB to 1.5 dB; leaving the first and the last layer in float is worth nothing, and doubles OpenVINO's
time.

In a flat network the skip connection that a kernel has taken in is a 1 among weights of a few hundredths,
and would set their scale: see `runtime.skips`, which takes it out again. Untrained, on random inputs, depths
18 and 50: 20 dB and 16 dB with the skips in the kernels, 36 dB both with them beside the kernels; plain
networks have 41 dB. At depth 18 it costs about 3 % of the time on ONNX Runtime and 12 % on OpenVINO. Compare
the answers (`precision.deviation`, and the accuracy) before int8 is used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from juggler.errors import ArtefactError, ConfigError, Unavailable
from juggler.nouns import TensorSpec
from juggler.runtime.open import open_session
from juggler.runtime.precision import is_quantized
from juggler.runtime.session import WORKSHOP, Array, is_installed

ASKED = "quantise an ONNX graph"
PIECE = 8  # inputs calibrated on at a time, where the batch is free


def quantize(
    graph: Path | bytes,
    calibration: Array | Sequence[Array],
    *,
    keep_skips_in_kernels: bool = False,
    reduce_range: bool = False,
) -> bytes:
    """Quantise a float32 graph to int8; return the graph, of the same ends, free batch and metadata.

    The scales come from the least and the greatest value that each feature takes on the calibration inputs,
    so these should be like what the network will meet: a hundred or so of the training data, not of the test
    data.

    Args:
        graph: path or bytes of an ONNX model in float32.
        calibration: an array, batch first, or one an input of the graph.
        keep_skips_in_kernels: leave flat kernels as they are, which is less work and much less accurate;
            otherwise their identities become additions.
        reduce_range: hold weights to 7 bits. ONNX Runtime needs it on x86 processors without VNNI (before
            about 2019), whose sums of 8-bit products saturate; elsewhere it only costs accuracy, 5 to 7 dB.

    Raises:
        ConfigError: no calibration inputs, of another shape or type than the graph's, or with NaN or
            infinities; or a graph that is quantised already.
        ArtefactError: no ONNX model, or one that the tool cannot quantise.
        Unavailable: the onnx package is not installed.
    """
    if not is_installed("onnx"):
        raise Unavailable(ASKED, "not installed: onnx", f"To mend it: {WORKSHOP}")
    arrays = (calibration,) if isinstance(calibration, np.ndarray) else tuple(calibration)
    inputs, pieces = _checked(graph, arrays)
    import onnx  # noqa: PLC0415  # the base install has it not

    from juggler.runtime.skips import split_skips  # noqa: PLC0415

    model = onnx.load_from_string(graph) if isinstance(graph, bytes) else onnx.load(str(graph))
    if not keep_skips_in_kernels:
        split_skips(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    reader = _Reader([spec.name for spec in inputs], pieces)
    quantized = _quantized(model, reader, reduce_range=reduce_range)
    del quantized.metadata_props[:]  # the tool leaves notes of its own there
    onnx.helper.set_model_props(quantized, metadata)
    content: bytes = quantized.SerializeToString(deterministic=True)
    return content


def _checked(
    graph: Path | bytes, arrays: tuple[Array, ...]
) -> tuple[tuple[TensorSpec, ...], list[tuple[Array, ...]]]:
    """Return the graph's inputs and the calibration in pieces that the graph is seen to take."""
    if not arrays or any(np.size(array) == 0 for array in arrays):
        raise ConfigError(ASKED, "no calibration inputs", "Give a hundred or so of the training data")
    for array in arrays:
        if not np.isfinite(array).all():
            raise ConfigError(ASKED, "NaN or infinities in the calibration inputs", "Leave those rows out")
    with open_session(graph) as session:
        if is_quantized(graph):
            raise ConfigError(ASKED, "it is quantised already", "Start from the float32 graph")
        first = session.inputs[0].shape if session.inputs else ()
        size = (first[0] if first else None) or PIECE
        counts = {len(array) for array in arrays}
        if len(counts) > 1:
            raise ConfigError(
                ASKED, f"calibration arrays of {sorted(counts)} rows", "Give as many rows for each input"
            )
        count = counts.pop()
        # A fixed batch takes whole pieces only; the rows left over are not calibrated on.
        whole = count - count % size if first and first[0] and count >= size else count
        pieces = [tuple(array[at : at + size] for array in arrays) for at in range(0, whole, size)]
        session.run(*pieces[0])
        return session.inputs, pieces


class _Reader:
    """Feed the calibration to the tool, piece by piece."""

    def __init__(self, names: Sequence[str], pieces: Sequence[tuple[Array, ...]]) -> None:
        self._feeds: Iterator[dict[str, Array]] = iter(
            [dict(zip(names, piece, strict=True)) for piece in pieces]
        )

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)


def _quantized(model: Any, reader: _Reader, *, reduce_range: bool) -> Any:
    """Fold what can be folded, calibrate and quantise; the tool works on files."""
    import onnx  # noqa: PLC0415
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        folded, written = Path(folder) / "folded.onnx", Path(folder) / "int8.onnx"
        try:
            # Batch norms that are not folded into their convs would stay float between integer kernels.
            quant_pre_process(model, folded, skip_symbolic_shape=True)
            quantize_static(
                folded,
                written,
                reader,
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # The last layer's sums are the answer: 8 bits are few for them, and float costs nothing.
                extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
            )
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
            raise ArtefactError(ASKED, first, "Export the network again with juggler.export") from error
        return onnx.load(str(written))
