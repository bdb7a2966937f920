"""The tables of pages are those of result files; a page that says otherwise is told, and mended."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[3]


class Filled(NamedTuple):
    """A page, what fills it, and a figure that is changed to see that the page follows."""

    script: str
    page: str
    result: str
    option: str
    path: tuple[Any, ...]
    change: dict[str, float]
    shown: str


PAGES = [
    Filled(
        "others_page", "explain/others", "others", "--result", ("networks", 0, "races", "onnxruntime"),
        {"times": 7.77, "low": 7.5, "high": 8.125}, "7.77 (7.50 to 8.12)",
    ),
    Filled(
        "learners_page", "explain/learners", "justus", "--result", ("table", "conv/p100", "roofline_trees"),
        {"mape": 7.77, "mape_sd": 0.41}, "7.8 ± 0.4",
    ),
    Filled(
        "learners_page", "explain/learners", "lab_learners", "--lab", ("families", "conv", "learners", "svr"),
        {"mape": 7.77, "mape_sd": 0.41}, "7.8 ± 0.4",
    ),
    Filled(
        "predict_page", "how-to/predict", "predict_kernels", "--kernels", ("families", "conv"),
        {"median_error": 77.7}, "| 77.7 |",
    ),
    Filled(
        "predict_page", "how-to/predict", "predict_networks", "--networks", ("by_network", "vgg16"),
        {"mape": 77.7}, "**77.7**",
    ),
    Filled(
        "nsl_kdd_page", "reference/numbers", "nsl_kdd", "--result",
        ("scores", "test", "juggler", "0.02", "macro_f1"), {"mean": 0.987}, "0.987 ±",
    ),
    Filled(
        "nsl_kdd_page", "reference/numbers", "nsl_kdd_novelty", "--novelty",
        ("scores", "test", "juggler", "0.02", "macro_f1"), {"mean": 0.987}, "0.987 ±",
    ),
    Filled(
        "nsl_kdd_page", "reference/numbers", "detector_search", "--search",
        ("candidates", "members_3", "scores", "auc_few"), {"mean": 0.987}, "0.987",
    ),
]  # fmt: skip
EACH = pytest.mark.parametrize("filled", PAGES, ids=lambda one: f"{one.script}-{one.result}")


def run(filled: Filled, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.pages.{filled.script}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@EACH
def test_the_page_agrees_with_the_result(filled: Filled) -> None:
    done = run(filled, "--check")
    assert done.returncode == 0, done.stderr


@EACH
def test_a_page_that_does_not_agree_is_refused_and_mended(filled: Filled, tmp_path: Path) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / f"{filled.result}.json").read_text("utf-8"))
    place = result
    for key in filled.path:
        place = place[key]
    place |= filled.change
    other, page = tmp_path / "result.json", tmp_path / "page.md"
    other.write_text(json.dumps(result), encoding="utf-8")
    page.write_text((ROOT / "docs" / f"{filled.page}.md").read_text("utf-8"), encoding="utf-8")
    assert filled.shown not in page.read_text("utf-8")
    asked = ("--page", page, filled.option, other)
    assert run(filled, "--check", *asked).returncode == 1
    assert run(filled, *asked).returncode == 0
    assert run(filled, "--check", *asked).returncode == 0
    assert filled.shown in page.read_text("utf-8")


@EACH
def test_a_page_without_its_markers_is_refused(filled: Filled, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n", encoding="utf-8")
    done = run(filled, "--page", page)
    assert done.returncode == 1 and ":begin" in done.stderr and "Write both once" in done.stderr
