"""OpenVINO on the CPU, held to the precision that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from juggler.errors import ArtefactError, ConfigError
from juggler.extras import install_command
from juggler.nouns import TensorSpec
from juggler.packages import BackendStatus, status_of
from juggler.runtime.precision import BFLOAT16, FLOAT32, INT8, require_precision
from juggler.runtime.session import Array, Session, Source, label_of, owned

if TYPE_CHECKING:
    from pathlib import Path


class OpenVinoSession(Session):
    """A network compiled twice: for batch 1, with sizes fixed and buffers in place, and for any batch.

    Fixed sizes save about 10 us a call (a detector's flat network, one thread: 14 against 24 us), which
    matters at batch 1 and nowhere else; so other batches share one network, which is compiled when the
    first of them comes.
    """

    def __init__(self, graph: Path | bytes, threads: int | None, precision: str) -> None:
        import openvino as ov  # noqa: PLC0415

        self._tensor, self._core = ov.Tensor, ov.Core()
        self._config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # Left alone, OpenVINO takes bf16 on CPUs that have it, and the exactness is gone. It is about
            # what is not quantised: int8 graphs run in int8 beneath either hint.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == BFLOAT16 else "f32",
        }
        if threads:
            self._config["INFERENCE_NUM_THREADS"] = threads
        try:
            self._model = self._core.read_model(graph if isinstance(graph, bytes) else str(graph))
            super().__init__("openvino", _specs(self._model.inputs), _specs(self._model.outputs))
            self._one = self._fixed() if self._only_batch_is_free() else None
            self._any = None if self._one else self._request(self._model)
        except RuntimeError as error:
            raise ArtefactError(
                f"open {label_of(graph)} with OpenVINO",
                _last_line(error),
                "Export the network again, or update openvino if the model is newer than it",
            ) from error
        if self._one:
            self._places = [self._one.get_input_tensor(i).data for i in range(len(self.inputs))]
            self._results = [self._one.get_output_tensor(i).data for i in range(len(self.outputs))]

    def _run(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        try:
            if self._one and arrays[0].shape[0] == 1:
                for place, array in zip(self._places, arrays, strict=True):
                    np.copyto(place, array)
                self._one.infer()
                return tuple(result.copy() for result in self._results)
            return self._run_any(arrays)
        except RuntimeError as error:
            raise ConfigError(
                "run openvino", _last_line(error), "Check the sizes against the network"
            ) from error

    def _run_any(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        if self._any is None:
            self._any = self._request(self._model)
        held = [owned(array) for array in arrays]  # shared with the request while it runs
        for index, array in enumerate(held):
            self._any.set_input_tensor(index, self._tensor(array, shared_memory=True))
        self._any.infer()
        return tuple(self._any.get_output_tensor(i).data.copy() for i in range(len(self.outputs)))

    def _close(self) -> None:
        self._places, self._results = [], []
        self._one = self._any = self._model = self._core = None

    def _only_batch_is_free(self) -> bool:
        return all(spec.shape and None not in spec.shape[1:] for spec in self.inputs)

    def _fixed(self) -> Any:
        model = self._model.clone()
        model.reshape({i: [1, *spec.shape[1:]] for i, spec in enumerate(self.inputs)})
        return self._request(model)

    def _request(self, model: Any) -> Any:
        return self._core.compile_model(model, "CPU", self._config).create_infer_request()


class OpenVino:
    """Runs ONNX graphs on the CPU through OpenVINO."""

    name = "openvino"
    takes: Literal["onnx", "module"] = "onnx"

    def status(self) -> BackendStatus:
        """Say whether OpenVINO is installed."""
        return status_of({"openvino": "openvino"}, install_command("train"))

    def precisions(self) -> tuple[str, ...]:
        """Name float32, int8, and bfloat16 where OpenVINO says that this CPU computes in it."""
        if not self.status().available:
            return ()
        import openvino as ov  # noqa: PLC0415

        has_bfloat16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return (FLOAT32, BFLOAT16, INT8) if has_bfloat16 else (FLOAT32, INT8)

    def open(self, source: Source, *, threads: int | None, precision: str = FLOAT32) -> OpenVinoSession:
        """Open a session.

        Raises:
            Unavailable: it does not have that precision on this machine.
            ArtefactError: the source is no ONNX model, or uses what this release cannot run.
        """
        if source.graph is None:
            raise ConfigError("open openvino", "a source without a graph", "Use open_session")
        require_precision(self, precision, source)
        return OpenVinoSession(source.graph, threads, precision)


def _specs(ports: Any) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            port.any_name,
            tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape),
            np.dtype(port.element_type.to_dtype()).name,
        )
        for port in ports
    )


def _last_line(error: Exception) -> str:
    # OpenVINO puts the place in its sources first and the reason last.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


BACKEND = OpenVino()
