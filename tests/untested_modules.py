"""Name the modules of src that no test has by name, by import or by contract.

A module has a test where, of the files in `tests`,

- one bears its name: `test_MODULE.py` in its room's folder, or `test_ROOM_MODULE.py`,
- one imports it, or a name that the face of a room takes from it, or
- it is a plug-in, and one goes through the registry that finds it: contract tests take up what is there.

`python tests/untested_modules.py` prints them. With `--write` it writes the list that src is held to by
`test_untested_modules.py`, after modules were moved or renamed; it refuses to write a longer one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parent
SOURCE = TESTS.parent / "src" / "juggler"
LIST = TESTS / "untested_modules.txt"
HEADER = "# Modules of src without a test, as room/module. It can only shrink: see untested_modules.py.\n"


def key(path: Path, source: Path = SOURCE) -> str:
    """Return room and name of a module: folders between may change and it is still the same."""
    parts = path.relative_to(source).with_suffix("").parts
    return f"{parts[0]}/{parts[-1]}" if len(parts) > 1 else parts[0]


def dotted(path: Path, source: Path) -> str:
    """Return the name that a module is imported by."""
    return ".".join(path.relative_to(source.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the modules that a file imports, and the names that it takes from each, empty for the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, ""
            yield from ((node.module, alias.name) for alias in node.names)


def faces(source: Path) -> dict[tuple[str, str], str]:
    """Return which module a name of a room's face comes from: lazy faces import it for type checkers."""
    found = {}
    for path in source.rglob("__init__.py"):
        for module, name in imports(ast.parse(path.read_text(encoding="utf-8"))):
            if name:
                found[dotted(path, source), name] = module
    return found


def registries(source: Path) -> dict[str, Path]:
    """Return the folder that each registry looks in, by the name of the variable or function that has it."""
    found = {}
    for path in source.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign | ast.AnnAssign):
                name, value = (
                    ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target),
                    node.value,
                )
            elif isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return):
                name, value = node.name, node.body[-1].value
            else:
                continue
            if isinstance(value, ast.Call) and ast.unparse(value.func).startswith("Registry"):
                _, folder = (ast.literal_eval(word) for word in value.args)
                found[name] = source.parent / folder.replace(".", "/")
    return found


def untested(source: Path = SOURCE, tests: Path = TESTS) -> list[str]:
    """Return the keys of the modules without a test, sorted."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in tests.rglob("*.py")}
    names = {node.id for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.Name)}
    face = faces(source)
    taken = set()
    for package, name in (pair for tree in trees.values() for pair in imports(tree)):
        module = package
        taken |= {module, f"{module}.{name}"}
        while (module, name) in face:  # a face may take it from another face
            taken.add(module := face[module, name])
    contracts = {folder for registry, folder in registries(source).items() if registry in names}
    bearing = {(path.parent.relative_to(tests).parts[:1], path.stem) for path in trees}

    def is_tested(path: Path) -> bool:
        room = path.relative_to(source).parts[:-1][:1]
        longer = {f"test_{part}_{path.stem}" for part in path.relative_to(source).parts[:-1]}
        return (
            dotted(path, source) in taken
            or path.parent in contracts
            or (room, f"test_{path.stem}") in bearing
            or (not room and ((), f"test_{path.stem}") in bearing)
            or any(stem in longer for _, stem in bearing)
        )

    modules = (path for path in source.rglob("*.py") if not path.stem.startswith("__"))
    return sorted({key(path, source) for path in modules if not is_tested(path)})


def listed(path: Path = LIST) -> list[str]:
    """Return the keys that the list allows."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def write(keys: list[str], path: Path = LIST) -> bool:
    """Write the list and return True; return False where it would be longer than what it replaces."""
    if path.is_file() and len(keys) > len(listed(path)):
        return False
    path.write_text(HEADER + "".join(f"{key}\n" for key in keys), encoding="utf-8")
    return True


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        print(*untested(), sep="\n")
    elif not write(untested()):
        sys.exit("More modules than before have no test: write tests")
