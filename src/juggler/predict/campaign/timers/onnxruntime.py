"""ONNX Runtime: a kernel's time from its profiler, which times every node of every run.

The profiler cuts every duration off to whole microseconds, so half of one is added: over many runs what is
cut off is spread about evenly. It also adds about two microseconds to each node; how many is measured on a
very small kernel, and taken off. Kernels of less than 40 microseconds are timed without it: see `_copies`.
Inputs are handed over without a copy; what the call takes beside the executor, the copy of the output among
it, counts as `post`.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from juggler.arrays import Floats
from juggler.errors import ConfigError
from juggler.files import SCRATCH, lock_folder, sweep_folders
from juggler.predict.campaign.store.schema import StoreError
from juggler.predict.campaign.timers._copies import (
    LEAST_US,
    SMALL_POOL,
    can_copy,
    filled,
    kernel_us,
    small_pool_us,
)
from juggler.predict.campaign.timing import PhaseTimings, PluginProfiler, midmean, scratch, unsupported
from juggler.predict.graphs.kernel_graph import build, operators
from juggler.predict.kernels.spec import KernelSpec
from juggler.reading.content import MIB
from juggler.reading.documents import DocumentLimits, read_json
from juggler.reading.request import Request
from juggler.runtime.backends.onnxruntime import failures, session_options

HALF_US = 0.5
CALLS = 200  # of the kernel that the profiler is judged by
SHORT_US = 40.0  # below, the profiler is too coarse
EXECUTOR = "SequentialExecutor::Execute"
BEFORE = ("ReorderInput", "ReorderOutput", "Reshape", "Transpose")  # what a runtime may put before a kernel
AFTER = ("ReorderOutput", "Reshape", "Transpose")
Node = tuple[str, str]  # its name in the profile, and its operator
PROFILE_LIMITS = DocumentLimits(size=512 * MIB, containers=8_000_000, values=32_000_000)  # the runtime's own


class OnnxRuntimeBench:
    """One kernel in a session that writes a profile.

    Args:
        spec: the kernel.
        threads: cores that it may use.
        raw: whether to leave what the profiler says as it is.
    """

    def __init__(self, spec: KernelSpec, threads: int, *, raw: bool = False) -> None:
        import onnxruntime as ort  # noqa: PLC0415  # heavy

        self._spec, self._threads, self._raw = spec, threads, raw
        options = session_options(threads)
        options.enable_profiling = True
        sweep_folders(scratch())  # it is memory, and killed campaigns leave theirs
        self._folder = tempfile.TemporaryDirectory(dir=scratch(), prefix=SCRATCH)
        self._lock = lock_folder(Path(self._folder.name))
        options.profile_file_prefix = str(Path(self._folder.name) / "profile")
        refusals: tuple[type[Exception], ...] = (*failures(), ConfigError)
        try:
            graph = build(spec)
            self._session = ort.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])
        except refusals as error:
            self._cleanup()
            raise unsupported(spec, PROFILER.name, str(error).strip().partition("\n")[0][:200]) from error
        self._feed = graph.feed()
        self._wall_us: list[float] = []

    def _cleanup(self) -> None:
        self._lock.close()
        self._folder.cleanup()

    def run(self) -> None:
        """Call it once."""
        start_ns = time.perf_counter_ns()
        self._session.run(None, self._feed)
        self._wall_us.append((time.perf_counter_ns() - start_ns) / 1e3)

    def finish(self) -> PhaseTimings:
        """Read the profile."""
        with self._folder, self._lock:
            path = Path(self._session.end_profiling())
            del self._session, self._feed
            events = _read(path)
        added_us = 0.0 if self._raw else profiler_us(self._threads)
        phases = _phases(self._spec, events, np.array(self._wall_us), added_us)
        short = midmean(phases.exec_ms) * 1e3 < SHORT_US
        is_reordered = any(event.get("args", {}).get("op_name") == "ReorderOutput" for event in events)
        copied = filled(phases.spec) if is_reordered else phases.spec
        if self._raw or not (short and can_copy(copied)):
            return phases
        exec_ms = kernel_us(copied, self._threads) / 1e3
        return replace(phases, exec_ms=np.full_like(phases.exec_ms, exec_ms))


@lru_cache(maxsize=8)
def profiler_us(threads: int) -> float:
    """Return what the profiler adds to a node, in microseconds: about two."""
    bench = OnnxRuntimeBench(replace(SMALL_POOL, layout="nchw"), threads, raw=True)
    for _ in range(CALLS):
        bench.run()
    return max(0.0, midmean(bench.finish().exec_ms) * 1e3 - small_pool_us(threads))


def _read(path: Path) -> list[dict[str, Any]]:
    remedy = "Make room there, then run the same line again: it goes on where it stopped"
    request = f"write a profile to {path.parent.parent}"
    try:
        events: list[dict[str, Any]] = read_json(path, Request(request, remedy, StoreError), PROFILE_LIMITS)
    except StoreError as error:
        raise StoreError(request, f"it was cut off ({error.found})", remedy) from error
    return events


def _phases(spec: KernelSpec, events: list[dict[str, Any]], wall_us: Floats, added_us: float) -> PhaseTimings:
    nodes: dict[Node, list[int]] = defaultdict(list)
    executor_us: list[int] = []
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            nodes[event["name"], event["args"]["op_name"]].append(event["dur"])
        elif event["name"] == EXECUTOR:
            executor_us.append(event["dur"])
    order = list(nodes)
    at = _kernel(spec, order)
    took = {
        n: np.maximum(np.array(durations_us) + HALF_US - added_us, LEAST_US)
        for n, durations_us in nodes.items()
    }
    if len(executor_us) != wall_us.size or any(
        durations_us.size != wall_us.size for durations_us in took.values()
    ):
        raise unsupported(spec, PROFILER.name, "its profile is incomplete")
    nothing = np.zeros(wall_us.size)
    around_us = np.maximum(wall_us - np.array(executor_us), 0.0)
    pre_us = sum((took[node] for node in order[:at] if node[1] in BEFORE), nothing)
    post_us = sum((took[node] for node in order[at + 1 :] if node[1] in AFTER), nothing)
    reorders = ["Transpose"] if spec.family == "int8_conv" else ["ReorderInput", "ReorderOutput"]
    moves = [op for _, op in order[:at] if op in reorders]
    blocked = spec.family != "reorder" and moves[-1:] == reorders[:1]
    ran = replace(spec, layout="blocked" if blocked else "nchw")
    return PhaseTimings(ran, pre_us / 1e3, took[order[at]] / 1e3, (post_us + around_us) / 1e3)


def _kernel(spec: KernelSpec, order: list[Node]) -> int:
    """Return which node is the kernel: the last of its operators, with nothing of its own left outside."""
    kinds = set(operators(spec))
    names = ("before_", "after")
    indices = [at for at, (name, op) in enumerate(order) if op in kinds and not name.startswith(names)]
    if spec.family == "reorder":
        indices = indices[-1:] if spec.kind == "from_blocked" else indices[:1]
    seen = ", ".join(op for _, op in order)
    if not indices:
        raise unsupported(spec, PROFILER.name, f"it ran {seen}")
    at = indices[-1]
    if spec.family != "reorder":
        strangers = [op for name, op in order[:at] if op not in BEFORE and not name.startswith("before_")]
        strangers += [op for name, op in order[at + 1 :] if op not in AFTER and not name.startswith("after")]
        if strangers:
            raise unsupported(spec, PROFILER.name, f"it ran {seen}")
    return at


PROFILER = PluginProfiler("onnxruntime", "ONNX Runtime", OnnxRuntimeBench)
