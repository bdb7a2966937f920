"""`juggler evaluate`: how well artefacts detect, on labelled records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import PLANT
from juggler.cli.console import ERRORS, OUT, SYNTHETIC, bars, download_progress, escape
from juggler.cli.labelled import (
    attack_classes,
    check_used,
    origin,
    source_in,
    tell_doubts,
    tell_origin,
)
from juggler.data import Records, load_record_set
from juggler.detect import Detector, read_labelled
from juggler.detect import evaluate as score
from juggler.metrics import Scores
from juggler.report import recall_table, scores_table
from juggler.runtime import Artefact, open_session
from juggler.runtime.artefact import shipped

Artefacts = Annotated[list[Path] | None, typer.Argument(help="Artefacts; the shipped detector if absent.")]
Set = Annotated[str, typer.Option("--set", help="Data set that holds the labelled records.")]
Parts = Annotated[str, typer.Option(help="Its parts, separated by commas.")]
Folder = Annotated[
    Path | None, typer.Option("--data", help="Folder or zip that holds it; looked for if absent.")
]
Backends = Annotated[str, typer.Option(help="What runs the network, separated by commas.")]
Own = Annotated[
    Path | None, typer.Option("--records", help="Your own labelled CSV file, in place of a data set.")
]
Attacks = Annotated[
    list[str] | None,
    typer.Option("--attack", help="Class of a label of yours: NAME=CLASS, again for each."),
]


def evaluate(
    artefacts: Artefacts = None,
    data_set: Set = "nsl-kdd",
    parts: Parts = "test,test-21",
    data: Folder = None,
    records: Own = None,
    attack: Attacks = None,
    backends: Backends = "onnxruntime",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print detection scores, known and unseen attack types apart, by the one alarm rule.

    The records are those of a data set, or your own: labelled, with the detector's columns in order or by a
    header. Which file was read, and its digest, stand beside the scores.

    Examples: juggler evaluate detector.onnx detector-wide.onnx --backends onnxruntime,openvino;

    juggler evaluate detector.onnx --set synthetic --parts test;

    juggler evaluate detector.onnx --records mine.csv --attack slowloris=dos
    """
    rows: list[tuple[str, Scores]] = []
    origins: dict[str, Records] = {}
    loaded = None if records is not None else load_record_set(data_set)
    with bars() as progress:
        if loaded is not None:
            check_used(data, loaded)
            loaded = loaded.at(source_in(data, download_progress(progress)))
        for part in [str(records)] if loaded is None else parts.split(","):
            for path in artefacts or [shipped("nsl_kdd.onnx")]:
                artefact = Artefact.load(path)
                if loaded is None:
                    origins[part] = read_labelled(part, artefact, attack_classes(attack))
                elif part not in origins:
                    origins[part] = loaded.load(part.strip())
                for backend in backends.split(","):
                    label = f"{path.stem}, {backend.strip()}, {Path(part.strip()).name}"
                    task = progress.add_task(escape(label), total=1)
                    with open_session(artefact.graph, backend.strip()) as session:
                        detector = Detector(artefact, session)
                        rows.append((label, score(detector, origins[part])))
                    progress.update(task, completed=1)
                tell_doubts(detector, origins[part])
    synthetic = loaded is not None and loaded.synthetic
    if as_json:
        if synthetic:
            ERRORS.print(SYNTHETIC, style="bold yellow", soft_wrap=True)
        scores_by_label = {label: scores.to_dict() for label, scores in rows}
        typer.echo(json.dumps(scores_by_label | {"data": [origin(r) for r in origins.values()]}, indent=2))
        return
    if synthetic:
        OUT.print(f"[bold yellow]{SYNTHETIC}[/]", soft_wrap=True)
    OUT.print(scores_table(rows))
    OUT.print(recall_table(rows))
    for each in origins.values():
        tell_origin(each)


VERB = evaluate
PANEL = PLANT
