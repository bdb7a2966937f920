"""What is imported is declared in pyproject.toml, and what is declared is pinned in constraints.txt."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
USERS = ("train", "int8", "power", "fleet", "sign")  # extras of users; the others are for a checkout
FOLDERS = ("benchmarks", "tests", "examples", "tools")  # what else of the checkout has Python in it
UNDECLARED = {
    "tensorrt": "it goes with one release of CUDA: the backend's hint names the package",
    "pynvml": "NVIDIA's machines only, and the benchmark does without",
    "scalesim": "it needs an old numpy: the benchmark makes an environment for it",
}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(requirements: Iterable[str]) -> set[str]:
    """Return the distributions that requirements name, those of juggler's extras among them."""
    names = set()
    for requirement in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement).groups()  # type: ignore[union-attr]
        within = [line for extra in (extras or "").split(",") if extra for line in EXTRAS[extra]]
        names |= declared(within) if name == PROJECT["name"] else {normalised(name)}
    return names


EVERY = declared([*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)])
FOR_USERS = declared([*PROJECT["dependencies"], *(line for extra in USERS for line in EXTRAS[extra])])


def called(node: ast.Call) -> str:
    """Return the last name of what is called: `import_module` of `importlib.import_module(...)`."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def imported(source: str) -> Iterator[str]:
    """Yield the packages that a file imports, wherever it does; `if TYPE_CHECKING` is left out."""
    tree = ast.parse(source)
    checked_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if id(node) in checked_only:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and called(node) == "import_module":
            names = [str(text.value) for text in node.args[:1] if isinstance(text, ast.Constant)]
        yield from (name.partition(".")[0] for name in names)


@functools.cache
def third_party(folder: str) -> dict[str, str]:
    """Return the packages of others that the files of a folder import, each with a file that does."""
    files = sorted((ROOT / folder).rglob("*.py"))
    packages = {path.parent.name for path in files if path.name == "__init__.py"}
    local = {path.stem for path in files} | packages | {"juggler", *FOLDERS}
    return {
        name: str(path.relative_to(ROOT))
        for path in files
        for name in imported(path.read_text(encoding="utf-8"))
        if name not in local | sys.stdlib_module_names
    }


INSTALLED = functools.cache(packages_distributions)


def distributions_of(name: str) -> set[str]:
    """Return the distributions that may hold a package; its name where none is installed."""
    return {*map(normalised, INSTALLED().get(name, [name]))}


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [("src", FOR_USERS), *((folder, EVERY) for folder in FOLDERS)],
    ids=["src", *FOLDERS],
)
def test_what_is_imported_is_declared(folder: str, allowed: set[str]) -> None:
    packages = third_party(folder)
    assert folder == "tools" or "numpy" in packages
    missing = {
        name: place
        for name, place in packages.items()
        if name not in UNDECLARED and not distributions_of(name) & allowed
    }
    assert missing == {}, "declare them in pyproject.toml and pin them in constraints.txt"


def test_what_is_declared_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normalised(line.partition("==")[0]) for line in lines if "==" in line}
    build = declared(tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"])
    assert sorted((EVERY | build) - pinned) == []


def test_every_exception_is_still_needed() -> None:
    used = {name for folder in ("src", "benchmarks") for name in third_party(folder)}
    assert set(UNDECLARED) <= used
    assert not any(distributions_of(name) & EVERY for name in UNDECLARED)


def test_the_reader_of_imports_sees() -> None:
    source = (
        "import a.b, c\nfrom d.e import f\nfrom .g import h\nif TYPE_CHECKING:\n    import i\n"
        "def j():\n    import k\n    importlib.import_module('l.m')\n    import_module(name)\n"
    )
    assert sorted(imported(source)) == ["a", "c", "d", "k", "l"]
    assert declared(["juggler[fleet]", "X_y.z>=1"]) == {"ray", "x-y-z"}
