"""The tables of docs/others.md are those of the result file, and say so where they are not."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "others_page.py"
RESULT = ROOT / "benchmarks" / "results" / "others.json"
PAGE = ROOT / "docs" / "others.md"


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_agrees_with_the_result() -> None:
    done = check("--check")
    assert done.returncode == 0, done.stderr


def test_the_page_is_refused_where_it_does_not_agree_and_mended(tmp_path: Path) -> None:
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    result["networks"][0]["races"]["onnxruntime"] |= {"times": 7.77, "low": 7.5, "high": 8.125}
    other, page = tmp_path / "others.json", tmp_path / "others.md"
    other.write_text(json.dumps(result), encoding="utf-8")
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    place = ("--page", page, "--result", other)
    assert check("--check", *place).returncode == 1
    assert check(*place).returncode == 0
    assert check("--check", *place).returncode == 0
    assert "7.77 (7.50 to 8.12)" in page.read_text(encoding="utf-8")


def test_a_page_without_its_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "others.md"
    page.write_text("# Other people's networks\n", encoding="utf-8")
    done = check("--page", page)
    assert done.returncode == 1 and "markers" not in done.stdout and "findings" in done.stderr
