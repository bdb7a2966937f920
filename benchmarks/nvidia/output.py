"""What `run.py` shows: how far it is, and at the end one line a race, narrow enough for a terminal."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Row = dict[str, Any]


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield the table of a result, line by line."""
    machine = result["machine"]
    yield f"{machine['accelerator'] or machine['cpu']}, torch {machine['packages'].get('torch', '?')}"
    rates = ", ".join(f"{name} {rate * 2 / 1e3:.3g}" for name, rate in result["ceilings_gmac_per_s"].items())
    yield f"ceilings, TFLOP/s: {rates}; copy {result['copy_gb_per_s']:.0f} GB/s"
    for experiment in ("table2", "table3"):
        rows = [row for row in result["rows"] if row["experiment"] == experiment]
        if rows:
            yield f"\n{experiment}: ms (GPU's own ms) TFLOP/s, share of the ceiling"
            yield from map(single, rows)
    for experiment in ("fig8", "fig9"):
        rows = [row for row in result["rows"] if row["experiment"] == experiment]
        if rows:
            yield f"\n{experiment}: ms (GPU's own ms) | flat is so many times as fast as plain; as the rest"
            yield from races(rows)
    reasons = Counter(entry["why"] for entry in result["not_run"])
    if reasons:
        yield f"\nnot run: {sum(reasons.values())}"
        yield from (f"{count:4} {why[:100]}" for why, count in reasons.most_common(12))


def single(row: Row) -> str:
    """Return the line of one module or convolution."""
    what = f"{row['subject']:12} {row['precision']:8} {row['way']:16} {times(row)}"
    return f"{what} {row['gmac_per_s'] * 2 / 1e3:8.2f} {row['share_of_ceiling']:6.1%}"


def races(rows: list[Row]) -> Iterator[str]:
    """Yield one line for all subjects that raced in the same way."""
    groups: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("depth", "side_px", "batch", "precision", "layout", "way"))
        groups.setdefault(key, {})[row["subject"]] = row
    for (depth, side_px, batch, precision, layout, way), group in groups.items():
        short = {"channels_last": "last", "contiguous": ""}[layout]
        text = f"{depth:3} {side_px} b{batch:<2} {precision:8} {short:4} {way:13}"
        for subject in ("plain", "flat", "wide"):
            text += f" {subject} {times(group[subject])}" if subject in group else ""
        flat = group.get("flat")
        if flat and flat["times_as_fast"]:
            text += f" | {flat['times_as_fast']:.2f}x"
            text += "".join(
                f" {other['baseline'][:5]} {other['times_as_fast']:.2f}x" for other in flat["others"]
            )
        yield text


def times(row: Row) -> str:
    """Return latency and the GPU's own time."""
    own = "" if row["gpu_ms"] is None else f" ({row['gpu_ms']:.2f})"
    return f"{row['median_ms']:.2f}{own}"


def jsonable(value: Any) -> Any:
    """Return a copy that JSON can hold: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: jsonable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def progress(total: int) -> Iterator[Callable[[int, str, float], None]]:
    """Show a bar on a terminal that has rich, plain lines elsewhere."""
    try:
        from rich.progress import Progress  # noqa: PLC0415
    except ImportError:
        Progress = None  # type: ignore[assignment,misc]
    if Progress is None or not sys.stderr.isatty():
        yield lambda done, what, left_s: print(
            f"[{done + 1}/{total}] {what} ({left_s:.0f} s left)", file=sys.stderr, flush=True
        )
        return
    with Progress() as display:
        task = display.add_task("", total=total)
        yield lambda done, what, left_s: display.update(task, completed=done, description=what)
