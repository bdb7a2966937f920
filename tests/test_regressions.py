"""Every regression test says which issue it is of, what failed, and how that is seen again."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "regressions"
FORM = FOLDER.parents[1] / ".github" / "ISSUE_TEMPLATE" / "bug.yml"
FIELDS = ("Network", "Command", "Doctor")
FILES = sorted(FOLDER.rglob("*.py"))
TEMPLATE = re.search(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]  # type: ignore[index]


def faults(name: str, source: str) -> list[str]:
    """Return what a regression test does not say."""
    number = re.fullmatch(r"test_issue_(\d+)_[a-z0-9_]+\.py", name)
    if number is None:
        return ["its name is not test_issue_NUMBER_what_failed.py"]
    text = ast.get_docstring(ast.parse(source)) or ""
    first, _, rest = text.partition("\n\n")
    missing = [field for field in FIELDS if not re.search(rf"^{field}: \S", rest, re.MULTILINE)]
    names_issue = re.match(rf"Issue {number[1]}: \w+", first)
    return [*([] if names_issue else [f"its first line is not 'Issue {number[1]}: what failed'"]), *missing]


def test_every_regression_names_its_issue_and_what_failed() -> None:
    missing = {path.name: faults(path.name, path.read_text(encoding="utf-8")) for path in FILES}
    assert not {name: what for name, what in missing.items() if what}


def test_the_template_passes_and_less_does_not() -> None:
    name = "test_issue_123_scale_into_transposed.py"
    assert faults(name, TEMPLATE) == []
    assert faults("test_scale.py", TEMPLATE) and faults("test_issue_124_scale.py", TEMPLATE)
    for field in FIELDS:
        assert faults(name, TEMPLATE.replace(f"{field}:", "Then:")) == [field]
    assert faults(name, "x = 1")


def test_the_form_asks_for_the_same() -> None:
    form = FORM.read_text(encoding="utf-8")
    labels = re.findall(r"^ +label: (\w+)$", form, re.MULTILINE)
    assert (*labels,) == FIELDS
    assert "juggler doctor" in form and form.count("required: true") == len(FIELDS)
