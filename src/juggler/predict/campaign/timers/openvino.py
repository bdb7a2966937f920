"""OpenVINO: a kernel's time from its performance counters, which time every node of the last call.

What converts the input stands before the kernel and counts as `pre`, what converts the output stands after
it and counts as `post`; so do the copies into and out of its tensors. Its own order of channels is the last;
a kernel whose input is reordered to it is called blocked here as elsewhere.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from juggler.errors import ConfigError
from juggler.predict.campaign.timing import PhaseTimings, PluginProfiler, unsupported
from juggler.predict.graphs.kernel_graph import build
from juggler.predict.kernels.sizes import INT8
from juggler.predict.kernels.spec import KernelSpec

MOVES = ("Parameter", "Input", "Result", "Output", "Reorder", "Constant", "Const", "Reshape", "Convert")
RUN = "EXECUTED"


@lru_cache(maxsize=1)
def _core() -> Any:
    import openvino as ov  # noqa: PLC0415  # heavy

    return ov.Core()


class OpenVinoBench:
    """One kernel, compiled with its counters on."""

    def __init__(self, spec: KernelSpec, threads: int) -> None:
        if spec.family in ("reorder", "recurrent", *INT8):
            raise unsupported(spec, PROFILER.name, "it is a part of other kernels there, or taken apart")
        self._spec = spec
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERF_COUNT": True,
        }
        try:
            graph = build(spec)
            compiled = _core().compile_model(_core().read_model(graph.model), "CPU", config)
        except (RuntimeError, ConfigError) as error:
            raise unsupported(
                spec, PROFILER.name, (str(error).strip().splitlines() or ["no reason given"])[-1][:200]
            ) from error
        self._request = compiled.create_infer_request()
        feed = graph.feed()
        self._arrays = [feed[port.any_name] for port in compiled.inputs]
        self._places = [self._request.get_input_tensor(i).data for i in range(len(self._arrays))]
        self._outputs = [self._request.get_output_tensor(i).data for i in range(len(compiled.outputs))]
        self._rows: list[tuple[float, float, float]] = []
        self._is_blocked = False

    def run(self) -> None:
        """Call it once."""
        start_ns = time.perf_counter_ns()
        for place, array in zip(self._places, self._arrays, strict=True):
            np.copyto(place, array)
        copied_ns = time.perf_counter_ns()
        self._request.infer()
        inferred_ns = time.perf_counter_ns()
        for output in self._outputs:
            output.copy()
        out_ms = (time.perf_counter_ns() - inferred_ns) / 1e6
        self._note((copied_ns - start_ns) / 1e6, out_ms)

    def finish(self) -> PhaseTimings:
        """Return what was noted."""
        rows = np.array(self._rows)
        ran = replace(self._spec, layout="blocked" if self._is_blocked else "nchw")
        del self._request, self._arrays, self._places, self._outputs
        return PhaseTimings(ran, rows[:, 0], rows[:, 1], rows[:, 2])

    def _note(self, in_ms: float, out_ms: float) -> None:
        """Take the counters of the call apart."""
        nodes = [node for node in self._request.get_profiling_info() if str(node.status).endswith(RUN)]
        took_ms = [node.real_time.total_seconds() * 1e3 for node in nodes]
        at = self._kernel(nodes)
        self._is_blocked = any(node.node_type == "Reorder" for node in nodes[:at])
        self._rows.append((in_ms + sum(took_ms[:at]), took_ms[at], sum(took_ms[at + 1 :]) + out_ms))

    def _kernel(self, nodes: list[Any]) -> int:
        """Return which node is the kernel: all others only move what it reads and writes."""
        kernels = [
            index
            for index, node in enumerate(nodes)
            if node.node_type not in MOVES and not str(node.node_name).startswith("before_")
        ]
        if len(kernels) != 1:
            ran = ", ".join(node.node_type for node in nodes)
            raise unsupported(self._spec, PROFILER.name, f"it ran {ran}")
        return kernels[0]


PROFILER = PluginProfiler("openvino", "OpenVINO", OpenVinoBench)
