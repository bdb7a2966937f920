"""The tables of docs/predict.md are those of the result files, and say so where they are not."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "predict_page.py"
KERNELS = ROOT / "benchmarks" / "results" / "predict_kernels.json"
PAGE = ROOT / "docs" / "predict.md"


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_agrees_with_the_results() -> None:
    done = check("--check")
    assert done.returncode == 0, done.stderr


def test_the_page_is_refused_where_it_does_not_agree_and_mended(tmp_path: Path) -> None:
    result = json.loads(KERNELS.read_text(encoding="utf-8"))
    result["families"]["conv"]["median_error"] = 77.7
    other, page = tmp_path / "kernels.json", tmp_path / "predict.md"
    other.write_text(json.dumps(result), encoding="utf-8")
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    place = ("--page", page, "--kernels", other)
    assert check("--check", *place).returncode == 1
    assert check(*place).returncode == 0
    assert check("--check", *place).returncode == 0
    assert "| 77.7 |" in page.read_text(encoding="utf-8")
