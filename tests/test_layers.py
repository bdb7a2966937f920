"""Imports go downwards by layer only; files stay short; nothing is printed outside cli and report."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import juggler

ROOT = Path(juggler.__file__).parent
LEVELS = (
    {"display"},
    {"errors", "privacy", "extras"},
    {"lazy", "reading"},
    {"nouns", "files", "sqlite_files", "digest", "stopping", "arrays", "checks"},
    {"registry", "packages", "signatures"},
    {"metrics"},
    {"data", "clock", "count", "kernels"},
    {"transform", "cost", "models"},
    {"runtime", "capture"},
    {"predict", "compress", "alerts"},
    {"detect", "lateral", "secure"},
    {"sdn", "tune"},
    {"reproduce", "survey"},
    {"report"},
    {"cli"},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FILES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 500


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield the dotted names that a file imports, wherever it does, and those that it names as text.

    Text counts because `Registry` and `importlib.import_module` take the names of rooms as text.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            # A name taken from the root itself is a room or a name of the face.
            yield from (f"{base}.{alias.name}" for alias in node.names) if base == "juggler" else (base,)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"juggler(\.\w+)+", str(node.value)):
            # Text such as "juggler.format" is a key of the artefact: it names no room.
            yield from [node.value] if node.value.split(".")[1] in LEVEL else []


def faults(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Return the imports of a file that go upwards or sideways."""
    room = module.split(".")[1]
    package = module if is_package else module.rpartition(".")[0]
    found = []
    for name in imported(ast.parse(source), package):
        parts = name.split(".")
        if parts[0] != "juggler" or parts[1:2] == [room]:
            continue
        if len(parts) == 1 or parts[1] not in LEVEL:
            found.append(f"{module} imports {name}: take it from its room")
        elif LEVEL[parts[1]] >= LEVEL[room]:
            found.append(f"{module} imports {name}")
    return found


def hidden_by_files(room: Path) -> list[str]:
    """Return the names that a lazy room makes known and that a file of its own hides once it is imported.

    Python puts an imported submodule where `__getattr__` would have been asked: whichever came first won.
    """
    tree = ast.parse((room / "__init__.py").read_text())
    if "face" not in {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}:
        return []
    every = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    files = {path.stem for path in room.glob("*.py")} | {
        path.parent.name for path in room.glob("*/__init__.py")
    }
    return sorted(files & set(ast.literal_eval(every)))


def test_no_name_of_a_lazy_room_is_also_a_file_of_it():
    rooms = [path.parent for path in ROOT.rglob("__init__.py")]
    assert sum("__getattr__" in (room / "__init__.py").read_text() for room in rooms) >= 4
    found = {room.name: names for room in rooms if (names := hidden_by_files(room))}
    assert not found, "rename the files: a lazy name and a submodule of it cannot both be had"


def faces() -> list[Path]:
    return [path for path in ROOT.rglob("__init__.py") if "= face(" in path.read_text()]


