"""The page of the library's public faces: what `juggler` and each of its rooms offer, in their own words."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

from markup import DOCS, MARK, first_line, prose, table

import juggler

PAGE = DOCS / "reference" / "api.md"
INTRODUCTION = """\
# Python

What the package offers by name. Everything else may move from one release to the next. Arguments are
documented in full for the names of `juggler` itself; for those of a room, ask `help()`.
"""


def pages() -> dict[Path, str]:
    """Return the text of the page by its place."""
    rooms = [importlib.import_module(f"juggler.{m.name}") for m in pkgutil.iter_modules(juggler.__path__)]
    parts = [MARK, INTRODUCTION.rstrip(), "## juggler", *(_entry(name) for name in juggler.__all__)]
    for room in rooms:
        if names := getattr(room, "__all__", None):
            rows = [[f"`{name}`", _kind(getattr(room, name)), _line(getattr(room, name))] for name in names]
            parts += [
                f"## {room.__name__}",
                first_line(room.__doc__),
                table(["name", "", "what it is"], rows),
            ]
    return {PAGE: "\n\n".join(parts) + "\n"}


def _entry(name: str) -> str:
    value = getattr(juggler, name)
    parts = [f"### juggler.{name}"]
    if not inspect.isclass(value):
        parts.append(f"```text\n{name}{_signature(value)}\n```")
    parts.append(prose(inspect.getdoc(value)))
    if inspect.isclass(value):
        rows = [[f"`{member}`", first_line(inspect.getdoc(own))] for member, own in _members(value)]
        if rows:
            parts.append(table(["member", "what it is"], rows))
    return "\n\n".join(parts)


def _signature(value: Any) -> str:
    """Return the names of a function's arguments and their defaults, one a line where they are many."""
    names = []
    for parameter in inspect.signature(value).parameters.values():
        bare = parameter.replace(annotation=inspect.Parameter.empty)
        names.append(re.sub(r"=<[^>]*>", "=...", str(bare)))
    if len(line := f"({', '.join(names)})") <= 60:
        return line
    return "(\n" + "".join(f"    {name},\n" for name in names) + ")"


def _members(value: type) -> list[tuple[str, Any]]:
    return [
        (name, own)
        for name, own in vars(value).items()
        if not name.startswith("_")
        and (callable(own) or isinstance(own, property | classmethod | staticmethod))
    ]


def _kind(value: Any) -> str:
    if inspect.isclass(value):
        return "error" if issubclass(value, BaseException) else "class"
    if isinstance(value, ModuleType):
        return "room"
    return "function" if callable(value) else type(value).__name__


def _line(value: Any) -> str:
    told = inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, ModuleType)
    return first_line(inspect.getdoc(value)) if told else ""
