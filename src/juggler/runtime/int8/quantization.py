"""Quantise ONNX graphs to int8 after training, by a tool of `runtime/int8/quantizers`.

What is written is a QDQ graph: float ops between pairs of QuantizeLinear and DequantizeLinear, which each
runtime fuses into integer kernels. It stays one ONNX file with the ends and the metadata that it had, and
opens on every backend that has int8.

In a flat network the skip connection that a kernel has taken in is a 1 among weights of a few hundredths,
and would set their scale: see `int8.skips`, which takes it out again. Untrained, on random inputs, depths
18 and 50: 20 dB and 16 dB with the skips in the kernels, 36 dB both with them beside the kernels; plain
networks have 41 dB. At depth 18 it costs about 3 % of the time on ONNX Runtime and 12 % on OpenVINO. Compare
the answers before int8 is used: `int8.certified` does, and refuses what is too far off.
"""

from __future__ import annotations

import functools
import inspect
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np

from juggler.errors import ArtefactError, ConfigError, Unavailable, first_line
from juggler.extras import install_command
from juggler.nouns import TensorSpec
from juggler.packages import BackendStatus, is_installed
from juggler.reading.onnx_contents import STANDARD_DOMAINS
from juggler.reading.onnx_files import read_onnx
from juggler.reading.request import Request
from juggler.registry import Registry
from juggler.runtime.int8.held_out import Pieces, in_pieces
from juggler.runtime.onnx_graphs.editing import weights_of
from juggler.runtime.open import open_session
from juggler.runtime.precision import distance, is_quantized
from juggler.runtime.session import Array

ASKED = "quantise an ONNX graph"
OLDEST = 13  # of the opsets: scales a channel came with it
LIFTED = 1e-5  # of the largest value: what lifting an opset may change
PIECE = 8  # inputs run at a time, where the batch is free
P = ParamSpec("P")
R = TypeVar("R")
BIASED = frozenset({"Conv", "ConvTranspose", "Gemm"})


class Quantizer(Protocol):
    """What quantises graphs; each file of `juggler.runtime.int8.quantizers` offers one as `QUANTIZER`.

    Attributes:
        name: as the file is called, and the distribution whose release is recorded.
        backend: the backend that its graphs are meant for.
    """

    name: str
    backend: str

    def status(self) -> BackendStatus:
        """Say whether it can work here; never raises, and imports nothing heavy."""
        ...

    def quantize(
        self,
        model: Any,
        feeds: Sequence[dict[str, Array]],
        *,
        float_layers: Sequence[str],
        reduce_range: bool,
    ) -> Any:
        """Return the `onnx.ModelProto` as a QDQ graph; the one given stays as it is.

        Args:
            model: in float32, batch norms folded, every node with a name of its own.
            feeds: the calibration, an array an input by name.
            float_layers: names of nodes to leave in float32.
            reduce_range: hold weights to 7 bits.

        Raises:
            ValueError, RuntimeError, KeyError, TypeError: it cannot; the text says why.
        """
        ...


