"""Build the documentation as a site with search, in build/site; read, it asks nothing of the network.

The pages of docs/ and those of the project beside them are laid out anew first: links that leave docs/ lead
to copies of the files that they name. Warnings are errors: a link that leads nowhere ends the build.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from markup import DOCS, ROOT

from juggler.errors import DataError

BUILD = ROOT / "build" / "site"
SECTIONS = {
    "start": "Start",
    "how-to": "How to",
    "extend": "Extend",
    "explain": "Explain",
    "reference": "Reference",
}
PROJECT = ("CONTRIBUTING.md", "CHANGELOG.md")
COPIED = ("site.css", "iframe-worker.js")
SHIM = "https://unpkg.com/iframe-worker/shim"  # what the search fetches where a page is opened as a file
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
SETTINGS = """\
[project]
site_name = "Juggler"
site_description = "Networks flattened exactly, priced in advance, and watching the network"
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
strict = true
extra_css = ["site.css"]
nav = {nav}

[project.theme]
font = false
features = ["navigation.sections", "navigation.top", "content.code.copy", "search.highlight"]

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"

[project.plugins.search]

[project.plugins.offline]

[project.markdown_extensions]
attr_list = {{}}
md_in_html = {{}}
tables = {{}}
toc.permalink = true
pymdownx.highlight.pygments_lang_class = true
pymdownx.superfences = {{}}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the site; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=BUILD, help="where; the pages come to lie in its folder site"
    )
    out = parser.parse_args(arguments).out.resolve()
    try:
        lay_out(out)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    command = [
        sys.executable,
        "-m",
        "zensical",
        "build",
        "--strict",
        "--clean",
        "-f",
        str(out / "zensical.toml"),
    ]
    if code := subprocess.run(command, check=False).returncode:
        return code
    close_off(out / "site")
    print(out / "site" / "index.html")
    return 0


def lay_out(out: Path) -> None:
    """Write pages, copies of what they link to, and the settings of the site into a folder.

    Raises:
        DataError: a page links to what is not there, or to a folder.
    """
    if out.is_dir():
        shutil.rmtree(out)
    pages = out / "pages"
    shutil.copytree(DOCS, pages)
    for name in COPIED:
        shutil.copy(Path(__file__).with_name(name), pages / name)
    sources = {DOCS / path.relative_to(pages): path for path in pages.rglob("*.md")}
    sources |= {ROOT / name: pages / name.lower() for name in PROJECT}
    for source, page in sources.items():
        page.write_text(_relinked(source, page, pages), encoding="utf-8")
    (out / "zensical.toml").write_text(SETTINGS.format(nav=_toml(navigation())), encoding="utf-8")


def close_off(site: Path) -> None:
    """Let pages find the search's helper beside them; leave out the one that only a server can show."""
    (site / "404.html").unlink()
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(SHIM, _relative(site / COPIED[1], page)), encoding="utf-8")


def navigation() -> list[dict[str, object]]:
    """Return the site's map: the sections in their order, the pages as docs/index.md comes to them."""
    order = [target for _, target, _, _ in LINK.findall((DOCS / "index.md").read_text(encoding="utf-8"))]

    def place(page: str) -> tuple[bool, int, str]:
        return (not page.endswith("/index.md"), order.index(page) if page in order else len(order), page)

    sections: list[dict[str, object]] = [{"Juggler": "index.md"}]
    for folder, title in SECTIONS.items():
        names = [page.relative_to(DOCS).as_posix() for page in (DOCS / folder).rglob("*.md")]
        if folder == "reference":
            names.append("claims.md")
        sections.append({title: [{_title(DOCS / name): name} for name in sorted(names, key=place)]})
    return [*sections, {"Project": [{_title(ROOT / name): name.lower()} for name in PROJECT]}]


def _relinked(source: Path, page: Path, pages: Path) -> str:
    """Return a page's text whose links lead to where their files come to lie."""

    def moved(match: re.Match[str]) -> str:
        begin, target, heading, end = match.groups()
        if re.match(r"\w+:", target):
            return match[0]
        path = (source.parent / target).resolve()
        return f"{begin}{_relative(_copied(path, source, pages), page)}{heading or ''}{end}"

    parts = FENCE.split(source.read_text(encoding="utf-8"))
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)


def _copied(path: Path, source: Path, pages: Path) -> Path:
    """Return where a file lies in the site, copied if nothing else brings it there."""
    if not path.is_file():
        raise DataError(f"lay out {source.relative_to(ROOT)}", f"a link to {path}, no file", "Link to a file")
    if path.is_relative_to(DOCS):
        return pages / path.relative_to(DOCS)
    inside = path.relative_to(ROOT)
    if inside.as_posix() in PROJECT:
        return pages / inside.name.lower()
    copy = pages / "files" / f"{inside}.txt"  # as text, so that a browser shows it
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)
    return copy


def _relative(target: Path, page: Path) -> str:
    up = [*page.parent.parts]
    steps = [*target.parts]
    while up and steps and up[0] == steps[0]:
        up.pop(0), steps.pop(0)
    return "/".join([*[".."] * len(up), *steps])


def _title(page: Path) -> str:
    return next(_headings(page))


def _headings(page: Path) -> Iterator[str]:
    yield from re.findall(r"^# (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)


def _toml(value: object) -> str:
    """Return lists, tables and text as TOML in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


if __name__ == "__main__":
    sys.exit(main())
