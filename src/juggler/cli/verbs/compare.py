"""`juggler compare`: which network on which device is fastest, and which keeps a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import HARDWARE
from juggler.cli.predicting import (
    as_text,
    batches_of,
    corrected_here,
    load_predictor,
    open_networks,
    predict_all,
    print_ranking,
    write_or_print,
)
from juggler.errors import ConfigError

Models = Annotated[
    list[str], typer.Argument(help="ONNX files, checkpoints, package.module:factory or names of networks.")
]
Devices = Annotated[
    list[str], typer.Option("--device", help="A device, or a file of juggler fit; give it once for each.")
]
Budget = Annotated[float | None, typer.Option(help="What a call may take, in milliseconds.")]
Shape = Annotated[str | None, typer.Option(help="channels,height,width; an ONNX file's own if absent.")]
Batch = Annotated[str, typer.Option(help="Batch sizes, separated by commas.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write all of it as JSON; - prints only that.")]


def compare(
    models: Models,
    device: Devices,
    budget_ms: Budget = None,
    shape: Shape = None,
    batch: Batch = "1",
    json: Json = None,
) -> None:
    """Rank networks, runtimes and devices by predicted latency, none of which has to be at hand.

    A predictor is of one device and one runtime. Each row says whether it keeps the budget: surely, with its
    whole interval; likely or unlikely, with the middle of it or not; or no.

    Examples: juggler compare resnet18 resnet50 net.onnx --device xeon.predictor --budget-ms 10;

    juggler compare resnet50 --device xeon.predictor --device edge.predictor --batch 1,8 --json ranking.json
    """
    if budget_ms is not None and not budget_ms > 0.0:
        raise ConfigError("compare networks", f"a budget of {budget_ms:g} ms", "Give one above 0")
    sizes = batches_of(batch)
    predictors = [corrected_here(load_predictor(name)) for name in dict.fromkeys(device)]
    predictions = list(predict_all(open_networks(models, shape), predictors, sizes))
    if json != Path("-"):
        print_ranking(predictions, budget_ms)
    if json is not None:
        verdicts = [None if budget_ms is None else prediction.within(budget_ms) for prediction in predictions]
        write_or_print(as_text(predictions, budget_ms=budget_ms, in_budget=verdicts), json)


VERB = compare
PANEL = HARDWARE
