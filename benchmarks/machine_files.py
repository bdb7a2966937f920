"""Read what machines have reproduced: one JSON file each, strangers' too, so every value is checked first."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from juggler.errors import DataError, JugglerError
from juggler.reproduce.results import FORMAT, Comparison, MachineResults, Reproduction, Row

EXPERIMENTS = ("table2", "table3", "merge_penalty", "fig8", "fig9", "layers")
SUBJECTS = {"fig8": {"plain", "flat", "wide"}, "fig9": {"plain", "flat"}}
PRECISIONS = ("float32", "bfloat16", "int8")
_HOME = re.compile(r"/(?:home|root|Users)/|[\\/]Users[\\/]")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Column:
    """One machine: the name of its file, without ending, and its results."""

    slug: str
    results: MachineResults

    @property
    def name(self) -> str:
        """Return how the machine is called."""
        return self.results.name

    def get(self, experiment: str) -> Reproduction | None:
        """Return a reproduction, or None where the machine has none."""
        return next((r for r in self.results.reproductions if r.experiment == experiment), None)


def read_machines(folder: Path) -> list[Column]:
    """Read every machine's file, in the order in which they were measured.

    Raises:
        DataError: a file cannot be read, or two machines have one name; the message names the file.
    """
    columns = [read_machine(path) for path in sorted(folder.glob("*.json"))]
    names = [column.name for column in columns]
    for column in columns:
        if names.count(column.name) > 1:
            raise DataError(
                f"read {column.slug}.json",
                f"another machine is called {column.name!r} too",
                "Give it another name with --name",
            )
    dates = {c.slug: min((r.date for r in c.results.reproductions), default="") for c in columns}
    return sorted(columns, key=lambda column: (dates[column.slug], column.slug))


def read_machine(path: Path) -> Column:
    """Read one machine's file.

    Raises:
        DataError: it is not JSON, of another format, or holds a value that cannot be; all faults are named.
    """
    remedy = "Write it anew with `juggler reproduce all`, and add it unchanged"
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text, parse_constant=_refuse)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"not of format {FORMAT}")
        results = MachineResults.from_dict(values)
        faults = [*_name_faults(path.stem, results), *_type_faults(MachineResults, results, "")]
        faults = faults or [*_faults(results)]
        # What was not run is told in the words of an error, and those may name a file.
        faults += [f"a path of somebody's home folder: {found.group()!r}" for found in _HOME.finditer(text)][
            :1
        ]
    except (OSError, ValueError, TypeError, JugglerError) as error:
        raise DataError(f"read {path.name}", str(error), remedy) from error
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise DataError(f"read {path.name}", "; ".join(faults[:5]) + more, remedy)
    return Column(path.stem, results)


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is not a number")


def _name_faults(stem: str, results: MachineResults) -> Iterator[str]:
    if not _SLUG.fullmatch(stem):
        yield f"the file's name {stem!r} has more than small letters, digits and hyphens"
    if not isinstance(results.name, str) or not results.name.strip() or len(results.name) > 80:
        yield "name: a name of 1 to 80 characters is needed"


def _type_faults(hint: Any, value: Any, place: str) -> Iterator[str]:
    """Yield what is not of the type that its field says, and every number that is not finite."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, hint):
        hints = typing.get_type_hints(hint)
        for name in (field.name for field in dataclasses.fields(hint)):
            yield from _type_faults(hints[name], getattr(value, name), f"{place}.{name}".lstrip("."))
    elif origin in (typing.Union, types.UnionType):
        if value is not None:
            yield from _type_faults(next(a for a in arguments if a is not types.NoneType), value, place)
    elif origin is tuple and isinstance(value, tuple):
        for number, inner in enumerate(value):
            yield from _type_faults(arguments[0], inner, f"{place}[{number}]")
    elif origin is dict and isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _type_faults(arguments[1], inner, f"{place}.{key}")
    elif not _is(hint, value):
        yield f"{place}: {str(value)[:40]!r} is no {getattr(hint, '__name__', hint)}"


def _is(hint: Any, value: Any) -> bool:
    if hint is Any:
        return True
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(hint, type) and isinstance(value, hint)


def _faults(results: MachineResults) -> Iterator[str]:
    """Yield what cannot be although its type is right."""
    names = [result.experiment for result in results.reproductions]
    for number, result in enumerate(results.reproductions):
        if result.experiment not in EXPERIMENTS:
            yield f"unknown experiment {result.experiment!r}; there is {', '.join(EXPERIMENTS)}"
        elif names.index(result.experiment) != number:
            yield f"{result.experiment} is there twice"
        for cell in result.cells:
            place = f"{result.experiment}, {cell.name}"
            for name, shape in cell.shapes.items():
                if min(shape.macs, shape.parameters, shape.kernels, shape.moved_bytes) < 0 or not shape.macs:
                    yield f"{place}: {name} does no work"
            for row in cell.rows:
                yield from (f"{place}: {fault}" for fault in _row_faults(result.experiment, row))
            for found in cell.comparisons:
                yield from (f"{place}: {fault}" for fault in _comparison_faults(found))


def _row_faults(experiment: str, row: Row) -> Iterator[str]:
    who = f"{row.subject} on {row.backend}"
    if row.precision not in PRECISIONS:
        yield f"{who} in {row.precision!r}; there is {', '.join(PRECISIONS)}"
    if row.subject not in SUBJECTS.get(experiment, {row.subject}):
        yield f"unknown network {row.subject!r}"
    if not 0 < row.min_ms <= row.median_ms <= row.p95_ms <= row.p99_ms:
        yield f"{who}: its durations are not positive and in order"
    if min(row.batch, row.calls) < 1 or row.gmac_per_s <= 0:
        yield f"{who}: batch, calls and rate must be positive"


def _comparison_faults(found: Comparison) -> Iterator[str]:
    if not 0 < found.low <= found.times <= found.high:
        yield f"{found.subject} against {found.against} on {found.backend}: not within its own interval"
