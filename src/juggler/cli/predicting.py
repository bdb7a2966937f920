"""What `juggler predict` and `juggler compare` do with what they are asked: open, correct, predict, print."""

from __future__ import annotations

import json as as_json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from juggler.cli.console import ERRORS, OUT, bar, escape
from juggler.errors import ConfigError
from juggler.report import sheet_table
from juggler.report.prediction import networks as sheets

if TYPE_CHECKING:
    from juggler.predict.predictor.prediction import Prediction
    from juggler.predict.predictor.predictor import Predictor
    from juggler.runtime.onnx_graphs.structure import GraphStructure

    Opened = tuple[GraphStructure, tuple[int, ...]]

KERNELS_SHOWN = 12


def batches_of(text: str) -> list[int]:
    """Return `1,8,64` or `1 8 64` as numbers.

    Raises:
        ConfigError: it is something else, or one is below 1.
    """
    from juggler.runtime.sources.named import parse_sizes  # noqa: PLC0415

    sizes = parse_sizes(",".join(text.replace(",", " ").split()))
    if min(sizes) < 1:
        raise ConfigError("read the batch sizes", repr(text), "Give numbers from 1 up, such as 1,8,64")
    return sizes


def load_predictor(device: str) -> Predictor:
    """Load a predictor as it was fitted.

    Raises:
        ConfigError: no such device.
        ArtefactError: no predictor, or a damaged one.
    """
    from juggler.predict.predictor.predictor import Predictor  # noqa: PLC0415

    return Predictor.load(device)


def corrected_here(predictor: Predictor, *, anew: bool = False) -> Predictor:
    """Return a predictor corrected for this machine, where that was measured before, or anew.

    Raises:
        Unavailable: it is to be recalibrated, and its backend cannot work here.
    """
    from juggler.predict.fit.recalibrate import corrected, keep, read_correction, recalibrate  # noqa: PLC0415
    from juggler.predict.predictor.machine import differences, warning  # noqa: PLC0415

    if anew:
        with bar(f"recalibrating {escape(predictor.name)}") as report:
            predictor, correction = recalibrate(predictor, progress=report)
        path = keep(correction)
        _note(f"{predictor.corrected}; kept in {path}")
        return predictor
    correction_kept = read_correction(predictor) if differences(predictor) else None
    if correction_kept is not None:
        predictor = corrected(predictor, correction_kept)
        _note(predictor.corrected)
    text = warning(predictor)
    if text:
        _note(text)
    return predictor


def open_networks(models: Sequence[str], shape: str | None) -> list[Opened]:
    """Return the structure of each network and its input's shape; before anything is measured for them.

    Raises:
        ConfigError: a network cannot be opened, or does not take such an input.
        ArtefactError: a file cannot be read.
    """
    from juggler.predict.graphs.sources import open_graph_structure  # noqa: PLC0415
    from juggler.runtime.sources.named import parse_shape  # noqa: PLC0415

    sides = parse_shape(shape) if shape else None
    return [open_graph_structure(model, sides) for model in models]


def predict_all(
    networks: Sequence[Opened], predictors: Sequence[Predictor], batches: Sequence[int]
) -> Iterator[Prediction]:
    """Yield a prediction for each network, device and batch; networks are read once a batch and backend.

    Raises:
        ConfigError: a network does not take such an input.
    """
    from juggler.predict.extract.kernels import extract_kernels  # noqa: PLC0415

    for structure, shapes in networks:
        for batch in batches:
            readings = {
                backend: extract_kernels(structure, backend, shape=shapes, batch=batch)
                for backend in dict.fromkeys(predictor.backend for predictor in predictors)
            }
            for predictor in predictors:
                yield predictor.predict(readings[predictor.backend])


def print_predictions(predictions: Sequence[Prediction], *, layers: bool) -> None:
    """Print the totals, the kernels of the first, and what a reader must not miss."""
    OUT.print(sheet_table(sheets.totals_sheet(predictions)))
    if layers:
        OUT.print(sheet_table(sheets.layers_sheet(predictions[0], KERNELS_SHOWN)))
        if predictions[0].uncovered:
            OUT.print(sheet_table(sheets.uncovered_sheet(predictions[0])))
    for text in dict.fromkeys(text for prediction in predictions for text in prediction.warnings):
        _note(text)


def print_ranking(predictions: Sequence[Prediction], budget_ms: float | None) -> None:
    """Print the ranking, and what a reader must not miss."""
    OUT.print(sheet_table(sheets.ranking_sheet(predictions, budget_ms)))
    for prediction in predictions:
        for text in prediction.warnings:
            _note(f"{prediction.network} on {prediction.device} at batch {prediction.batch}: {text}")


def as_text(predictions: Sequence[Prediction], **more: object) -> str:
    """Return predictions as JSON."""
    fields = {**more, "predictions": [prediction.to_dict() for prediction in predictions]}
    return f"{as_json.dumps(fields, indent=1, allow_nan=False)}\n"


def write_or_print(text: str, path: Path) -> None:
    """Write JSON to a file, or to standard output where the path is `-`."""
    from juggler.files import write_atomically  # noqa: PLC0415

    if str(path) == "-":
        OUT.file.write(text)
        return
    write_atomically(path, text.encode())
    OUT.print(f"[green]✓[/] {escape(str(path))}", soft_wrap=True)


def _note(text: str) -> None:
    ERRORS.print(f"[yellow]–[/] {escape(text)}", soft_wrap=True, highlight=False)
