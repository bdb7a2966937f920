"""The device that `run.py` measures: how a network is called on it, what it can do at best, what it draws.

Only torch and numpy are needed. What the device or its software cannot do raises `NotHere`, and the result
file says so in the place of a number.

- A call is what a caller waits for: launch, then `torch.cuda.synchronize()`.
- `gpu_ms` is the GPU's own time: the call is queued behind a kernel that spins, so the processor runs ahead
  and no gap between launches is counted. A call much longer than its `gpu_ms` is bound by launching.
"""

from __future__ import annotations

import copy
import gc
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.nvidia.meter import Meter, processor, release
from benchmarks.nvidia.networks import cores
from benchmarks.nvidia.ways import NotHere, capture_stream, captured, eager, tensorrt, without_cudnn

PRECISIONS = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
WAYS = ("eager", "graph", "compile", "compile+graph", "eager, cuDNN off", "tensorrt")
WARM_CALLS = 3
SPIN_CYCLES_PER_MS = 2_000_000  # close to an H100's clock; it need only outlast the launching
MIB = 2**20


@dataclass(frozen=True)
class Contender:
    """A network ready to run on one input.

    Attributes:
        launch: starts one call, and on the CPU ends it.
        output: what the last launch computed.
        peak_mib: largest memory it took, weights, input and workspaces included; None on the CPU.
    """

    launch: Callable[[], object]
    output: Callable[[], Tensor]
    peak_mib: float | None


