"""One page a registry, and a page that lists them: what there is, what a plug-in offers and must pass.

Registries are found by reading the package for `Registry("kind", "package")`; nothing lists them.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markup import DOCS, MARK, ROOT, SOURCE, first_line, link, table, tree

from juggler.registry import Registry

FOLDER = DOCS / "extend"
INDEX = FOLDER / "index.md"
CONTRACT = re.compile(r"Contract: `([\w./]+)`\.")
FENCE = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INTRODUCTION = """\
# Extend

Whatever there may be more than one of is a plug-in: one file in one folder, found by its name. There is no
list to edit. The tests take a new file up by themselves and hold it to the contract of its kind. Another
package offers the same object as an entry point; a plug-in of the house wins over one of the same name from
outside.

What is to be written, step by step: [a rule](add-a-rule.md), [a backend](add-a-backend.md), [a data
set](add-a-data-set.md). What there is, kind by kind:
"""


@dataclass(frozen=True)
class Kind:
    """One kind of plug-in.

    Attributes:
        registry: finds the plug-ins.
        annotation: what a plug-in is, such as `Backend` or `Mapping[str, Maker]`.
        home: the file that makes the registry.
    """

    registry: Registry[object]
    annotation: ast.expr
    home: Path

    @property
    def folder(self) -> Path:
        """Return the folder of the plug-ins."""
        return SOURCE.joinpath(*self.registry.package.split("."))

    @property
    def title(self) -> str:
        """Return the title of its page: the folder, and the room that it is in."""
        _, room, *_, name = self.registry.package.split(".")
        return f"{name.capitalize()} of {room}"

    @property
    def page(self) -> Path:
        """Return where its page is."""
        _, room, *_, name = self.registry.package.split(".")
        return FOLDER / f"{room}-{name}.md"

    @property
    def doc(self) -> str:
        """Return what the folder says of itself, without the name of the contract."""
        return CONTRACT.sub("", self._doc).strip()

    @property
    def contract(self) -> Path:
        """Return the tests that every plug-in must pass.

        Raises:
            LookupError: the folder names none, or one that is not there.
        """
        match = CONTRACT.search(self._doc)
        paths = sorted((ROOT / "tests").rglob(match[1])) if match else []
        if len(paths) != 1:
            raise LookupError(f"{self.folder}/__init__.py must say: Contract: `NAME_OF_A_TEST_FILE.py`.")
        return paths[0]

    @property
    def guides(self) -> list[Path]:
        """Return the pages that show how one is written and declared."""
        return [page for page in sorted(FOLDER.glob("*.md")) if self.registry.group in declared(page)]

    @property
    def files(self) -> list[Path]:
        """Return the files of the plug-ins of the house."""
        return [path for path in sorted(self.folder.glob("*.py")) if not path.name.startswith("_")]

    @property
    def _doc(self) -> str:
        return ast.get_docstring(tree(self.folder / "__init__.py")) or ""


def kinds() -> list[Kind]:
    """Return every kind of plug-in that the package has, by the name of its page."""
    found = [kind for path in sorted(SOURCE.rglob("*.py")) for kind in _kinds_of(path)]
    return sorted(found, key=lambda kind: kind.page.name)


def pages() -> dict[Path, str]:
    """Return the text of each page by its place."""
    every = kinds()
    return {INDEX: _index(every), **{kind.page: _page(kind) for kind in every}}


def declared(page: Path) -> set[str]:
    """Return the groups of entry points that a page's pyproject.toml declares."""
    tables = [tomllib.loads(text) for text in FENCE.findall(page.read_text(encoding="utf-8"))]
    return {group for t in tables for group in t.get("project", {}).get("entry-points", {})}


def _kinds_of(path: Path) -> Iterator[Kind]:
    if "Registry" not in (text := path.read_text(encoding="utf-8")):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Call):
            annotation, call = node.annotation, node.value
        elif isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return) and node.returns:
            annotation, value = node.returns, node.body[-1].value
            if not isinstance(value, ast.Call):
                continue
            call = value
        else:
            continue
        if not (isinstance(call.func, ast.Name) and call.func.id == "Registry"):
            continue
        arguments = [ast.literal_eval(argument) for argument in call.args]
        options = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg}
        if isinstance(annotation, ast.Subscript):
            yield Kind(Registry(*arguments, **options), annotation.slice, path)


def _index(every: list[Kind]) -> str:
    rows = [
        [
            f"[{kind.title}]({kind.page.name})",
            f"`{kind.registry.kind.upper()}`",
            f"`{kind.registry.group}`",
            link(kind.contract, INDEX, f"`{kind.contract.name}`"),
            str(len(kind.files)),
        ]
        for kind in every
    ]
    head = ["kind", "offered as", "group of entry points", "must pass", "here"]
    return "\n".join([MARK, "", INTRODUCTION, table(head, rows), ""])


