"""The documentation works: its python runs, its commands parse, its links lead somewhere."""

import importlib
import itertools
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
import typer

from docs_tools import docs_tool
from juggler.cli.app import build

ROOT = Path(__file__).resolve().parent.parent
TOLD = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]
PAGES = [page for page in TOLD if page.is_file()]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
KINDS = [kind.registry for kind in docs_tool("plugins").kinds()]
REGISTRIES = {registry.group: registry for registry in KINDS}


def fenced(page, language):
    return [text for kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def having(language):
    found = [page for page in PAGES if fenced(page, language)]
    return pytest.mark.parametrize("page", found, ids=[page.stem for page in found])


def entry_points(page):
    """Return group, name and object of the plug-ins that the page's pyproject.toml declares."""
    return [
        (group, name, value)
        for text in fenced(page, "toml")
        for group, entries in tomllib.loads(text).get("project", {}).get("entry-points", {}).items()
        for name, value in entries.items()
    ]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install, in miniature, the package that a page describes: its first python block, its entry points."""

    def install(page):
        points = entry_points(page)
        modules = {value.partition(":")[0] for _, _, value in points}
        for module in modules:
            (tmp_path / f"{module}.py").write_text(fenced(page, "python")[0], encoding="utf-8")
            monkeypatch.delitem(sys.modules, module, raising=False)
        folder = tmp_path / "third_party-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text("".join(f"[{g}]\n{n} = {v}\n" for g, n, v in points))
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.chdir(tmp_path)
        importlib.invalidate_caches()
        return points

    return install


@having("python")
def test_python_of_a_page_runs_in_order(page, installed, monkeypatch):
    installed(page)
    name = f"page_{page.stem.replace('-', '_')}"
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)  # dataclasses look their module up
    for number, text in enumerate(fenced(page, "python"), start=1):
        code = compile(text, f"{page.name}, python block {number}", "exec", dont_inherit=True)
        exec(code, vars(module))  # noqa: S102  # the page's own code is what is tested


def commands(page):
    """Return the `juggler VERB ...` calls of a page's console blocks, pipes and redirections cut off."""
    found = []
    for block in fenced(page, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while "juggler" in words:
                words = words[words.index("juggler") + 1 :]
                ends = itertools.takewhile(lambda word: word not in ("|", "||", "&&", ">", ";", "&"), words)
                found.append(list(ends))
    return found


def verbs():
    return typer.main.get_command(build()).commands


def parses(words):
    """Do nothing where the program takes these words; raise where it does not."""
    verb, *rest = words
    assert verb in verbs(), f"no such verb: {verb}"
    verbs()[verb].make_context(verb, rest).close()


@having("console")
def test_commands_of_a_page_parse(page):
    for words in commands(page):
        if words != ["--version"]:
            parses(words)


@pytest.mark.parametrize("words", [["no-such-verb"], ["info", "--no-such-option"], ["measure"]])
def test_a_wrong_command_is_found(words):
    with pytest.raises(Exception, match=r"(?i)no such|missing"):
        parses(words)


def test_every_verb_is_shown():
    shown = {words[0] for page in PAGES for words in commands(page)}
    assert {*verbs()} <= shown


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_links_lead_to_files_and_headings(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} points to {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}
            assert heading in anchors, f"{page.name} points to {target}"


def test_every_page_can_be_reached_from_the_index():
    reached, ahead = set(), [ROOT / "docs" / "index.md"]
    while ahead:
        page = ahead.pop()
        reached.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")))
        near = {(page.parent / link).resolve() for link in links if link.endswith(".md")}
        ahead += [other for other in near - reached - {*ahead} if other.is_file()]
    assert {*(ROOT / "docs").rglob("*.md")} <= reached


@pytest.mark.parametrize("page", [page for page in PAGES if entry_points(page)], ids=lambda page: page.stem)
def test_a_plug_in_of_another_package_is_found_by_its_entry_point(page, installed):
    for group, name, _ in installed(page):
        registry = REGISTRIES[group]
        assert name in registry.names()
        assert getattr(registry.get(name), "name", name) == name


def test_every_registry_has_its_page():
    text = (ROOT / "docs" / "extend" / "index.md").read_text(encoding="utf-8")
    folders = [
        path for path in (ROOT / "src").rglob("__init__.py") if "Contract: `" in path.read_text("utf-8")
    ]
    assert len(REGISTRIES) == len(KINDS) == len(folders), "a group each, and each is found"
    for registry in KINDS:
        assert f"`{registry.group}`" in text, f"extend/index.md does not name {registry.group}"


@pytest.mark.parametrize("script", EXAMPLES, ids=[script.stem for script in EXAMPLES])
def test_examples_run(script, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "JUGGLER_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_examples_do_nothing_when_imported(capsys):
    for script in EXAMPLES:
        runpy.run_path(str(script), run_name="imported")
    assert not capsys.readouterr().out
