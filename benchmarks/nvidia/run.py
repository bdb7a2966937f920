"""Flat Juggler-ResNets against ResNets on an NVIDIA GPU: Figures 8 and 9, Tables II and III, in one call.

    python3 -m benchmarks.nvidia.run --out results

Needs torch and numpy alone, in whatever release the machine has; juggler need not be installed. Latency is
the wall clock of one call with `torch.cuda.synchronize()`; `gpu_ms` beside it is the GPU's own time without
launching (see `device.py`). Batch norms of the plain and the wide network are folded first, in all
ways, so that only the shape of the networks differs; `plain, norms kept` is ResNet as the paper ran it, in
eager mode. MACs are counted on the graph; `share_of_ceiling` is GMAC/s over the best matrix product of that
precision in the same run (Winograd can pass it). The file is written after every cell; what is not run is in
`not_run`, with the reason.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.nvidia.cells import QUICK, Cell, Sizes, chosen, options
from benchmarks.nvidia.device import PRECISIONS, Contender, Device, waiting
from benchmarks.nvidia.networks import Networks, Preparation, Recipe, cores, difference, module_macs
from benchmarks.nvidia.output import jsonable, lines, progress
from benchmarks.nvidia.ways import NotHere, has_tensorrt
from juggler.clock.race import Samples, race, ratio
from juggler.errors import JugglerError
from juggler.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    ImportError,
    OSError,
    AssertionError,
    JugglerError,
)
SLOW_S = 4.0  # a longer call is not raced
RACE_S = 6.0  # aims at races no longer than this: slow calls get fewer rounds, never under 3
MIN_BLOCK_MS, WARMUP_S = 10.0, 0.3
WRONG = {
    "float32": 1e-2
}  # relative difference from eager float32 beyond which a figure is of another network
WRONG_ELSEWHERE = 0.5
Key = tuple[str, str]


class Run:
    """One run of the script: what it has found so far, on disk after every cell."""

    def __init__(self, given: argparse.Namespace, sizes: Sizes) -> None:
        self.given, self.sizes = given, sizes
        self.start_s = time.perf_counter()
        self.device = Device(given.device, search=given.search)
        self.cells = chosen(given, sizes)
        depths = dict.fromkeys(cell.depth for cell in self.cells if cell.depth)
        sides = tuple(dict.fromkeys(cell.side_px for cell in self.cells if cell.depth))
        recipes = [Recipe(depth, sides, given.width, given.classes, given.flatten_side) for depth in depths]
        workers = min(len(recipes), max(1, cores() // 3)) if given.workers is None else given.workers
        self.preparation = Preparation(recipes, workers)
        self.on_device: dict[str, nn.Module] = {}
        self.depth_on_device = 0
        self.compile_s_per_depth = 0.6 if self.device.is_gpu else 0.0
        self.result: dict[str, Any] = {"rows": [], "not_run": []}

    def measure(self) -> Path:
        """Run every cell that fits into the budget; return the result file."""
        name = "cpu" if not self.device.is_gpu else torch.cuda.get_device_name(0).removeprefix("NVIDIA ")
        slug = "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
        path: Path = self.given.out / f"nvidia-{slug}{'-search' if self.given.search else ''}.json"
        self.describe()
        gc.freeze()  # what was imported is no garbage: every race collects, and walks past it
        with progress(len(self.cells)) as tell:
            for done, cell in enumerate(self.cells):
                tell(done, cell.name, self.left_s())
                self.attempt(cell)
                self.write(path, finished=False)
        self.preparation.close()
        self.write(path, finished=True)
        return path

    def describe(self) -> None:
        """Measure the ceilings, note the machine and the settings."""
        device, quick = self.device, self.given.quick
        with torch.no_grad():
            precisions = tuple(PRECISIONS) if device.is_gpu else ("float32",)
            sizes = (128,) if quick else (4096, 8192)
            ceilings = {name: device.ceiling(name, sizes) for name in precisions}
            bandwidth = device.bandwidth(8 if quick else 1024)
        for what in () if device.is_gpu else ("CUDA graphs", "TF32 and float16", "TensorRT", "cuDNN off"):
            self.skip(what, "needs an NVIDIA GPU")
        if device.is_gpu and not has_tensorrt():
            self.skip("TensorRT", "tensorrt is not installed")
        if device.meter.why_not:
            self.skip("energy", device.meter.why_not)
        self.result = {
            "benchmark": "nvidia",
            "claim": (__doc__ or "").splitlines()[0],
            "date": datetime.now(UTC).date().isoformat(),
            "quick": quick or not device.is_gpu,
            "findings": [],
            "machine": device.machine(),
            "settings": asdict(self.sizes)
            | {key: getattr(self.given, key) for key in ("minutes", "search", "width", "classes", "full")}
            | {"grad": "torch.no_grad", "cudnn_benchmark": self.given.search, "compile_mode": "default"}
            | {"min_block_ms": MIN_BLOCK_MS, "norms": "folded, but for 'plain, norms kept' and the tables"},
            "ceilings_gmac_per_s": ceilings,
            "copy_gb_per_s": bandwidth,
            "certificates": {},
            **self.result,
        }

    def attempt(self, cell: Cell) -> None:
        """Run a cell, or say why not."""
        started_s = time.perf_counter()
        expected_s = self.compile_s_per_depth * cell.depth if cell.compiles else 0.0
        if self.left_s() <= expected_s:
            self.skip(cell.name, f"the budget of {self.given.minutes:g} minutes was spent")
            return
        try:
            with torch.no_grad():
                self.run(cell)
        except FAILURES as error:
            self.skip(cell.name, reason(error))
        self.device.clear()
        if cell.compiles and "tensorrt" not in cell.ways:
            self.compile_s_per_depth = (time.perf_counter() - started_s) / cell.depth
        if not self.device.alive():
            self.given.minutes = 0.0
            self.skip("everything after it", "the device no longer answers")

    def run(self, cell: Cell) -> None:
        """Make the contenders of a cell ready, race them, keep their rows."""
        macs: dict[str, int] = {}
        contenders: dict[Key, Contender] = {}
        calls: dict[Key, Callable[[], object]] = {}
        found: dict[Key, dict[str, float]] = {}
        for subject, module, image in self.subjects(cell, macs):
            self.device.set_precision("float32")
            reference = module(image).float()
            self.device.set_precision(cell.precision)
            for way in cell.ways:
                if not cell.runs(subject, way):
                    continue
                key = (subject, way)
                try:
                    own = self.device.contender(module, image, way, cell.precision, cell.layout)
                    call = waiting(own.launch, self.device)
                    found[key] = self.checked(cell, own, call, reference)
                except FAILURES as error:
                    self.skip(f"{cell.name}: {subject}, {way}", reason(error))
                else:
                    contenders[key], calls[key] = own, call
        if calls:
            total_s = sum(found[key]["call_s"] for key in calls)
            rounds = max(min(3, cell.rounds), min(cell.rounds, int(RACE_S / max(total_s, 1e-9))))
            names = {" | ".join(key): call for key, call in calls.items()}
            samples = race(names, rounds=rounds, min_block_ms=MIN_BLOCK_MS, warmup_s=WARMUP_S)
            timed = dict(zip(calls, samples.values(), strict=True))
            for key, own in contenders.items():
                self.result["rows"].append(
                    self.row(cell, key, timed, macs[key[0]])
                    | {
                        "gpu_ms": self.device.gpu_ms(own.launch, timed[key].median_ms),
                        "peak_mib": own.peak_mib,
                    }
                    | {
                        "energy_mj": self.device.meter.energy_mj(calls[key])
                        if key[1] in cell.metered
                        else None
                    }
                    | {"difference": found[key]["difference"]}
                )

    def subjects(self, cell: Cell, macs: dict[str, int]) -> Iterator[tuple[str, nn.Module, Tensor]]:
        """Yield each subject with its input on the device; note its MACs at the cell's batch."""
        torch.manual_seed(0)
        networks = self.networks(cell.depth) if cell.depth else None
        for subject in cell.subjects():
            if networks is not None:
                module, channels = self.on_device[subject], 3
                macs[subject] = networks.macs[cell.side_px][subject] * cell.batch
            else:
                with torch.device(self.device.kind):  # the largest would take seconds to draw on the CPU
                    module, channels = cell.module(subject)
                macs[subject] = module_macs(module, (cell.batch, channels, cell.side_px, cell.side_px))
            shape = (cell.batch, channels, cell.side_px, cell.side_px)
            yield subject, module, torch.randn(shape, device=self.device.kind)

    def networks(self, depth: int) -> Networks:
        """Return the networks of a depth and have them on the device."""
        networks = self.preparation.networks(depth)
        if self.depth_on_device != depth:
            self.on_device = {name: part.to(self.device.kind) for name, part in networks.modules.items()}
            self.depth_on_device = depth
        about = {**networks.certificate, "prepare_s": networks.prepare_s}
        self.result["certificates"][str(depth)] = about
        return networks

    def checked(
        self, cell: Cell, own: Contender, call: Callable[[], object], reference: Tensor
    ) -> dict[str, float]:
        """Return how long a call takes and how far its output is from eager float32.

        Raises:
            NotHere: it takes too long, or computes something else.
        """
        start_s = time.perf_counter()
        call()
        call_s = time.perf_counter() - start_s
        error = difference(own.output().float().reshape(reference.shape), reference)
        if call_s > SLOW_S:
            raise NotHere(f"one call takes {call_s:.1f} s")
        if not error <= WRONG.get(cell.precision, WRONG_ELSEWHERE):
            raise NotHere(f"its output differs from eager float32 by {error:.2g} of the largest value")
        return {"call_s": call_s, "difference": error}

    def row(self, cell: Cell, key: Key, timed: dict[Key, Samples], macs: int) -> dict[str, Any]:
        """Return the figures of one contender that come from the race."""
        own = timed[key]
        gmac_per_s = macs / own.median_ms / 1e6
        compared = [
            {"baseline": subject if key[1] == way else way}
            | dict(zip(("times_as_fast", "low", "high"), _ratio(timed[subject, way], own), strict=True))
            for subject, way in cell.baselines(*key)
            if (subject, way) in timed
        ]
        nothing = {"baseline": None, "times_as_fast": None, "low": None, "high": None}
        return {
            **{name: getattr(cell, name) for name in ("experiment", "depth", "precision", "layout")},
            **{"subject": key[0], "way": key[1], "side_px": cell.side_px, "batch": cell.batch, "macs": macs},
            **{"n": int(own.values.size), "rounds": len(own.rounds_ms)},
            **{name: getattr(own, name) for name in ("median_ms", "p95_ms", "p99_ms")},
            "gmac_per_s": gmac_per_s,
            "share_of_ceiling": gmac_per_s / self.result["ceilings_gmac_per_s"][cell.precision],
            **(compared[0] if compared else nothing),
            "others": compared[1:],
        }

    def skip(self, what: str, why: str) -> None:
        """List what is not run."""
        self.result["not_run"].append({"what": what, "why": why})

    def left_s(self) -> float:
        """Return what is left of the budget, in seconds."""
        return float(self.given.minutes) * 60 - (time.perf_counter() - self.start_s)

    def write(self, path: Path, *, finished: bool) -> None:
        """Write the file as far as it has come."""
        used = {"finished": finished, "used_s": round(time.perf_counter() - self.start_s, 1)}
        text = json.dumps(used | jsonable(self.result), indent=1, allow_nan=False)
        write_atomically(path, f"{text}\n".encode())


def _ratio(slower: Samples, own: Samples) -> tuple[float, float, float]:
    found = ratio(slower, own)
    return found.median, found.low, found.high


def reason(error: BaseException) -> str:
    """Return the kind of an error and the first line of its text."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text[:300] if isinstance(error, NotHere) else f"{type(error).__name__}: {text[:300]}"


def main() -> None:
    """Measure, write the file, print the table."""
    given = options(__doc__).parse_args()
    sizes = QUICK if given.quick else Sizes()
    sizes = replace(sizes, depths=tuple(given.depths or sizes.depths), rounds=given.rounds or sizes.rounds)
    trial = given.quick or given.device == "cpu"
    given.out = given.out or ROOT / ("build/benchmarks" if trial else "benchmarks/results")
    try:
        run = Run(given, sizes)
    except NotHere as error:
        raise SystemExit(f"benchmarks.nvidia.run: {error}") from error
    path = run.measure()
    print(*lines(run.result), sep="\n")
    print(path.name)


if __name__ == "__main__":
    main()
