"""Eager torch: each operator is a kernel of its own, timed by the clock, channels last as its backend runs.

Nothing is fused, so a kernel with an activation or a sum inside is measured without.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from juggler.errors import ConfigError
from juggler.predict.campaign.timing import PhaseTimings, PluginProfiler, unsupported
from juggler.predict.kernels.spec import KernelSpec
from juggler.runtime.onnx_graphs.builder import normal

if TYPE_CHECKING:
    from torch import Tensor

Operator = tuple[Callable[..., Any], list[tuple[int, ...]]]
LAST = ("conv", "depthwise", "pool", "global_pool", "norm", "add", "elementwise", "concat")  # take images


class TorchBench:
    """One operator of torch and its inputs."""

    def __init__(self, spec: KernelSpec, threads: int) -> None:
        import torch  # noqa: PLC0415  # heavy

        self._torch, self._spec, self._threads = torch, spec, threads
        self._call, shapes = _operator(spec)
        self._arrays = [normal(shape) for shape in shapes]
        self._rows: list[tuple[float, float, float]] = []

    def run(self) -> None:
        """Call it once."""
        torch, before = self._torch, self._torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                start_ns = time.perf_counter_ns()
                inputs = [self._laid_out(torch.from_numpy(array)) for array in self._arrays]
                ready_ns = time.perf_counter_ns()
                output = self._call(*inputs)
                done_ns = time.perf_counter_ns()
                output.contiguous().numpy()
                end_ns = time.perf_counter_ns()
        finally:
            torch.set_num_threads(before)
        steps_ns = (ready_ns - start_ns, done_ns - ready_ns, end_ns - done_ns)
        self._rows.append((steps_ns[0] / 1e6, steps_ns[1] / 1e6, steps_ns[2] / 1e6))

    def finish(self) -> PhaseTimings:
        """Return what was noted."""
        rows = np.array(self._rows)
        layout = "blocked" if self._spec.family in LAST else "nchw"
        return PhaseTimings(replace(self._spec, layout=layout), rows[:, 0], rows[:, 1], rows[:, 2])

    def _laid_out(self, value: Tensor) -> Tensor:
        if value.ndim != 4 or self._spec.family not in LAST:
            return value
        return value.contiguous(memory_format=self._torch.channels_last)


class TorchProfiler(PluginProfiler):
    """Times operators in eager torch."""

    def adapt(self, spec: KernelSpec) -> KernelSpec:
        """Leave out what torch does not fuse, and pad alike on both sides."""
        top, left = spec.pads[:2]
        fits = top <= spec.pads[2] and left <= spec.pads[3]
        pads = (top, left, top, left) if fits else (*spec.pads[2:], *spec.pads[2:])
        try:
            return replace(spec, activation="none", adds=False, pads=pads)
        except ConfigError:  # with less padding nothing is left of the output: it will be refused
            return spec


def _operator(spec: KernelSpec) -> Operator:
    """Return what computes the kernel, and the shapes of its inputs."""
    writer = WRITERS.get(spec.family)
    if writer is None or spec.activation != "none" or spec.adds or spec.kind in UNKNOWN:
        raise unsupported(spec, PROFILER.name, "torch has no one operator for it, or none is timed here")
    from torch.nn import functional  # noqa: PLC0415  # heavy

    return writer(spec, functional)


def _convolution(spec: KernelSpec, F: Any) -> Operator:
    weight = _tensor((spec.out_channels, spec.in_channels // spec.groups, *spec.kernel), last=True)
    bias = _tensor((spec.out_channels,)) if spec.bias else None
    window = (spec.stride, spec.pads[:2], spec.dilation, spec.groups)
    return lambda x: F.conv2d(x, weight, bias, *window), [_image(spec)]


def _window(spec: KernelSpec, F: Any) -> Operator:
    pads = spec.pads[:2]
    if any(2 * pad > taps for pad, taps in zip(pads, spec.kernel, strict=True)):
        raise unsupported(spec, PROFILER.name, "its padding is more than half of its window")
    if spec.kind == "average":
        return lambda x: F.avg_pool2d(x, spec.kernel, spec.stride, pads, False, False), [_image(spec)]
    return lambda x: F.max_pool2d(x, spec.kernel, spec.stride, pads, spec.dilation), [_image(spec)]


def _linear(spec: KernelSpec, F: Any) -> Operator:
    weight = _tensor((spec.out_channels, spec.in_channels))
    bias = _tensor((spec.out_channels,)) if spec.bias else None
    return lambda x: F.linear(x, weight, bias), [_rows(spec)]


def _whole(spec: KernelSpec, F: Any) -> Operator:
    function = F.adaptive_max_pool2d if spec.kind == "max" else F.adaptive_avg_pool2d
    return lambda x: function(x, 1), [_image(spec)]


def _sum(spec: KernelSpec, F: Any) -> Operator:
    return lambda x, y: x + y, [_image(spec), _image(spec)]


def _function(spec: KernelSpec, F: Any) -> Operator:
    known: dict[str, Callable[..., Any]] = {
        **{"relu": F.relu, "": F.relu, "sigmoid": F.sigmoid, "tanh": F.tanh, "clip": F.relu6, "silu": F.silu},
        **{"gelu": F.gelu, "leakyrelu": F.leaky_relu, "hardsigmoid": F.hardsigmoid, "elu": F.elu},
    }
    if spec.kind not in known:
        raise unsupported(spec, PROFILER.name, f"the function {spec.kind!r} is not timed here")
    return known[spec.kind], [_image(spec)]


def _softmax(spec: KernelSpec, F: Any) -> Operator:
    return lambda x: F.softmax(x, -1), [_rows(spec)]


UNKNOWN = ("product", "broadcast")
WRITERS: dict[str, Callable[[KernelSpec, Any], Operator]] = {
    **{"conv": _convolution, "depthwise": _convolution, "pool": _window, "dense": _linear, "add": _sum},
    **{"global_pool": _whole, "elementwise": _function, "softmax": _softmax},
}


def _image(spec: KernelSpec) -> tuple[int, ...]:
    return spec.batch, spec.in_channels, spec.height, spec.width


def _rows(spec: KernelSpec) -> tuple[int, ...]:
    return spec.batch, spec.height * spec.width, spec.in_channels


def _tensor(shape: tuple[int, ...], *, last: bool = False) -> Tensor:
    import torch  # noqa: PLC0415

    value = torch.from_numpy(normal(shape))
    return value.contiguous(memory_format=torch.channels_last) if last else value


PROFILER = TorchProfiler("torch_eager", "torch", TorchBench)
