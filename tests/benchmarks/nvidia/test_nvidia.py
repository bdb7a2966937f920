"""The NVIDIA script on the CPU: it needs torch and numpy alone, and leaves nothing out in silence."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.nvidia.cells import Sizes, plan
from benchmarks.nvidia.meter import Meter
from benchmarks.nvidia.networks import UNFOLDED, Recipe, make, module_macs
from benchmarks.nvidia.output import jsonable
from commands import environment

ROOT = Path(__file__).parents[3]
BLOCKED = (
    *("pyarrow", "onnx", "onnxruntime", "openvino", "safetensors", "lightning_fabric", "platformdirs"),
    *("typer", "psutil", "rich", "matplotlib", "pynvml"),
)
SCRIPT = '''
import json, runpy, sys

class Without:
    """A finder that does not see what is blocked; torch asks for specs as well as importing."""

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in BLOCKED else self.finder.find_spec(name, path, target)

BLOCKED = set(json.loads(sys.argv[1]))
sys.meta_path[:] = map(Without, sys.meta_path)
sys.path = [part for part in sys.path if not part.endswith("src")]
sys.argv[1:] = sys.argv[2:]
runpy.run_module("benchmarks.nvidia.run", run_name="__main__", alter_sys=True)
'''
SMALL = (
    "--device",
    "cpu",
    "--quick",
    "--width",
    "0.125",
    "--classes",
    "4",
    "--workers",
    "0",
    "--ways",
    "eager",
)


def run(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(BLOCKED), *SMALL, "--out", str(folder), *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads((folder / "nvidia-cpu.json").read_text(encoding="utf-8"))
    return result, done.stdout


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    return run(tmp_path_factory.mktemp("nvidia"))


def test_torch_and_numpy_are_enough_for_every_table_and_figure(measured):
    result, out = measured
    assert result["finished"] and result["quick"]
    assert {row["experiment"] for row in result["rows"]} == {"table2", "table3", "fig8", "fig9"}
    assert result["certificates"]["18"]["passed"]
    assert result["machine"]["packages"]["torch"] == version("torch")
    assert "plain" in out and "flat" in out and "not run" in out


def test_a_row_holds_every_column(measured):
    for row in measured[0]["rows"]:
        assert row["median_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["n"] >= row["rounds"] == 2
        assert row["gmac_per_s"] == pytest.approx(row["macs"] / row["median_ms"] / 1e6)
        ceiling = measured[0]["ceilings_gmac_per_s"][row["precision"]]
        assert row["share_of_ceiling"] == pytest.approx(row["gmac_per_s"] / ceiling)
        assert row["difference"] < 1e-4
        assert row["gpu_ms"] is row["peak_mib"] is row["energy_mj"] is None, "the CPU has none of them"


def test_flat_is_compared_with_plain_wide_and_the_unfolded(measured):
    rows = [row for row in measured[0]["rows"] if row["experiment"] == "fig8" and row["batch"] == 2]
    found = {row["subject"]: row for row in rows}
    assert set(found) == {"plain", "flat", "wide", "plain, norms kept"}
    flat = found["flat"]
    assert flat["baseline"] == "plain" and flat["low"] <= flat["times_as_fast"] <= flat["high"]
    assert [other["baseline"] for other in flat["others"]] == ["wide", "plain, norms kept"]
    assert found["plain"]["baseline"] is None
    assert found["plain"]["macs"] == found["plain, norms kept"]["macs"] > flat["macs"]


def test_what_needs_a_gpu_is_listed(measured):
    why = {entry["what"]: entry["why"] for entry in measured[0]["not_run"]}
    assert why["CUDA graphs"] == "needs an NVIDIA GPU"
    assert why["energy"] == "no NVIDIA GPU"


def test_cells_beyond_the_budget_are_listed(tmp_path):
    result, out = run(tmp_path, "--minutes", "0", "--only", "fig8", "table2")
    late = [entry for entry in result["not_run"] if "the budget of 0 minutes" in entry["why"]]
    assert [entry["what"].partition(":")[0] for entry in late] == ["table2", "fig8", "fig8"]
    assert result["finished"] and result["rows"] == []
    assert "the budget of 0 minutes" in out


def test_without_a_gpu_it_says_so():
    command = [sys.executable, "-m", "benchmarks.nvidia.run", "--quick"]
    env = environment(CUDA_VISIBLE_DEVICES="")
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "torch sees no NVIDIA GPU" in done.stderr


def test_the_plan_answers_every_word_for_every_depth():
    cells = [cell for cell in plan(Sizes(), full=False) if cell.experiment == "fig8"]
    assert len(cells) == len(set(cells))
    for depth in (18, 34, 50, 101, 152):
        own = [cell for cell in cells if cell.depth == depth]
        ways = {way for cell in own for way in cell.ways}
        assert ways == {"eager", "graph", "compile", "compile+graph", "tensorrt"}
        assert {cell.precision for cell in own} == {"float32", "tf32", "float16", "bfloat16"}
        assert {cell.layout for cell in own} == {"contiguous", "channels_last"}
        shapes = {(cell.side_px, cell.batch) for cell in own}
        assert shapes == {(256, 8), (256, 1), (224, 8), (224, 1)}


def test_the_tables_have_the_papers_sizes():
    cells = list(plan(Sizes(), full=False))
    table2 = next(cell for cell in cells if cell.experiment == "table2")
    counted = {}
    with torch.device("meta"):
        for subject in table2.subjects():
            module, channels = table2.module(subject)
            counted[subject] = module_macs(module, (32, channels, 56, 56)) / 1e9
    published = {"vgg": 118.3, "basicblock": 118.4, "basicblock+": 92.16, "bottleneck": 112.4}
    for subject, gmacs in (published | {"bottleneck+": 135.04}).items():
        assert counted[subject] == pytest.approx(gmacs, rel=0.01)
    table3 = {(cell.kernel, cell.channels) for cell in cells if cell.experiment == "table3"}
    assert table3 == {(kernel, channels) for kernel in (1, 3, 5, 7) for channels in (512, 1024, 2048)}


def test_networks_survive_the_way_from_their_maker():
    made = make(Recipe(18, (32,), 0.125, 4, 32))
    networks = pickle.loads(pickle.dumps(made))  # noqa: S301
    x = torch.randn(2, 3, 40, 40)
    with torch.no_grad():
        outputs = {name: module(x) for name, module in networks.modules.items()}
    torch.testing.assert_close(outputs["plain"], outputs[UNFOLDED], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(outputs["flat"], outputs["wide"], rtol=1e-3, atol=1e-4)
    norms = {
        name: any(isinstance(part, torch.nn.BatchNorm2d) for part in module.modules())
        for name, module in networks.modules.items()
    }
    assert norms == {"plain": False, "flat": False, "wide": False, UNFOLDED: True}


def test_numbers_that_are_not_finite_become_null():
    assert jsonable({"a": [1.5, float("nan")], "b": (float("inf"), "x", None)}) == {
        "a": [1.5, None],
        "b": [None, "x", None],
    }


class Counter:
    """A board that draws 5 mJ a call and shows it in steps of 50, as real counters show theirs late."""

    def __init__(self) -> None:
        self.drawn_mj = 0

    def call(self) -> None:
        self.drawn_mj += 5

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object) -> int:  # noqa: N802
        return self.drawn_mj // 50 * 50


def test_energy_is_read_where_the_counter_moves():
    meter, counter = Meter(None), Counter()
    assert meter.energy_mj(counter.call) is None
    assert meter.why_not == "no NVIDIA GPU"
    meter.why_not, meter._nvml = "", counter
    assert meter.energy_mj(counter.call, least_s=0.001) == 5.0
