"""`juggler predict`: how long a network takes on a device, without running it there."""

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
    print_predictions,
    write_or_print,
)

Models = Annotated[
    list[str], typer.Argument(help="ONNX files, checkpoints, package.module:factory or names of networks.")
]
Device = Annotated[str, typer.Option(help="A device that ships with juggler, or a file of juggler fit.")]
Shape = Annotated[str | None, typer.Option(help="channels,height,width; an ONNX file's own if absent.")]
Batch = Annotated[str, typer.Option(help="Batch sizes, separated by commas.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write all of it as JSON; - prints only that.")]


def predict(
    models: Models,
    device: Device,
    shape: Shape = None,
    batch: Batch = "1",
    json: Json = None,
    layers: Annotated[bool, typer.Option(help="List the longest kernels of the first prediction.")] = True,
    recalibrate: Annotated[
        bool, typer.Option("--recalibrate", help="Measure this machine for a minute, and correct for it.")
    ] = False,
) -> None:
    """Predict a network's latency on a device: by kernel and in total, with intervals.

    The kernels are those that the runtime makes of the network: its optimised graph is read, nothing is run.
    The intervals cover the share that the predictor was fitted for, which the table names. What is not
    covered, and what lies outside the sampled range, is listed.

    Examples: juggler predict resnet50 --device xeon.predictor --batch 1,8,64;

    juggler predict net.onnx --device xeon.predictor --shape 1,28,28 --json - | jq .predictions[0].latency_ms
    """
    sizes = batches_of(batch)
    predictor, networks = load_predictor(device), open_networks(models, shape)
    predictions = list(predict_all(networks, [corrected_here(predictor, anew=recalibrate)], sizes))
    if json != Path("-"):
        print_predictions(predictions, layers=layers)
    if json is not None:
        write_or_print(as_text(predictions), json)


VERB = predict
PANEL = HARDWARE
