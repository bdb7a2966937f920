"""The tables of docs/learners.md are those of the result file, and say so where they are not."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "justus_page.py"
RESULT = ROOT / "benchmarks" / "results" / "justus.json"
PAGE = ROOT / "docs" / "learners.md"


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_agrees_with_the_result() -> None:
    done = check("--check")
    assert done.returncode == 0, done.stderr


def test_the_page_is_refused_where_it_does_not_agree_and_mended(tmp_path: Path) -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    result["table"]["conv/p100"]["roofline_trees"] |= {"mape": 7.77, "mape_sd": 0.41}
    other, page = tmp_path / "justus.json", tmp_path / "learners.md"
    other.write_text(json.dumps(result), encoding="utf-8")
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    place = ("--page", page, "--result", other)
    assert check("--check", *place).returncode == 1
    assert check(*place).returncode == 0
    assert "7.8 ± 0.4" in page.read_text(encoding="utf-8")
    page.write_text("# Learners\n", encoding="utf-8")
    done = check("--page", page)
    assert done.returncode == 1 and "learners:begin" in done.stderr
