"""`juggler calibrate`: set the alarm threshold on a network's own records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import PLANT
from juggler.cli.console import OUT, escape
from juggler.cli.labelled import attack_classes, tell_doubts, tell_origin
from juggler.data.parse import read
from juggler.detect import Calibration, Detector, read_labelled, write_calibrated
from juggler.detect import calibrate as calibrated
from juggler.errors import ConfigError
from juggler.runtime import Artefact
from juggler.runtime.artefact import shipped

Records = Annotated[Path, typer.Argument(help="Your own CSV file, labelled unless --all-normal.")]
Rate = Annotated[float, typer.Option(help="Share of the normal records that may be alarms.")]
Detectors = Annotated[Path | None, typer.Option(help="An .onnx artefact; the shipped detector if absent.")]
Out = Annotated[Path | None, typer.Option(help="Write the artefact with the new threshold to this file.")]
Normal = Annotated[bool, typer.Option("--all-normal", help="Take all records for normal ones.")]
Attacks = Annotated[
    list[str] | None,
    typer.Option("--attack", help="Class of a label of yours: NAME=CLASS, again for each."),
]


def calibrate(
    records: Records,
    false_alarm_rate: Rate,
    artefact: Detectors = None,
    out: Out = None,
    all_normal: Normal = False,
    attack: Attacks = None,
) -> None:
    """Set the threshold for a false-alarm rate on your own normal records, and say which rate is reached.

    The rate that is reached stands beside the rate that was asked: on these records, and on the half of them
    that a threshold was not set on. Without --out nothing is written; give the threshold to juggler detect.

    Examples: juggler calibrate normal.csv --false-alarm-rate 0.01 --all-normal;

    juggler calibrate mine.csv --false-alarm-rate 0.02 --artefact detector.onnx --out mine.onnx
    """
    detector = Detector(Artefact.load(artefact or shipped("nsl_kdd.onnx")))
    if out is not None and out.exists() and out.samefile(detector.artefact.path):
        raise ConfigError(f"write --out to {out}", "it is the artefact that is read", "Name another file")
    if all_normal:
        user_records = read(records, detector.schema, strict=False, needed=detector.encoder.features)
    else:
        user_records = read_labelled(records, detector.artefact, attack_classes(attack))
    tell_doubts(detector, user_records)
    result = calibrated(detector, user_records, false_alarm_rate, all_normal=all_normal)
    for line in _lines(result):
        OUT.print(line, soft_wrap=True)
    tell_origin(user_records)
    if out is not None:
        write_calibrated(detector.artefact, result, out)
        OUT.print(f"[green]✓[/] {escape(str(out))}", soft_wrap=True)


def _lines(result: Calibration) -> list[str]:
    low, high = result.interval
    threshold, rate, detected = result.before
    lines = [
        f"threshold {result.threshold:.6g}, before {threshold:.6g}",
        f"false alarms: asked {result.asked:.3%}, reached {result.reached:.3%} of {result.normals:,} normal "
        f"records (95 %: {low:.3%} to {high:.3%}), {result.held_out:.3%} on the half it was not set on; "
        f"before {rate:.3%}",
    ]
    if result.detection_rate is not None and detected is not None:
        lines.append(f"detected: {result.detection_rate:.2%} of the attack records, before {detected:.2%}")
    return lines


VERB = calibrate
PANEL = PLANT
