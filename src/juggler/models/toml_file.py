"""TOML in and out for the records that say how to train: tables of plain values, checked by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w

from juggler.errors import ConfigError
from juggler.reading import documents
from juggler.reading.request import Request
from juggler.registry import normalise


def to_toml(values: Mapping[str, Any]) -> str:
    """Return plain values as TOML, one a line; tables within become tables."""
    return tomli_w.dumps(values, multiline_strings=False)


def read_toml(path: str | Path, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: the file.
        what: what it is, for the error: `the recipe`.

    Raises:
        ConfigError: the file cannot be read or is not TOML.
    """
    remedy = "Check the path, or mend the line that it names"
    return documents.read_toml(Path(path), Request(f"read {what} {path}", remedy, ConfigError))


def shipped_plan(data: str) -> dict[str, Any]:
    """Return the plan that the package ships for a data set: `models/plans/DATA.toml`.

    Raises:
        ConfigError: there is none.
    """
    folder = resources.files("juggler.models") / "plans"
    plans = {item.name.removesuffix(".toml"): item for item in folder.iterdir()}
    if normalise(data) not in plans:
        raise ConfigError(
            f"find a plan for {data!r}",
            "the package ships none",
            f"Write one and pass it with --plan. There are: {', '.join(sorted(plans))}",
        )
    request = Request(f"read the plan for {data!r}", "Install juggler again", ConfigError)
    return documents.parse_toml(plans[normalise(data)].read_text(encoding="utf-8"), request)


def check_fields(values: Mapping[str, Any], known: Iterable[str], source: str) -> None:
    """Refuse a field that there is not, and name the one that was probably meant.

    Raises:
        ConfigError: names the field.
    """
    fields = tuple(known)
    for name in values:
        if name not in fields:
            close = get_close_matches(name, fields, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise ConfigError(
                f"read {source}", f"there is no field {name!r}", f"{hint}Fields: {', '.join(sorted(fields))}"
            )


def python_names(values: Mapping[str, Any], file_names: Mapping[str, str], source: str) -> dict[str, Any]:
    """Return the fields of a record by what Python calls them.

    Args:
        values: the fields, by either name.
        file_names: by Python's name, what files call a field.
        source: where they come from, for the error.

    Raises:
        ConfigError: a field is there by both of its names.
    """
    for name, file_name in file_names.items():
        if name in values and file_name in values:
            raise ConfigError(
                f"read {source}",
                f"there are {name} and {file_name}, two names of one field",
                "Give one of them",
            )
    names = {file_name: name for name, file_name in file_names.items()}
    return {names.get(name, name): value for name, value in values.items()}


def table(values: Mapping[str, Any], name: str, source: str) -> dict[str, Any]:
    """Return a table of a file; an empty one where it has none.

    Raises:
        ConfigError: there is something else of that name.
    """
    fields = values.get(name, {})
    if not isinstance(fields, Mapping):
        raise ConfigError(
            f"read {source}",
            f"{name} is {fields!r}",
            f"Make it a table: a line [{name}] and its fields below",
        )
    return dict(fields)
