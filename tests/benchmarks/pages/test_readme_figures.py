from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.pages import readme_figures as figures

MACHINE = {"cpu": "a CPU", "cores": 2, "python": "3.11", "packages": {"torch": "2"}}
FILLED = "<!-- {0}:begin -->\nold\n<!-- {0}:end -->\n"


class Pages:
    """A README, a page of claims and results, all made up, and the script that fills them."""

    def __init__(self, folder: Path) -> None:
        self.results = folder / "results"
        self.readme, self.claims = folder / "README.md", folder / "claims.md"
        self.markers = ("figures", *figures.IN_TEXT)
        self.readme.write_text("before\n" + "".join(map(FILLED.format, self.markers)) + "after\n")
        self.claims.write_text("before\n" + FILLED.format("figures") + "after\n")
        self.results.mkdir()

    def fill(self, *arguments: str) -> int:
        place = {"readme": self.readme, "claims": self.claims, "results": self.results}
        options = [word for name, path in place.items() for word in (f"--{name}", str(path))]
        code: int = figures.main([*arguments, *options])
        return code

    def write(self, *, reached: bool = True, quick: bool = False) -> int:
        """Write a result for each headline and one besides; return how many claims they make."""
        headlines = [(name, f"{begin} | more") for name, begin in figures.HEADLINES]
        for name, claim in [*headlines, ("clock", "another claim")]:
            self.write_result(name, [claim, "a further claim"], reached=reached, quick=quick)
        self.write_result("novelty", [])
        return 2 * (len(headlines) + 1)

    def write_result(
        self, name: str, claims: Sequence[str], *, reached: bool = True, quick: bool = False
    ) -> None:
        findings: list[dict[str, Any]] = [
            {"claim": claim, "measured": "2.3x", "n": "30 rounds", "reached": reached} for claim in claims
        ]
        result = {"claim": f"What {name} is for.", "date": "2026-01-02", "quick": quick, "machine": MACHINE}
        (self.results / f"{name}.json").write_text(json.dumps(result | {"findings": findings}))


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    return Pages(tmp_path)


def test_the_pages_agree_with_the_results(capsys):
    assert figures.main(["--check"]) == 0, capsys.readouterr().err


def test_every_result_that_makes_claims_has_its_script():
    for name in figures.results_with_claims(figures.RESULTS):
        script = figures.script_of(name)
        assert script.exists() and figures.RESULTS not in script.parents, name


def test_filling_in_makes_them_agree(pages):
    count = pages.write()
    assert pages.fill("--check") == 1
    assert "old" in pages.readme.read_text(), "a check writes nothing"
    assert pages.fill() == 0 and pages.fill("--check") == 0
    for page in (pages.readme, pages.claims):
        text = page.read_text()
        assert text.startswith("before\n") and text.endswith(":end -->\nafter\n")
        assert "old" not in text
    assert f"**0 of {count} claims missed: [all of them](docs/claims.md).**" in pages.readme.read_text()
    assert f"{count} of {count} reached, 0 missed." in pages.claims.read_text()
    assert "\\| more" in pages.readme.read_text(), "a bar would break the table"
    assert pages.claims.read_text().count("### ") == len(figures.HEADLINES) + 1, (
        "no section where nothing is claimed"
    )
    pages.write(reached=False)
    assert pages.fill("--check") == 1


def test_each_page_is_checked(pages, capsys):
    pages.write()
    pages.fill()
    for page in (pages.readme, pages.claims):
        good = page.read_text()
        page.write_text(good.replace("2.3x", "3.2x", 1))
        assert pages.fill("--check") == 1 and page.name in capsys.readouterr().err
        page.write_text(good)
    assert pages.fill("--check") == 0


def test_a_miss_is_said_on_both_pages(pages):
    count = pages.write(reached=False)
    pages.fill()
    assert f"**{count} of {count} claims missed" in pages.readme.read_text()
    claims = pages.claims.read_text()
    assert claims.count("**missed**") == count, "each in its section"
    missed = claims.partition("## Missed")[2].partition("## All")[0]
    assert missed.count("2.3x") == count, "and all of them together"


def test_a_trial_or_a_missing_result_is_no_figure(pages, capsys):
    pages.write(quick=True)
    assert pages.fill() == 1 and "trial" in capsys.readouterr().err
    pages.write()
    name = figures.HEADLINES[0][0]
    (pages.results / f"{name}.json").unlink()
    assert pages.fill() == 1 and f"{name}.json" in capsys.readouterr().err


def test_a_headline_that_no_result_claims_is_refused(pages, capsys):
    pages.write()
    name, begin = figures.HEADLINES[0]
    for claims in (["another claim"], [begin, f"{begin} again"]):
        pages.write_result(name, claims)
        assert pages.fill() == 1
        assert f"{len(claims) if len(claims) > 1 else 0} claims begin so" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["none", "<!-- figures:begin -->", "<!-- figures:end --><!-- figures:begin -->"]
)
def test_a_page_without_both_markers_is_refused(text, pages, capsys):
    pages.write()
    for page in (pages.readme, pages.claims):
        good = page.read_text()
        page.write_text(text)
        assert pages.fill("--check") == 1 and "Write both once" in capsys.readouterr().err
        assert page.read_text() == text
        page.write_text(good)


def test_the_readme_stays_short():
    assert len((figures.ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100
