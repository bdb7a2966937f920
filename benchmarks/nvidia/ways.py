"""The ways in which `run.py` calls a network: what launches a call, and what the last call gave."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

WARM_CALLS = 3  # before a capture; the first of them may pick algorithms and allocate workspaces

Network = Callable[[Tensor], Tensor]
Started = tuple[Callable[[], object], Callable[[], Tensor]]


class NotHere(RuntimeError):  # noqa: N818  # it names a state of the machine, not a mistake
    """Something cannot be run on this device or with this software; the text says why."""


def eager(module: Network, x: Tensor) -> Started:
    """Call the module as it is."""
    last: list[Tensor] = []

    def launch() -> None:
        last[:] = [module(x)]

    launch()
    return launch, lambda: last[0]


def without_cudnn(module: Network, x: Tensor) -> Started:
    """Call the module with torch's own convolutions, as the paper's Table III does."""
    last: list[Tensor] = []

    def launch() -> None:
        torch.backends.cudnn.enabled = False
        try:
            last[:] = [module(x)]
        finally:
            torch.backends.cudnn.enabled = True

    launch()
    return launch, lambda: last[0]


@cache
def capture_stream() -> torch.cuda.Stream:
    """Return the one stream of all captures, so that its workspaces are allocated once."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def captured(module: Network, x: Tensor) -> Started:
    """Record one call as a CUDA graph; input and output stay where they are from call to call.

    Warming up happens on the stream of the capture, so that handles and workspaces exist before it.
    """
    stream = capture_stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_CALLS):
            module(x)
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        y = module(x)
    kept = (module, x, y)  # the graph knows only their addresses
    graph.replay()
    return graph.replay, lambda: kept[2]


def has_tensorrt() -> bool:
    """Say whether TensorRT is installed."""
    return find_spec("tensorrt") is not None


def tensorrt(module: Any, x: Tensor, precision: str) -> Started:
    """Build an engine from the module's ONNX graph. Written against TensorRT 10; not run so far.

    Raises:
        NotHere: TensorRT is not installed, or refuses the graph.
    """
    try:
        trt: Any = import_module("tensorrt")
    except ImportError as error:
        raise NotHere("tensorrt is not installed") from error
    buffer = io.BytesIO()
    cpu = copy.deepcopy(module).cpu().float()
    names = {"input_names": ["input"], "output_names": ["output"]}
    torch.onnx.export(cpu, (x.cpu().float(),), buffer, dynamo=False, **names)  # type: ignore[arg-type]
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    if not trt.OnnxParser(network, logger).parse(buffer.getvalue()):
        raise NotHere("tensorrt could not read the ONNX graph")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    if precision == "float16":
        config.set_flag(trt.BuilderFlag.FP16)
    plan = builder.build_serialized_network(network, config)
    runtime = trt.Runtime(logger)
    engine = runtime.deserialize_cuda_engine(plan) if plan is not None else None
    if engine is None:
        raise NotHere("tensorrt built no engine")
    context = engine.create_execution_context()
    inward, outward = x.float().contiguous(), torch.empty(tuple(cpu(x.cpu().float()).shape), device=x.device)
    context.set_tensor_address("input", inward.data_ptr())
    context.set_tensor_address("output", outward.data_ptr())
    kept = (runtime, engine, context, inward, outward)
    return lambda: kept[2].execute_async_v3(torch.cuda.current_stream().cuda_stream), lambda: outward
