"""The table of detectors in docs/numbers.md is that of the result file."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "nsl_kdd_page.py"
RESULT = ROOT / "benchmarks" / "results" / "nsl_kdd.json"
PAGE = ROOT / "docs" / "numbers.md"


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_agrees_with_the_result() -> None:
    done = check("--check")
    assert done.returncode == 0, done.stderr


def test_a_changed_score_is_told(tmp_path: Path) -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    result["scores"]["test"]["juggler"]["0.02"]["macro_f1"]["mean"] = 0.987
    other, page = tmp_path / "nsl_kdd.json", tmp_path / "numbers.md"
    other.write_text(json.dumps(result), encoding="utf-8")
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    place = ("--page", page, "--result", other)
    assert check("--check", *place).returncode == 1
    assert check(*place).returncode == 0
    assert "0.987 ±" in page.read_text(encoding="utf-8")