def _page(kind: Kind) -> str:
    registry, name = kind.registry, kind.registry.kind.upper()
    place = kind.folder.relative_to(ROOT).as_posix()
    rows = [_plugin(kind, path) for path in kind.files]
    guides = [f"[{first_line(page.read_text()).lstrip('# ').lower()}]({page.name})" for page in kind.guides]
    return (
        "\n\n".join(
            [
                MARK,
                f"# {kind.title}",
                kind.doc,
                table(["name", "in short", "what it is", "source"], rows),
                "## What a plug-in offers",
                f"`{name}`, in a file of its own, `{place}/<name>.py`: `{ast.unparse(kind.annotation)}`.",
                *_types(kind),
                "## What it must pass",
                f"{link(kind.contract, kind.page, f'`{kind.contract.name}`')}: {_contract(kind)}",
                "## Add one",
                *([f"Step by step: {', '.join(guides)}."] if guides else []),
                f"In this repository, save the file as `{place}/<name>.py`; the tests take it up by its\n"
                f'name. In a package of your own, declare `<name> = "your_module:{name}"` in the group\n'
                f"`{registry.group}` of entry points; the name that it had in 0.1.0, `{registry.alias}`,\n"
                "still counts.",
                f"All kinds are listed in [extend]({INDEX.name}).",
            ]
        )
        + "\n"
    )


def _plugin(kind: Kind, path: Path) -> list[str]:
    """Return name, first lines and source of a plug-in, read from its file."""
    module = tree(path)
    offered = _object(module, kind.registry.kind.upper())
    said = first_line(ast.get_docstring(offered)) if offered else ""
    return [
        link(path, kind.page, f"`{path.stem}`"),
        said,
        first_line(ast.get_docstring(module)),
        _attribute(offered, "source"),
    ]


def _object(module: ast.Module, name: str) -> ast.ClassDef | ast.FunctionDef | None:
    """Return the class or function behind `NAME = It()` or `NAME = it`."""
    definitions = {
        node.name: node for node in module.body if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }
    for node in module.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not any(isinstance(target, ast.Name) and target.id == name for target in targets):
            continue
        value = getattr(node, "value", None)
        value = value.func if isinstance(value, ast.Call) else value
        return definitions.get(value.id) if isinstance(value, ast.Name) else None
    return None


def _attribute(node: ast.AST | None, name: str) -> str:
    """Return a string that a class sets."""
    for line in getattr(node, "body", []):
        if isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == name:
            value = ast.literal_eval(line.value)
            return value if isinstance(value, str) else ""
    return ""


def _types(kind: Kind) -> Iterator[str]:
    """Yield what is said of each type that a plug-in must be, and its members."""
    for name in dict.fromkeys(part.id for part in ast.walk(kind.annotation) if isinstance(part, ast.Name)):
        for path, node in _definitions(name, kind.home):
            text = link(path, kind.page, f"`{name}`")
            if isinstance(node, ast.ClassDef):
                yield f"{text}: {first_line(ast.get_docstring(node))}"
                if rows := list(_members(node)):
                    yield table(["member", "what it is"], rows)
            else:
                yield f"{text}: `{ast.unparse(node)}`."


def _definitions(name: str, path: Path) -> Iterator[tuple[Path, ast.ClassDef | ast.Assign]]:
    """Yield where a name of a file is defined, there or where it is imported from in the package."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef | ast.Assign) and name in _names(node):
            yield path, node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("juggler"):
            place = SOURCE.joinpath(*(node.module or "").split("."))
            home = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            yield from _definitions(name, home) if name in _names(node) else ()


def _names(node: ast.ClassDef | ast.Assign | ast.ImportFrom) -> list[str]:
    """Return the names that a class, an assignment or an import makes."""
    if isinstance(node, ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _members(node: ast.ClassDef) -> Iterator[list[str]]:
    pattern = r"^ *(\w+): (.+(?:\n {8,}\S.*)*)$"  # what does not fit into a line goes on further in
    entries = re.findall(pattern, ast.get_docstring(node) or "", re.MULTILINE)
    said = {name: re.sub(r"\s+", " ", text) for name, text in entries}
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            member = line.target.id
            yield [f"`{member}: {ast.unparse(line.annotation)}`", said.get(member, "")]
        elif isinstance(line, ast.FunctionDef) and not line.name.startswith("_"):
            arguments = [argument.arg for argument in [*line.args.args, *line.args.kwonlyargs]]
            asked = ", ".join(argument for argument in arguments if argument not in ("self", "cls"))
            yield [f"`{line.name}({asked})`", first_line(ast.get_docstring(line))]


def _contract(kind: Kind) -> str:
    doc = first_line(ast.get_docstring(tree(kind.contract))) or "what every plug-in of this kind must do."
    return doc[0].lower() + doc[1:]
