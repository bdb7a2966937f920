"""Where labelled records come from, and what is said of them beside every score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from juggler.cli.console import ERRORS, OUT, escape
from juggler.data import DataSet, PictureSet, Records, Source
from juggler.detect import Detector
from juggler.detect.plausibility import Plausibility
from juggler.display import printable
from juggler.errors import ConfigError
from juggler.nouns import ReportProgress


def source_in(data: Path | None, progress: ReportProgress) -> Source:
    """Return where a data set is looked for: with --data there and nowhere else."""
    return Source(folder=data, progress=progress, only_folder=data is not None)


def check_used(data: Path | None, data_set: DataSet | PictureSet) -> None:
    """Refuse --data for a set that has no files.

    Raises:
        ConfigError: it would not be looked at.
    """
    if data is not None and data_set.synthetic:
        raise ConfigError(
            f"read {data_set.name} from {data}", "the package makes that set itself", "Leave --data out"
        )


def attack_classes(pairs: list[str] | None) -> dict[str, str]:
    """Return the class of each label, from NAME=CLASS.

    Raises:
        ConfigError: one is not of that form.
    """
    for pair in pairs or []:
        if "=" not in pair:
            raise ConfigError("take --attack", f"{pair!r}", "Give NAME=CLASS, such as slowloris=dos")
    return dict(pair.rsplit("=", 1) for pair in pairs or [])


def origin(records: Records) -> dict[str, Any]:
    """Return which file records were read from, its digest, and how many there are, as plain values."""
    return {"file": records.source, "sha256": records.sha256, "records": len(records)}


def tell_origin(records: Records) -> None:
    """Print which file records were read from, and its digest."""
    OUT.print(
        f"{len(records):,} records of {escape(printable(records.source))}, SHA-256 {records.sha256}",
        soft_wrap=True,
        highlight=False,
    )


def tell_doubts(detector: Detector, records: Records) -> None:
    """Say on standard error why the records may not be such as the detector knows."""
    plausibility = Plausibility(detector.encoder)
    plausibility.take(records)
    for doubt in plausibility.doubts(0, 0, {}):
        ERRORS.print(f"[bold red]DOUBT:[/] {escape(printable(doubt))}", soft_wrap=True, highlight=False)
