from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NAMES = (
    *("speedups", "clock", "detector_speed", "nsl_kdd", "exactness"),
    *("flatten_cost", "graph_search", "others", "int8", "counts", "systolic"),
    *("survey", "accuracy", "accuracy_front", "accuracy_throughput"),
    *("predict_kernels", "predict_networks", "justus"),
)
MACHINE = {"cpu": "a CPU", "cores": 2, "python": "3.11", "packages": {"torch": "2"}}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.pages.readme_figures", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def write_results(folder: Path, *, reached: bool = True, quick: bool = False) -> None:
    for name in NAMES:
        finding = {"claim": f"{name} | claim", "measured": "2.3x", "n": "30 rounds", "reached": reached}
        result = {"date": "2026-01-02", "quick": quick, "machine": MACHINE, "findings": [finding]}
        (folder / f"{name}.json").write_text(json.dumps(result))


@pytest.fixture
def readme(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("before\n<!-- figures:begin -->\nold\n<!-- figures:end -->\nafter\n")
    return path


def test_the_readme_agrees_with_the_results():
    done = run("--check")
    assert done.returncode == 0, done.stderr


def test_filling_in_makes_them_agree(readme, tmp_path):
    write_results(tmp_path)
    place = ("--readme", readme, "--results", tmp_path)
    assert run("--check", *place).returncode == 1
    assert "old" in readme.read_text(), "a check writes nothing"
    assert run(*place).returncode == 0
    assert run("--check", *place).returncode == 0
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("<!-- figures:end -->\nafter\n")
    assert "old" not in text
    assert f"{len(NAMES)} of {len(NAMES)} reached." in text
    assert "speedups \\| claim" in text, "a bar would break the table"
    write_results(tmp_path, reached=False)
    assert run("--check", *place).returncode == 1


def test_a_miss_is_said(readme, tmp_path):
    write_results(tmp_path, reached=False)
    run("--readme", readme, "--results", tmp_path)
    assert readme.read_text().count("**missed**") == len(NAMES)
    assert f"0 of {len(NAMES)} reached, {len(NAMES)} missed." in readme.read_text()


def test_a_trial_or_a_missing_result_is_no_figure(readme, tmp_path):
    write_results(tmp_path, quick=True)
    done = run("--readme", readme, "--results", tmp_path)
    assert done.returncode == 1 and "trial" in done.stderr
    done = run("--readme", readme, "--results", tmp_path / "nowhere")
    assert done.returncode == 1 and "speedups.json" in done.stderr


@pytest.mark.parametrize(
    "text", ["none", "<!-- figures:begin -->", "<!-- figures:end --><!-- figures:begin -->"]
)
def test_a_readme_without_both_markers_is_refused(text, readme, tmp_path):
    write_results(tmp_path)
    readme.write_text(text)
    done = run("--check", "--readme", readme, "--results", tmp_path)
    assert done.returncode == 1 and "Write both once" in done.stderr
    assert readme.read_text() == text