@pytest.mark.parametrize("path", faces(), ids=lambda path: path.parent.name)
def test_the_lists_of_a_lazy_face_agree(path):
    tree = ast.parse(path.read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {node.module: sorted(alias.name for alias in node.names) for node in block.body}
    call = next(
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "face"
    )
    assert {home: sorted(names) for home, names in ast.literal_eval(call.args[1]).items()} == typed
    module = importlib.import_module(dotted(path))
    eager = {name for name in module.__all__ if name in vars(module)}
    assert set(module.__all__) - eager <= {name for names in typed.values() for name in names}
    assert all(getattr(module, name) is not None for name in module.__all__)


def test_a_name_that_a_file_hides_is_found(tmp_path):
    (tmp_path / "__init__.py").write_text(
        '__all__ = ["figure", "table"]\n__getattr__, __dir__ = face(__name__, {})\n'
    )
    (tmp_path / "figure.py").touch()
    assert hidden_by_files(tmp_path) == ["figure"]


def test_imports_go_downwards():
    above = ("__init__.py", "__main__.py", "moved.py")  # the root itself, which names every room
    inner = [path for path in FILES if path.parent != ROOT or path.name not in above]
    assert len(inner) > 80
    found = [
        fault
        for path in inner
        for fault in faults(
            path.read_text(encoding="utf-8"), dotted(path), is_package=path.name == "__init__.py"
        )
    ]
    assert found == []


@pytest.mark.parametrize(
    ("module", "source", "is_fault"),
    [
        ("juggler.data.encode", "from juggler.runtime import Artefact", True),
        ("juggler.data.encode", "def f():\n    import juggler.models.detector.plan", True),
        ("juggler.data.encode", "if TYPE_CHECKING:\n    from juggler.detect import Sink", True),
        ("juggler.transform.flatten", "from juggler.models import create", True),
        ("juggler.transform.flatten", "from ..models import create", True),
        ("juggler.transform.flatten", "from juggler import models", True),
        ("juggler.transform.flatten", "from juggler import create", True),
        ("juggler.transform.flatten", "import juggler", True),
        ("juggler.transform.flatten", "importlib.import_module('juggler.report.html')", True),
        ("juggler.transform.flatten", "from . import models", False),
        ("juggler.transform.flatten", "from juggler.data import Records", False),
        ("juggler.report.demo", "from juggler import metrics\nkey = 'juggler.format'", False),
    ],
)
def test_the_reader_of_imports_sees(module, source, is_fault):
    assert bool(faults(source, module)) is is_fault


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_and_quiet(path):
    text = path.read_text(encoding="utf-8")
    assert 1 <= len(text.splitlines()) <= MAX_LINES
    assert "util" not in path.stem
    assert ast.get_docstring(ast.parse(text)), "a file says what it is"
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    prints = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert dotted(path).split(".")[1:2] in (["cli"], ["report"]) or prints == []


def test_every_room_has_a_level():
    rooms = {path.stem for path in ROOT.glob("*.py") if not path.stem.startswith("__")}
    rooms |= {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms - {"moved"} <= set(LEVEL)


BENCHMARKS = ROOT.parents[1] / "benchmarks"
BENCHMARK_LEVELS = (
    {"common", "machine_files"},
    {"pages"},
    {"claims", "nvidia", "detector", "predict", "accuracy"},
)
MAX_FILES = 20  # of a folder
Arrows = dict[str, set[str]]


def modules(root: Path) -> dict[str, Path]:
    """Return the files below a package by their dotted names."""
    names = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root.parent).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def arrows(paths: dict[str, Path]) -> Arrows:
    """Return which of these modules each imports, wherever in its file."""
    drawn: Arrows = {name: set() for name in paths}
    for module, path in paths.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                targets = [f"{base}.{a.name}" if f"{base}.{a.name}" in paths else base for a in node.names]
            else:
                continue
            drawn[module] |= {name for name in targets if name in paths and name != module}
    return drawn


def between(drawn: Arrows, folder: str) -> Arrows:
    """Return the arrows between the files and folders that lie in a folder, those inside each left out."""
    start = len(folder) + 1
    rooms: Arrows = {}
    for module, targets in drawn.items():
        if module.startswith(f"{folder}."):
            room = module[start:].split(".")[0]
            inner = {target[start:].split(".")[0] for target in targets if target.startswith(f"{folder}.")}
            rooms.setdefault(room, set()).update(inner - {room})
    return rooms


def circles(drawn: Arrows) -> list[str]:
    """Return what lies on circles or between them: ends and starts are taken away until none is left."""
    rest = {name: set(targets) for name, targets in drawn.items()}
    while ends := {name for name, targets in rest.items() if not targets & set(rest)}:
        rest = {name: targets for name, targets in rest.items() if name not in ends}
    while starts := set(rest) - set().union(*rest.values()):
        rest = {name: targets for name, targets in rest.items() if name not in starts}
    return sorted(rest)


@pytest.mark.parametrize("root", [ROOT, BENCHMARKS], ids=lambda path: path.name)
def test_no_import_goes_in_a_circle(root):
    paths = modules(root)
    drawn = arrows(paths)
    assert sum(map(len, drawn.values())) > 50
    assert circles(drawn) == []
    folders = {name for name, path in paths.items() if path.name == "__init__.py"}
    assert {folder: names for folder in folders if (names := circles(between(drawn, folder)))} == {}


def test_circles_are_seen():
    drawn = {"a.x.one": {"a.y.two"}, "a.y.two": set(), "a.y.three": {"a.x.one"}, "a.z": {"a.y.three"}}
    assert circles(drawn) == []
    assert circles(between(drawn, "a")) == ["x", "y"]
    assert circles(drawn | {"a.y.two": {"a.x.one"}}) == ["a.x.one", "a.y.two"]


@pytest.mark.parametrize("root", [ROOT, BENCHMARKS], ids=lambda path: path.name)
def test_a_folder_holds_few_files(root):
    folders = {path.parent for path in root.rglob("*.py")}
    counts = {str(folder.relative_to(root)): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > MAX_FILES} == {}


def test_imports_of_benchmarks_go_downwards():
    level = {room: height for height, rooms in enumerate(BENCHMARK_LEVELS) for room in rooms}
    rooms = between(arrows(modules(BENCHMARKS)), "benchmarks")
    assert set(rooms) == set(level)
    for room, targets in rooms.items():
        assert all(level[target] <= level[room] for target in targets), f"{room} imports {targets}"
        siblings = {target for target in targets if level[target] == level[room]}
        assert not siblings or level[room] == 0, f"{room} imports {siblings}"
