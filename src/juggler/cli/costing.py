"""What `juggler cost` does with what it is asked: open, trace, count, print, write."""

from __future__ import annotations

import json as as_json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from juggler.cli.console import ERRORS, OUT, escape
from juggler.errors import ConfigError
from juggler.files import write_atomically
from juggler.nouns import Progress, ReportProgress
from juggler.report import sheet_table
from juggler.report.cost import layers as costs

if TYPE_CHECKING:
    from juggler.cost.layers import Layer
    from juggler.cost.roofline import Ceilings
    from juggler.count.network import Counted

STEPS = 2


def counted_source(
    model: str,
    shape: str | Sequence[str] | None,
    batch: int,
    progress: ReportProgress,
    *,
    types: Sequence[str] | None = None,
) -> Counted:
    """Count an ONNX file by its shapes, any other network on its graph, or by running it where it has none.

    Args:
        model: as `juggler.runtime.sources.named.open_module` takes it.
        shape: of each input without the batch, `3,224,224`; None is an ONNX file's own, else an image's.
        batch: inputs at once.
        progress: told the steps done.
        types: element types of the inputs, one for all or one each; an ONNX file says its own.

    Raises:
        ConfigError: it cannot be opened, or does not take inputs of those shapes and types.
        ArtefactError: the file cannot be read.
    """
    from juggler.runtime.sources import examples  # noqa: PLC0415
    from juggler.runtime.sources.named import open_module  # noqa: PLC0415

    shapes = examples.parse_shapes(shape)
    if examples.is_graph(model):
        from juggler.runtime.counting import count_graph  # noqa: PLC0415

        counted = count_graph(Path(model), shapes, batch=batch)
    else:
        shapes = shapes or (examples.IMAGE,)
        names = examples.parse_types(types, len(shapes))
        module = open_module(model)
        inputs = examples.random_inputs(module, shapes, names)
        progress(Progress("count", 1, STEPS, "steps"))
        from juggler.count.network import count  # noqa: PLC0415
        from juggler.transform.tracing.graph import trace  # noqa: PLC0415

        bare = tuple(value.new_empty((batch, *value.shape[1:]), device="meta") for value in inputs)
        counted = count(module, bare, trace=lambda network, _: trace(network, inputs))
    progress(Progress("count", STEPS, STEPS, "steps"))
    return counted


def given_ceilings(text: str) -> Ceilings:
    """Return `4000,900,5` as ceilings: GFLOP/s, GB/s and, where it is given, µs an operator.

    Raises:
        ConfigError: it is something else.
    """
    from juggler.cost.roofline import Ceilings  # noqa: PLC0415

    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3):
        raise ConfigError(
            "read the ceilings",
            repr(text),
            "Give GFLOP/s,GB/s or GFLOP/s,GB/s,µs an operator, such as 4000,900,5",
        )
    return Ceilings(numbers[0], numbers[1], numbers[2] if len(numbers) > 2 else 0.0)


def print_costs(counted: Counted, rows: Sequence[Layer], roof: Ceilings, top: int | None) -> None:
    """Print the tables, and what a reader must not miss."""
    OUT.print(sheet_table(costs.layers_sheet(rows, shown=top, narrow=True)))
    OUT.print(sheet_table(costs.bounds_sheet(rows)))
    OUT.print(sheet_table(costs.totals_sheet(counted, rows, roof)))
    if counted.note:
        ERRORS.print(f"[yellow]–[/] {escape(counted.note)}", soft_wrap=True, highlight=False)
    if counted.uncounted:
        OUT.print(sheet_table(costs.uncounted_sheet(counted)))


def keep(
    model: str,
    counted: Counted,
    rows: Sequence[Layer],
    roof: Ceilings,
    *,
    json: Path | None,
    csv: Path | None,
    html: Path | None,
) -> Iterator[Path]:
    """Write the files that were asked for, and yield the path of each."""
    from juggler.cost.layers import to_csv  # noqa: PLC0415

    if json is not None:
        ceilings = {
            "model": model,
            "ceilings": roof.to_dict(),
            "layers": [row.to_dict() for row in rows],
            **counted.to_dict(),
        }
        yield write_atomically(json, f"{as_json.dumps(ceilings, indent=1, allow_nan=False)}\n".encode())
    if csv is not None:
        yield write_atomically(csv, to_csv(rows).encode())
    if html is not None:
        yield costs.write_costs(model, counted, rows, roof, html)
