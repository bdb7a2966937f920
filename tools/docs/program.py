"""The page of the command line: every verb with its options and examples, from the program itself."""

from __future__ import annotations

import inspect
import itertools
import re
from pathlib import Path
from typing import Any

import typer
from markup import DOCS, MARK, table

from juggler.cli.app import EXIT_CODES, VERBS, build

PAGE = DOCS / "reference" / "cli.md"
INTRODUCTION = """\
# The command line

`juggler VERB --help` says the same in a terminal. A verb is the function of the library of the same name,
or a few lines around it.
"""


def pages() -> dict[Path, str]:
    """Return the text of the page by its place."""
    commands: list[Any] = [*typer.main.get_command(build()).commands.values()]  # type: ignore[attr-defined]
    parts = [MARK, INTRODUCTION.rstrip()]
    for panel, group in itertools.groupby(commands, key=lambda command: command.rich_help_panel):
        parts += [f"## {panel}", *(part for command in group for part in _verb(command))]
    parts += ["## Exit codes", _exit_codes()]
    return {PAGE: "\n\n".join(parts) + "\n"}


def _verb(command: Any) -> list[str]:
    doc = inspect.getdoc(VERBS.get(command.name)) or ""
    told, examples = re.split(r"Examples?: ", doc, maxsplit=1)
    lines = [" ".join(line.split()) for line in re.findall(r"juggler [^;]+", examples)]
    options = [[_names(option), _value(option), option.help or ""] for option in command.params]
    return [
        f"### juggler {command.name}",
        told.strip(),
        "```console\n" + "\n".join(f"$ {line}" for line in lines) + "\n```",
        *([table(["option", "default", "what it is"], options)] if options else []),
    ]


def _names(option: Any) -> str:
    if option.param_type_name == "argument":
        return f"`{option.name.upper()}`"
    return ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def _value(option: Any) -> str:
    value, is_flag = option.default, getattr(option, "is_flag", False)
    if option.required:
        return "required"
    if value is None or value == () or callable(value) or is_flag:
        return "on" if is_flag and value is True else ""
    return f"`{getattr(value, 'value', value)}`"


def _exit_codes() -> str:
    pairs = re.findall(r"(\d+) ([^;.]+)", EXIT_CODES.partition(": ")[2])
    return table(["code", "meaning"], [list(pair) for pair in pairs])
