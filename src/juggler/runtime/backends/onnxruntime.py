"""ONNX Runtime on the CPU: the backend of the base install, and the one that detection runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from juggler.errors import ArtefactError, ConfigError, first_line
from juggler.nouns import TensorSpec
from juggler.packages import BackendStatus, status_of
from juggler.reading.request import Request
from juggler.runtime.precision import FLOAT32, INT8, require_precision
from juggler.runtime.session import Array, Session, Source, label_of

if TYPE_CHECKING:
    from pathlib import Path

FATAL = 4  # of ONNX Runtime's log levels: what goes wrong arrives as an exception anyway
SPIN_US = "200"  # how long a thread that has nothing to do looks for work before it sleeps
ELEMENT_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


def failures() -> tuple[type[Exception], ...]:
    """Return the exceptions that ONNX Runtime raises; they share no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415

    return (
        state.EPFail,
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoModel,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
    )


class OnnxRuntimeSession(Session):
    """One `InferenceSession`; `metadata` holds the model's own metadata."""

    def __init__(self, graph: Path | bytes, threads: int | None, *, optimise: bool = True) -> None:
        import onnxruntime as ort  # noqa: PLC0415

        self._failures = failures()
        request = f"open {label_of(graph)} with ONNX Runtime"
        remedy = "Export the network again, or update onnxruntime if the model is newer than it"
        try:
            # Names that are no text end in errors of Python's, not of the runtime's.
            with Request(request, remedy).refusing("model that it can open"):
                inner = ort.InferenceSession(
                    graph if isinstance(graph, bytes) else str(graph),
                    session_options(threads, optimise=optimise),
                    providers=["CPUExecutionProvider"],
                )
                self.metadata: dict[str, str] = dict(inner.get_modelmeta().custom_metadata_map)
                inputs, outputs = _specs(inner.get_inputs()), _specs(inner.get_outputs())
        except self._failures as error:
            raise ArtefactError(request, first_line(error, 300), remedy) from error
        self._inner: Any = inner
        super().__init__("onnxruntime", inputs, outputs)
        self._input_names = [spec.name for spec in inputs]
        self._output_names = [spec.name for spec in outputs]

    def _run(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        feed = dict(zip(self._input_names, arrays, strict=True))
        try:
            return tuple(self._inner.run(self._output_names, feed))
        except self._failures as error:
            problem = first_line(error, 300)
            raise ConfigError("run onnxruntime", problem, "Check the sizes against the network") from error

    def _close(self) -> None:
        self._inner = None


class OnnxRuntime:
    """Runs ONNX graphs on the CPU, every graph optimisation on."""

    name = "onnxruntime"
    takes: Literal["onnx", "module"] = "onnx"

    def status(self) -> BackendStatus:
        """Say whether ONNX Runtime is installed."""
        return status_of({"onnxruntime": "onnxruntime"}, "pip install onnxruntime")

    def precisions(self) -> tuple[str, ...]:
        """Name float32 and int8: its CPU kernels know no convolution in bfloat16."""
        return (FLOAT32, INT8) if self.status().available else ()

    def open(self, source: Source, *, threads: int | None, precision: str = FLOAT32) -> OnnxRuntimeSession:
        """Open a session.

        Raises:
            Unavailable: it does not have that precision.
            ArtefactError: the source is no ONNX model, or uses what this release cannot run.
        """
        if source.graph is None:
            raise ConfigError("open onnxruntime", "a source without a graph", "Use open_session")
        require_precision(self, precision, source)
        return OnnxRuntimeSession(source.graph, threads)


def session_options(threads: int | None, *, optimise: bool = True) -> Any:
    """Return the options that every session here is opened with; None leaves the threads to the runtime."""
    import onnxruntime as ort  # noqa: PLC0415

    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL  # a chain has nothing to run side by side
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = FATAL
    if threads == 1:
        # One thread has nobody to wait for; spinning would only take the core from its neighbours.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Left alone, idle threads spin for about 28 ms and take the cores from whoever runs next: on 2 cores a
    # network that takes OpenVINO 6.6 ms took it 12.5 ms right after one on ONNX Runtime, and takes 7.2 ms
    # now. 200 us bridge the gap between calls that follow at once and cost them nothing; to stop at the end
    # of each call, as session.force_spinning_stop does, made a network of 0.20 ms take 0.28 ms. Releases that
    # do not know the entry pass over it.
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
    return options


def _specs(values: Any) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            value.name,
            tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape),
            ELEMENT_TYPES.get(value.type, value.type),
        )
        for value in values
    )


BACKEND = OnnxRuntime()
