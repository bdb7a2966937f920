"""The systolic model gives the cycles, accesses and utilisation of `scalesim` 3.0.0, layer by layer.

Makes an environment of its own with scalesim in build/scalesim, runs the products of AlexNet (as published,
one group of each layer) and ResNet-18 through it on 32 x 32 elements in three dataflows, one process each,
and keeps what it reports in tests/cost/hardware/golden, where the tests compare it. Every product is kept in
build/scalesim/layers as soon as it is done, so that the run can be stopped and started again. It takes about
an hour on one core and up to 6 GB; AlexNet's first fully connected layer alone, weight-stationary, takes six
minutes. --plan lists what is left; --tiny runs a few small products in seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, options, progress
from juggler.cost.hardware.gemm import Gemm, gemm_of
from juggler.cost.hardware.systolic import cycles
from juggler.cost.workloads import alexnet, resnet
from juggler.files import write_atomically

RELEASE = "3.0.0"
NUMPY = "1.26.4"  # scalesim makes numbers of arrays, which later releases refuse
FOLDER = ROOT / "build" / "scalesim"
GOLDEN = ROOT / "tests" / "cost" / "hardware" / "golden"
SIDE, TINY_SIDE = 32, 4
DATAFLOWS = {"weight_stationary": "ws", "input_stationary": "is", "output_stationary": "os"}
TINY = (Gemm(5, 7, 6), Gemm(9, 4, 3), Gemm(12, 8, 8), Gemm(1, 1, 1), Gemm(16, 27, 10), Gemm(49, 18, 8))
# scalesim adds rows and columns of the array to these writes once a fold (systolic_compute_os.py).
MISCOUNTED = ("output_stationary", "ofmap_writes")
KEPT = ("mapping_efficiency", "utilisation", "ifmap_reads", "filter_reads", "ofmap_writes")


@dataclass(frozen=True)
class Job:
    """One product in one dataflow."""

    network: str
    layer: str
    gemm: Gemm
    side: int
    dataflow: str

    @property
    def path(self) -> Path:
        """Return where its result is kept."""
        m, k, n = self.gemm.m, self.gemm.k, self.gemm.n
        return FOLDER / "layers" / f"{m}x{k}x{n}-{self.side}-{DATAFLOWS[self.dataflow]}.json"

    @property
    def weight(self) -> int:
        """Return a measure of how long scalesim takes: the cycles, each a row of what it makes."""
        return int(cycles(self.gemm, self.side, self.side, self.dataflow))


def main() -> None:
    """Run what is not there yet, then write the golden files of the networks that are."""
    parser = options(__doc__)
    parser.add_argument("--networks", nargs="+", default=["alexnet", "resnet18"])
    parser.add_argument("--dataflows", nargs="+", choices=DATAFLOWS, default=list(DATAFLOWS))
    parser.add_argument("--plan", action="store_true", help="list what is left and run nothing")
    parser.add_argument("--tiny", action="store_true", help="run a few small products instead")
    parser.add_argument("--workers", type=int, default=1, help="processes at once (1); each takes up to 6 GB")
    arguments = parser.parse_args()
    networks = ["tiny"] if arguments.tiny or arguments.quick else arguments.networks
    jobs = [job for name in networks for job in jobs_of(name, arguments.dataflows)]
    left = sorted({job.path: job for job in jobs if not job.path.exists()}.values(), key=lambda j: j.weight)
    if arguments.plan:
        for job in left:
            print(f"{job.network} {job.layer} {job.dataflow}: {job.weight / 1e6:.3f} M cycles")
        print(f"{len(left)} products to run, {sum(job.weight for job in left) / 1e6:.1f} M cycles")
        return
    python = environment()
    with progress("scalesim") as report, ThreadPoolExecutor(arguments.workers) as pool:
        for done, _ in enumerate(pool.map(lambda job: keep(job, python), left)):
            report(done + 1, len(left))
    for name in networks:
        print(write_golden(name, [job for job in jobs if job.network == name]).relative_to(ROOT))


def jobs_of(network: str, dataflows: Iterable[str]) -> Iterator[Job]:
    """Yield the different products of a network, each in every dataflow."""
    products = layers_of(network)
    side = TINY_SIDE if network == "tiny" else SIDE
    for gemm, layer in products.items():
        for dataflow in dataflows:
            yield Job(network, layer, gemm, side, dataflow)


def layers_of(network: str) -> dict[Gemm, str]:
    """Return one group of each layer, equal ones once, by the first layer's name."""
    if network == "tiny":
        return {gemm: f"product {place}" for place, gemm in enumerate(TINY, start=1)}
    workload = alexnet() if network == "alexnet" else resnet(int(network.removeprefix("resnet")))
    results: dict[Gemm, str] = {}
    for name, geometry in workload.items():
        gemm = gemm_of(geometry)
        results.setdefault(Gemm(gemm.m, gemm.k, gemm.n), name)
    return results


def environment() -> Path:
    """Return the python of scalesim's environment, made on the first call."""
    python = FOLDER / "venv" / "bin" / "python"
    done = FOLDER / "venv" / f"scalesim-{RELEASE}"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER / "venv")], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", f"scalesim=={RELEASE}", f"numpy=={NUMPY}"]
        subprocess.run(install, check=True)
        done.touch()
    return python


def keep(job: Job, python: Path) -> None:
    """Simulate a product and keep what is reported."""
    write_atomically(job.path, f"{json.dumps(simulate(job, python))}\n".encode())


def simulate(job: Job, python: Path) -> dict[str, Any]:
    """Return what scalesim reports of a product, and the seconds that it took."""
    sizes = {"m": job.gemm.m, "k": job.gemm.k, "n": job.gemm.n, "rows": job.side, "columns": job.side}
    command = [str(python), str(Path(__file__).with_name("scalesim_layer.py"))]
    done = subprocess.run(
        [*command, json.dumps(sizes | {"dataflow": DATAFLOWS[job.dataflow]})],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise SystemExit(f"{job.layer}, {job.dataflow}: {done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def write_golden(network: str, jobs: Sequence[Job]) -> Path:
    """Write what the tests compare: the figures that the model gives too, of the products that were run."""
    rows = [
        golden(job, json.loads(job.path.read_text(encoding="utf-8"))) for job in jobs if job.path.exists()
    ]
    side = jobs[0].side
    head = {"source": f"scalesim {RELEASE}, {network}", "rows": side, "columns": side}
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    text = json.dumps(head, indent=1).removesuffix("\n}") + f',\n "layers": [\n{lines}\n ]\n}}\n'
    path = GOLDEN / f"scalesim-{network}.json"
    write_atomically(path, text.encode())
    return path


def golden(job: Job, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a product's row: cycles as the index of the last one, as scalesim counts them."""
    return {
        "name": job.layer,
        "m": job.gemm.m,
        "k": job.gemm.k,
        "n": job.gemm.n,
        "dataflow": job.dataflow,
        "last_cycle": result["total_cycles"],
        **{name: result[name] for name in KEPT if (job.dataflow, name) != MISCOUNTED},
    }


if __name__ == "__main__":
    main()
