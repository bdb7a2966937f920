"""The documentation as a site: as the code says, its links lead somewhere, and nothing is fetched."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs_tools import FOLDER, ROOT, docs_tool

FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "srcset"}


def test_generated_pages_agree_with_the_code(capsys):
    assert docs_tool("generate").main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_and_a_leftover_page_are_found_and_mended(monkeypatch, tmp_path, capsys):
    generate = docs_tool("generate")
    page, leftover = tmp_path / "page.md", tmp_path / "gone.md"
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    monkeypatch.setattr(generate.plugins, "pages", lambda: {page: f"{generate.MARK}\n\nnew\n"})
    for other in (generate.program, generate.faces):
        monkeypatch.setattr(other, "pages", dict)
    leftover.write_text(f"{generate.MARK}\n")
    (tmp_path / "by-hand.md").write_text("kept\n")
    assert generate.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert "page.md" in told and "gone.md" in told and "by-hand" not in told
    assert leftover.exists() and not page.exists()
    assert generate.main([]) == 0 and generate.main(["--check"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["by-hand.md", "page.md"]


class Page(HTMLParser):
    """What a page links to, what it fetches by itself, and the names that may be linked to on it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.names: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value}
        self.names |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if FETCHED.get(tag) in values:
            self.fetched.append(values[FETCHED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(FOLDER / "site_build.py"), "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "site"


def test_every_page_of_the_documentation_is_in_the_site_and_its_search(site):
    index = next(path for path in site.rglob("search*.js*") if "workers" not in path.parts).read_text("utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (site / name).is_file() and name in index


def test_links_lead_somewhere_and_nothing_is_fetched_from_elsewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 40
    for path, page in pages.items():
        for target in page.fetched:
            assert not target.startswith(("http:", "https:", "//")), f"{path.name} fetches {target}"
        for target in [*page.links, *page.fetched]:
            if target.startswith(("http:", "https:", "mailto:", "data:")):
                continue
            place, _, name = unquote(target).partition("#")
            file = (path.parent / place).resolve() if place else path
            file = file / "index.html" if file.is_dir() else file
            assert file.is_file(), f"{path.relative_to(site)} links to {target}"
            if name and file in pages:
                assert name in pages[file].names, f"{path.relative_to(site)} links to {target}"


def test_a_link_to_a_folder_or_to_nothing_ends_the_build(monkeypatch, tmp_path, capsys):
    tool = docs_tool("site_build")
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in tool.PROJECT:
        (tmp_path / name).write_text("# A page\n")
    monkeypatch.setattr(tool, "DOCS", docs)
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    for target in ("nowhere.md", "../docs"):
        (docs / "index.md").write_text(f"# A page\n\n[a link]({target})\n")
        assert tool.main(["--out", str(tmp_path / "out")]) == 1
        assert "Link to a file" in capsys.readouterr().err
