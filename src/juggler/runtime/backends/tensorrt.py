"""TensorRT 10 on NVIDIA GPUs.

Not run: written against the published Python API of TensorRT 10 (builder, ONNX parser, optimisation
profile, `execute_async_v3`); no machine with it was at hand. Device buffers are torch CUDA tensors.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from juggler.errors import ArtefactError, ConfigError, Unavailable
from juggler.nouns import TensorSpec
from juggler.packages import BackendStatus, is_installed, release_of
from juggler.runtime.precision import FLOAT32, require_precision
from juggler.runtime.session import Array, Session, Source, label_of, owned

INSTALL = "pip install 'tensorrt-cu12>=10', with a CUDA build of torch"
WORKSPACE_BYTES = 1 << 30
BATCHES = (1, 1, 64)  # smallest, the one to be fastest, largest


class TensorRtSession(Session):
    """An engine built from the graph for this GPU, in memory, with float32 arithmetic (no TF32)."""

    def __init__(self, graph: Path | bytes) -> None:
        import tensorrt as trt  # noqa: PLC0415
        import torch  # noqa: PLC0415

        self._torch = torch
        logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(logger)
        self._engine = self._runtime.deserialize_cuda_engine(_plan(trt, logger, graph))
        if self._engine is None:
            raise _not_built(graph, "the engine cannot be loaded again")
        self._context = self._engine.create_execution_context()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inward = [n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        outward = [n for n in names if n not in inward]
        super().__init__("tensorrt", self._specs(trt, inward), self._specs(trt, outward))

    def _run(self, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        torch, context = self._torch, self._context
        if arrays[0].shape[0] > BATCHES[-1]:
            parts = [
                self._run(tuple(array[i : i + BATCHES[-1]] for array in arrays))
                for i in range(0, arrays[0].shape[0], BATCHES[-1])
            ]
            return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
        with torch.cuda.stream(self._stream):
            # Held until the stream is done: the engine knows only their addresses.
            inputs = [torch.from_numpy(owned(array)).cuda() for array in arrays]
            for spec, value in zip(self.inputs, inputs, strict=True):
                self._must(context.set_input_shape(spec.name, tuple(value.shape)), spec.name)
                self._must(context.set_tensor_address(spec.name, value.data_ptr()), spec.name)
            outputs = []
            for spec in self.outputs:
                shape = tuple(context.get_tensor_shape(spec.name))
                value = torch.empty(shape, dtype=getattr(torch, spec.dtype), device="cuda")
                self._must(context.set_tensor_address(spec.name, value.data_ptr()), spec.name)
                outputs.append(value)
            self._must(context.execute_async_v3(self._stream.cuda_stream), "the engine")
        self._stream.synchronize()
        return tuple(value.cpu().numpy() for value in outputs)

    def _close(self) -> None:
        # In this order: a context must go before its engine, an engine before its runtime.
        self._context = None
        self._engine = None
        self._runtime = None

    def _specs(self, trt: Any, names: list[str]) -> tuple[TensorSpec, ...]:
        specs = []
        for name in names:
            shape = tuple(None if size < 0 else size for size in self._engine.get_tensor_shape(name))
            specs.append(
                TensorSpec(name, shape, np.dtype(trt.nptype(self._engine.get_tensor_dtype(name))).name)
            )
        return tuple(specs)

    def _must(self, succeeded: bool, what: str) -> None:
        if not succeeded:
            raise ConfigError("run tensorrt", f"{what} was refused", "Check the sizes against the network")


class TensorRt:
    """Runs ONNX graphs on an NVIDIA GPU; threads mean nothing to it."""

    name = "tensorrt"
    takes: Literal["onnx", "module"] = "onnx"

    def status(self) -> BackendStatus:
        """Say whether TensorRT, a CUDA build of torch and NVIDIA's driver are there."""
        release = next(
            (r for r in map(release_of, ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")) if r), None
        )
        torch_release = release_of("torch") or ""
        lacks = {
            "the package tensorrt": not is_installed("tensorrt"),
            "torch": not is_installed("torch"),
            "a CUDA build of torch": is_installed("torch") and not _built_for_cuda(torch_release),
            "NVIDIA's driver": not Path("/proc/driver/nvidia/version").exists(),
        }
        missing = [what for what, is_missing in lacks.items() if is_missing]
        if not missing:
            return BackendStatus(True, release)
        return BackendStatus(False, release, f"not here: {', '.join(missing)}", INSTALL)

    def precisions(self) -> tuple[str, ...]:
        """Name float32 alone: the others wait for a machine to try them on."""
        return (FLOAT32,) if self.status().available else ()

    def open(self, source: Source, *, threads: int | None, precision: str = FLOAT32) -> TensorRtSession:
        """Build an engine, which takes seconds to minutes, and open a session.

        Raises:
            Unavailable: TensorRT is installed but cannot be loaded, or a precision other than float32.
            ArtefactError: the graph cannot be parsed or built.
        """
        if source.graph is None:
            raise ConfigError("open tensorrt", "a source without a graph", "Use open_session")
        require_precision(self, precision, source)
        try:
            return TensorRtSession(source.graph)
        except ImportError as error:
            raise Unavailable("open tensorrt", str(error), f"To mend it: {INSTALL}") from error


def _plan(trt: Any, logger: Any, graph: Path | bytes) -> Any:
    """Parse the graph and build the engine; return it serialised."""
    builder = trt.Builder(logger)
    network = builder.create_network(0)  # TensorRT 10 knows explicit batches only
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse(graph) if isinstance(graph, bytes) else parser.parse_from_file(str(graph))
    if not parsed:
        reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise _not_built(graph, reasons or "the parser gave no reason")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of mantissa would not pass the parity check
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        value = network.get_input(index)
        tail = tuple(value.shape)[1:]
        if any(size < 0 for size in tail):
            raise _not_built(graph, f"input {value.name!r} has free sizes besides the batch")
        profile.set_shape(value.name, *((batch, *tail) for batch in BATCHES))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _not_built(graph, "the builder gave no engine")
    return plan


def _not_built(graph: Path | bytes, reason: str) -> ArtefactError:
    return ArtefactError(
        f"build a TensorRT engine from {label_of(graph)}", reason, "Export the network again"
    )


def _built_for_cuda(release: str) -> bool:
    # Read from the package's own version file: importing torch takes a second.
    spec = find_spec("torch")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        return False
    text = (Path(folders[0]) / "version.py").read_text(encoding="utf-8", errors="replace")
    return "+cpu" not in release and "cuda: Optional[str] = None" not in text


BACKEND = TensorRt()
