"""Time a short kernel without the profiler: by how much longer a graph takes with more copies of it.

The profiler of ONNX Runtime knows whole microseconds only and adds about two to each node, which is more than
many kernels take. Two graphs that hold 2 and up to 10 copies of a kernel, all of one input, differ by kernels
and by nothing else: what one takes then repeats to a few hundredths of a microsecond, and is what one more
of them adds to a network, its dispatch included. Each is followed by a pool or a slice that reads a single
position, so that its output is not reordered and its memory is free for the next, as in a network; graphs of
those alone are timed too, and taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from juggler.predict.graphs.kernel_graph import out_shape, write_nodes
from juggler.predict.kernels.sizes import INT8
from juggler.predict.kernels.spec import KernelSpec
from juggler.runtime.backends.onnxruntime import session_options
from juggler.runtime.onnx_graphs.builder import GraphBuilder, KernelGraph, kernel_graph_of

FEW, MANY, FEWEST = 2, 10, 4
# Of the outputs of all copies: beyond a private cache they would slow each other down.
OUTPUT_BYTES = 1 << 19
ROUNDS, TURN_MS, FEWEST_CALLS = 3, 1.5, 5
MERGING = ["CommonSubexpressionElimination"]  # would make one of all copies
BLOCK = 16  # channels that the blocked layout holds together
LEAST_US = 0.05  # of a kernel: what is below is noise


def can_copy(spec: KernelSpec) -> bool:
    """Say whether a kernel can be timed so: its outputs are small, its weights warm, and it is no reorder."""
    if spec.family in ("recurrent", *INT8) or spec.kind in ("split", "cast"):
        return False
    return spec.family != "reorder" and not spec.cold and FEWEST * spec.output_bytes <= OUTPUT_BYTES


def filled(spec: KernelSpec) -> KernelSpec:
    """Return a kernel with its output channels filled up to whole blocks: what a blocked one computes anyway.

    A pool takes no blocks that are filled up, so outputs with others would be reordered before it, and that
    would be charged to the kernel.
    """
    if spec.family != "conv" or spec.groups > 1:
        return spec
    return replace(spec, out_channels=-(-spec.out_channels // BLOCK) * BLOCK)


def kernel_us(spec: KernelSpec, threads: int) -> float:
    """Return what one more such kernel adds to a network, in microseconds.

    Args:
        spec: a kernel that can be copied.
        threads: cores that it may use.
    """
    many = min(MANY, OUTPUT_BYTES // spec.output_bytes)
    both_us = _slope_us(lambda n: _copied(spec, n), threads, many)
    return max(LEAST_US, both_us - _slope_us(lambda n: _consumers(out_shape(spec), n), threads, many))


@lru_cache(maxsize=8)
def small_pool_us(threads: int) -> float:
    """Return what a very small kernel takes: what the profiler adds is seen on it."""
    return kernel_us(SMALL_POOL, threads)


SMALL_POOL = KernelSpec("pool", 1, 16, 16, 14, 14, kernel=(3, 3), pads=(1, 1, 1, 1), layout="blocked")


def _slope_us(graph: Callable[[int], tuple[KernelGraph, str]], threads: int, many: int) -> float:
    """Return what one more copy takes, from graphs of few and of many."""
    calls = [_call(*graph(copies), threads) for copies in (FEW, many)]
    shortest_us = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for index, call in enumerate(calls):
            shortest_us[index] = min(shortest_us[index], _median_us(call))
    return (shortest_us[1] - shortest_us[0]) / (many - FEW)


def _call(graph: KernelGraph, output: str, threads: int) -> Callable[[], object]:
    import onnxruntime as ort  # noqa: PLC0415  # heavy

    session: Any = ort.InferenceSession(
        graph.model,
        session_options(threads),
        providers=["CPUExecutionProvider"],
        disabled_optimizers=MERGING,
    )
    feed = graph.feed()
    # All nodes run, but one output only is handed out.
    return lambda: session.run([output], feed)


def _median_us(call: Callable[[], object]) -> float:
    durations_us: list[float] = []
    end_s = time.perf_counter() + TURN_MS / 1e3
    while len(durations_us) < FEWEST_CALLS or time.perf_counter() < end_s:
        start_ns = time.perf_counter_ns()
        call()
        durations_us.append((time.perf_counter_ns() - start_ns) / 1e3)
    return float(np.median(durations_us))


def _copied(spec: KernelSpec, copies: int) -> tuple[KernelGraph, str]:
    """Write copies of a kernel that read the same inputs and weights."""
    from onnx import NodeProto  # noqa: PLC0415  # heavy

    builder, last = write_nodes(spec)
    kernel_nodes = [node for node in builder.nodes if node.name.startswith("kernel")]
    written = {output for node in kernel_nodes for output in node.output}
    builder.nodes = [node for node in builder.nodes if not node.name.startswith("kernel")]
    shape, outputs = out_shape(spec), {}
    for copy in range(copies):
        for node in kernel_nodes:
            again = NodeProto()
            again.CopyFrom(node)
            again.name = f"{node.name}_{copy}"
            again.input[:] = [f"{name}_{copy}" if name in written else name for name in node.input]
            again.output[:] = [f"{name}_{copy}" for name in node.output]
            builder.nodes.append(again)
        name, size = _consumer(builder, f"{last}_{copy}", shape, copy)
        outputs[name] = size
    return kernel_graph_of(builder, outputs), next(iter(outputs))


def _consumers(shape: tuple[int, ...], copies: int) -> tuple[KernelGraph, str]:
    """Write what follows the copies of a kernel, without them."""
    builder = GraphBuilder()
    source = builder.add_input("x", shape, before=True)
    outputs = dict(_consumer(builder, source, shape, copy) for copy in range(copies))
    return kernel_graph_of(builder, outputs), next(iter(outputs))


def _consumer(
    builder: GraphBuilder, source: str, shape: tuple[int, ...], copy: int
) -> tuple[str, tuple[int, ...]]:
    """Add what reads one position; return its output and its size."""
    if len(shape) == 4:  # a pool runs in the blocked layout too
        strides = [shape[2], shape[3]]
        name = builder.add_node(
            "MaxPool", (source,), f"consumer_{copy}", kernel_shape=[1, 1], strides=strides
        )
        return name, (*shape[:2], 1, 1)
    if copy == 0:
        builder.add_integers("consumer_from", [0] * len(shape))
        builder.add_integers("consumer_to", [1] * len(shape))
    name = builder.add_node("Slice", (source, "consumer_from", "consumer_to"), f"consumer_{copy}")
    return name, (1,) * len(shape)