def accept_spare(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function take `float_layers` under its name of release 0.1.0, with a warning."""

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        if "spare" in options:
            _warn_of_spare(f"of {function.__name__}")
            options["float_layers"] = options.pop("spare")
        return function(*arguments, **options)

    return call


def _warn_of_spare(place: str) -> None:
    text = f"The argument spare {place} is now float_layers; the old name goes with the next release"
    warnings.warn(text, DeprecationWarning, stacklevel=3)


QUANTIZERS: Registry[Quantizer] = Registry(
    "quantizer", "juggler.runtime.int8.quantizers", alias="juggler.quantizers"
)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A float32 graph and its calibration, ready for any tool, any number of times.

    Attributes:
        model: an `onnx.ModelProto`, constants and batch norms folded, every node with a name of its own.
        feeds: the calibration in pieces that the graph takes, an array an input by name.
        metadata: what the graph carries.
    """

    model: Any
    feeds: tuple[dict[str, Array], ...]
    metadata: Mapping[str, str]


@accept_spare
def quantize(
    graph: Path | bytes,
    calibration: Array | Sequence[Array],
    *,
    tool: str = "onnxruntime",
    float_layers: Sequence[str] = (),
    keep_skips_in_kernels: bool = False,
    reduce_range: bool = False,
) -> bytes:
    """Quantise a float32 graph to int8; return the graph, of the same ends, free batch and metadata.

    The scales come from the values that each feature takes on the calibration inputs, so these should be like
    what the network will meet: a hundred or so of the training data, not of the test data.

    Args:
        graph: path or bytes of an ONNX model in float32.
        calibration: an array, batch first, or one an input of the graph.
        tool: `onnxruntime`, `nncf`, or another of `QUANTIZERS`.
        float_layers: names of nodes to leave in float32, as `int8.certified` and `int8.sensitivity` give
            them.
        keep_skips_in_kernels: leave flat kernels as they are, which is less work and much less accurate;
            otherwise their identities become additions.
        reduce_range: hold weights to 7 bits. ONNX Runtime needs it on x86 processors without VNNI (before
            about 2019), whose sums of 8-bit products saturate; elsewhere it only costs accuracy, 5 to 7 dB.

    Raises:
        ConfigError: no calibration inputs, of another shape or type than the graph's, or with NaN or
            infinities; a graph that is quantised already; a tool or a node that is not there.
        ArtefactError: no ONNX model, or one that the tool cannot quantise.
        Unavailable: the tool, or the onnx package, is not installed.
    """
    chosen = available(tool)
    prepared = prepare(graph, calibration, keep_skips_in_kernels=keep_skips_in_kernels)
    return quantize_prepared(prepared, chosen, float_layers=float_layers, reduce_range=reduce_range)


def available(tool: str) -> Quantizer:
    """Return the tool of that name.

    Raises:
        ConfigError: there is none.
        Unavailable: it cannot work here; the message says what is missing and what to do.
    """
    if not is_installed("onnx"):
        raise Unavailable(ASKED, "not installed: onnx", f"To mend it: {install_command('train')}")
    chosen = QUANTIZERS.get(tool)
    status = chosen.status()
    if not status.available:
        raise Unavailable(f"{ASKED} with {tool}", f"{status.missing}", f"To mend it: {status.remedy}")
    return chosen


def prepare(
    graph: Path | bytes, calibration: Array | Sequence[Array], *, keep_skips_in_kernels: bool = False
) -> Prepared:
    """Check a graph and its calibration, and bring the graph into the form that the tools take.

    Raises:
        ConfigError: calibration inputs or a graph that cannot work; see `quantize`.
        ArtefactError: no ONNX model, or one that cannot be folded.
    """
    inputs, pieces = _check_inputs(graph, as_arrays(calibration))
    from juggler.runtime.int8.skips import split_skips  # noqa: PLC0415

    model = read_onnx(graph, Request(ASKED, "Export it again"))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    model = _lift(model, pieces[0])
    if not keep_skips_in_kernels:
        split_skips(model)
    names = [spec.name for spec in inputs]
    feeds = tuple(dict(zip(names, piece, strict=True)) for piece in pieces)
    return Prepared(_separate_names_and_biases(_fold(model)), feeds, metadata)


def quantize_prepared(
    prepared: Prepared, tool: Quantizer, *, float_layers: Sequence[str] = (), reduce_range: bool = False
) -> bytes:
    """Quantise what `prepare` has made; return the graph.

    Raises:
        ConfigError: a node of `float_layers` that is not there.
        ArtefactError: the tool cannot quantise it.
    """
    import onnx  # noqa: PLC0415  # the base install has it not

    from juggler.runtime.int8.float_layers import guard_float_layers  # noqa: PLC0415

    absent = sorted({*float_layers} - {node.name for node in prepared.model.graph.node})
    if absent:
        raise ConfigError(
            ASKED, f"no node {absent[0]!r} to leave in float32", "Take names from runtime.int8.sensitivity"
        )
    options: dict[str, Any] = {"float_layers": float_layers, "reduce_range": reduce_range}
    if "spare" in inspect.signature(tool.quantize).parameters:
        _warn_of_spare(f"of the quantizer {tool.name}")
        options["spare"] = options.pop("float_layers")
    try:
        quantized = tool.quantize(prepared.model, prepared.feeds, **options)
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _refusal(error) from error
    guard_float_layers(quantized, float_layers)
    del quantized.metadata_props[:]  # tools leave notes of their own there
    onnx.helper.set_model_props(quantized, dict(prepared.metadata))
    content: bytes = quantized.SerializeToString(deterministic=True)
    return content


def as_arrays(inputs: Array | Sequence[Array]) -> tuple[Array, ...]:
    """Return one array an input of the graph.

    Raises:
        ConfigError: there is nothing in them, or NaN or infinities are.
    """
    candidates: Sequence[Any] = (inputs,) if hasattr(inputs, "shape") else tuple(inputs)
    arrays = tuple(
        array for array in candidates if isinstance(array, np.ndarray) and array.dtype.kind in "fiub"
    )
    if len(arrays) < len(candidates):
        kinds = sorted({type(candidate).__name__ for candidate in candidates})
        raise ConfigError(ASKED, f"inputs of type {', '.join(kinds)}", "Give numpy arrays, batch first")
    if not arrays or any(array.ndim == 0 or array.size == 0 for array in arrays):
        raise ConfigError(ASKED, "no calibration inputs", "Give a hundred or so of the training data")
    for array in arrays:
        if not np.isfinite(array).all():
            raise ConfigError(ASKED, "NaN or infinities in the inputs", "Leave those rows out")
    counts = {len(array) for array in arrays}
    if len(counts) > 1:
        raise ConfigError(
            ASKED, f"calibration arrays of {sorted(counts)} rows", "Give as many rows for each input"
        )
    return arrays


def fixed_batch(inputs: Sequence[TensorSpec]) -> int | None:
    """Return the batch that a graph is held to; None where it is free."""
    return inputs[0].shape[0] if inputs and inputs[0].shape else None


def _check_inputs(graph: Path | bytes, arrays: tuple[Array, ...]) -> tuple[tuple[TensorSpec, ...], Pieces]:
    """Return the graph's inputs and the calibration in pieces that the graph is seen to take."""
    with open_session(graph) as session:
        if is_quantized(graph):
            raise ConfigError(ASKED, "it is quantised already", "Start from the float32 graph")
        # A fixed batch takes whole pieces only; the rows left over are not calibrated on.
        pieces = in_pieces(arrays, fixed_batch(session.inputs), PIECE)
        session.run(*pieces[0])
        return session.inputs, pieces


def _lift(model: Any, arrays: tuple[Array, ...]) -> Any:
    """Return a model of an old opset in the oldest that has scales a channel, seen to compute the same.

    Raises:
        ArtefactError: it cannot be converted, or computes something else then.
    """
    opset = next((entry.version for entry in model.opset_import if entry.domain in STANDARD_DOMAINS), OLDEST)
    if opset >= OLDEST:
        return model
    import onnx  # noqa: PLC0415  # the base install has it not
    from onnx import version_converter  # noqa: PLC0415

    from juggler.runtime.onnx_graphs.editing import replace_all, true_inputs  # noqa: PLC0415

    request = Request(f"{ASKED} of opset {opset}", f"Export it with opset {OLDEST} or later")
    # Before version 4 of the format weights had to stand among the inputs, too.
    model.ir_version = max(model.ir_version, 4)
    replace_all(model.graph.input, true_inputs(model.graph))
    try:
        lifted = version_converter.convert_version(model, OLDEST)
        onnx.checker.check_model(lifted)
    except Exception as error:  # of C++, where anything is a RuntimeError or worse
        raise request.refusal(f"it cannot be lifted to opset {OLDEST} ({first_line(error)})") from error
    with open_session(model.SerializeToString()) as before, open_session(lifted.SerializeToString()) as after:
        difference = distance(before.run(*arrays), after.run(*arrays))
    if not difference <= LIFTED:
        raise request.refusal(f"lifted to opset {OLDEST} it differs by {difference:.3g} of the largest value")
    return lifted


def _fold(model: Any) -> Any:
    """Fold what can be folded: batch norms left alone would stay float between integer kernels."""
    import onnx  # noqa: PLC0415  # the base install has it not
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        source, folded = Path(folder) / "source.onnx", Path(folder) / "folded.onnx"
        onnx.save(model, str(source))  # of a model in memory it fails to read the constants that give sizes
        try:
            quant_pre_process(source, folded, skip_symbolic_shape=True)
        except (ValueError, RuntimeError, KeyError, TypeError) as error:
            raise _refusal(error) from error
        return onnx.load(str(folded))


def _separate_names_and_biases(model: Any) -> Any:
    """Give every node a name, and every layer a bias, of its own, in place."""
    stored = weights_of(model.graph)
    names: set[str] = set()
    biases: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in names:
            node.name = f"{node.name or node.op_type}_{index}"
        names.add(node.name)
        if node.op_type not in BIASED or len(node.input) < 3 or node.input[2] not in stored:
            continue
        # Folding keeps one of biases that are equal; a tool that mends one would change them all.
        if node.input[2] in biases:
            copy = model.graph.initializer.add()
            copy.CopyFrom(stored[node.input[2]])
            copy.name = node.input[2] = f"{node.name}.bias"
        biases.add(node.input[2])
    return model


def _refusal(error: Exception) -> ArtefactError:
    return ArtefactError(ASKED, first_line(error), "Export the network again with juggler.export")