class Device:
    """One NVIDIA GPU, or the CPU, on which everything but CUDA's own parts can be tried out."""

    def __init__(self, kind: str, *, search: bool) -> None:
        if kind == "cuda" and not torch.cuda.is_available():
            raise NotHere("torch sees no NVIDIA GPU; --device cpu tries the script out")
        self.kind = kind
        self.is_gpu = kind == "cuda"
        if self.is_gpu:
            torch.backends.cudnn.benchmark = search
            with torch.cuda.stream(capture_stream()):  # cuBLAS allocates its workspace here, in nobody's peak
                a = torch.ones(8, 8, device=kind)
                torch.nn.functional.linear(a, a, a[0])
            self.wait()
        self.meter = Meter(
            str(getattr(torch.cuda.get_device_properties(0), "uuid", "")) if self.is_gpu else None
        )
        self._compiled: dict[tuple[object, ...], tuple[Callable[[Tensor], Tensor], Tensor, int]] = {}

    def wait(self) -> None:
        """Wait until the device is idle."""
        if self.is_gpu:
            torch.cuda.synchronize()

    def set_precision(self, precision: str) -> None:
        """Allow or forbid TF32 by torch's older switches: the newer ones break torch.compile since 2.9."""
        if self.is_gpu:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
                torch.backends.cudnn.allow_tf32 = precision == "tf32"

    def alive(self) -> bool:
        """Say whether the device still answers: some errors end it for the whole process."""
        try:
            self.wait()
            return bool(torch.ones(1, device=self.kind).sum() == 1)
        except RuntimeError:
            return False

    def clear(self) -> None:
        """Give the memory of contenders that are gone back to the device."""
        if self._compiled:
            self._compiled.clear()
            torch.compiler.reset()
        if self.is_gpu:
            gc.collect()
            torch.cuda.empty_cache()

    def place(self, module: nn.Module, precision: str, layout: str) -> nn.Module:
        """Return a copy of a module on the device."""
        own = copy.deepcopy(module).to(self.kind, PRECISIONS[precision])
        return own.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload, no-any-return]

    def contender(self, module: nn.Module, image: Tensor, way: str, precision: str, layout: str) -> Contender:
        """Make a module ready to run on `image`, `[n, C, H, W]` in float32 on the device.

        Raises:
            NotHere: the way is not to be had here.
            RuntimeError: torch could not do it: memory, an operator, the compiler.
        """
        if not self.is_gpu and way not in ("eager", "compile"):
            raise NotHere("needs an NVIDIA GPU")
        key = (id(module), precision, layout, tuple(image.shape))
        if "compile" in way and key in self._compiled:  # one compilation serves both of its ways
            own, x, before = self._compiled[key]
        else:
            before = self._memory()
            own = self.place(module, precision, layout)
            x = image.to(PRECISIONS[precision], memory_format=LAYOUTS[layout], copy=True)
            if "compile" in way:
                own = torch.compile(own, fullgraph=True, dynamic=False)
                self._compiled[key] = own, x, before
        start = {"eager, cuDNN off": without_cudnn, "graph": captured, "compile+graph": captured}.get(
            way, eager
        )
        launch, output = tensorrt(own, x, precision) if way == "tensorrt" else start(own, x)
        self.wait()
        if self.is_gpu and "graph" not in way:  # a replay allocates nothing: its peak was in the capture
            torch.cuda.reset_peak_memory_stats()
            launch()
            self.wait()
        peak = (torch.cuda.max_memory_allocated() - before) / MIB if self.is_gpu else None
        return Contender(launch, output, peak)

    def _memory(self) -> int:
        if not self.is_gpu:
            return 0
        self.wait()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()

    def gpu_ms(self, launch: Callable[[], object], call_ms: float, repeats: int = 5) -> float | None:
        """Return the GPU's own time of a call, the median of a few, in milliseconds; None on the CPU."""
        if not self.is_gpu:
            return None
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        times_ms = []
        for _ in range(repeats if call_ms < 50 else 1):
            self.wait()
            spin = getattr(torch.cuda, "_sleep", None)  # torch's own tests use it; it has no public name
            if spin is not None:
                spin(int(min(50.0, 1.0 + 1.5 * call_ms) * SPIN_CYCLES_PER_MS))
            first.record()
            launch()
            last.record()
            last.synchronize()
            times_ms.append(first.elapsed_time(last))
        return float(median(times_ms))

    def ceiling(self, precision: str, sizes: tuple[int, ...]) -> float:
        """Return the best rate of a matrix product of random numbers, in GMAC/s."""
        self.set_precision(precision)
        best = 0.0
        for size in sizes:
            a, b = (torch.randn(size, size, device=self.kind, dtype=PRECISIONS[precision]) for _ in range(2))
            product = partial(torch.mm, a, b, out=torch.empty_like(a))
            best = max(best, size**3 / self.fastest_ms(product) / 1e6)
        return best

    def bandwidth(self, size_mib: int) -> float:
        """Return what a copy within the device moves, bytes read and written both counted, in GB/s."""
        source = torch.randint(0, 255, (size_mib * MIB,), dtype=torch.uint8, device=self.kind)
        target = torch.empty_like(source)
        return 2 * source.numel() / self.fastest_ms(lambda: target.copy_(source)) / 1e6

    def fastest_ms(self, work: Callable[[], object], calls: int = 10) -> float:
        """Return the shortest of a few calls after warming up, in milliseconds."""
        times_ms = []
        for _ in range(calls + WARM_CALLS):
            self.wait()
            start_s = time.perf_counter()
            work()
            self.wait()
            wall_ms = (time.perf_counter() - start_s) * 1e3
            times_ms.append(self.gpu_ms(work, wall_ms, repeats=1) or wall_ms)
        return min(times_ms[WARM_CALLS:])

    def machine(self) -> dict[str, Any]:
        """Return what the figures belong to."""
        packages = {name: v for name in ("torch", "numpy", "triton", "tensorrt") if (v := release(name))}
        record: dict[str, Any] = {
            "cpu": processor(),
            "cores": cores(),
            "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version(),
            "packages": packages,
            "accelerator": None,
        }
        if not self.is_gpu:
            return record
        found = torch.cuda.get_device_properties(0)
        return record | {
            "accelerator": found.name,
            "capability": f"{found.major}.{found.minor}",
            "multiprocessors": found.multi_processor_count,
            "gpu_memory_gib": round(found.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
            **self.meter.record(),
        }


def waiting(launch: Callable[[], object], device: Device) -> Callable[[], object]:
    """Return a call that ends when the device has."""
    if not device.is_gpu:
        return launch

    def call() -> None:
        launch()
        torch.cuda.synchronize()

    return call
