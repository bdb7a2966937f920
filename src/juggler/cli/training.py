"""What `juggler train` does once it knows what is asked: a detector, or a classifier of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress, TaskID

from juggler import nouns
from juggler.cli.console import ERRORS, OUT, SYNTHETIC, bars, download_progress, escape
from juggler.cli.labelled import check_used, source_in
from juggler.files import write_atomically
from juggler.nouns import ReportProgress

if TYPE_CHECKING:
    from juggler.data import DataSet, PictureSet
    from juggler.models import ClassifierPlan, Plan

_FEW_CLASSES = 20  # whose pictures are counted one by one


def train_detector(plan: Plan, data_set: DataSet, data: Path | None, folder: Path) -> None:
    """Train, flatten and export a detector in a folder, its records looked for in `data` first."""
    from juggler import models  # noqa: PLC0415  # torch takes two seconds to import
    from juggler.report import certificate_table  # noqa: PLC0415
    from juggler.runtime.deploy import deploy  # noqa: PLC0415

    check_used(data, data_set)
    _keep_plan(folder, plan.to_toml(), first=True)
    with bars() as progress:
        source = data_set.at(source_in(data, download_progress(progress)))
        detector = models.train_detector(plan, source, folder=folder, progress=training_progress(progress))
        _end(progress)
        _keep_plan(folder, plan.to_toml())
        detector.save(folder / "detector.safetensors")
        deployed = deploy(detector, source.training(), folder)
    if source.synthetic:
        OUT.print(SYNTHETIC, style="bold yellow", soft_wrap=True)
    OUT.print(certificate_table(deployed.flattened.certificate))
    OUT.print(f"epoch {detector.provenance['epoch']}, threshold {detector.threshold:.4f}")
    OUT.print(f"[green]✓[/] {escape(deployed.flat.path)}", soft_wrap=True)


def train_classifier(plan: ClassifierPlan, data_set: PictureSet, data: Path | None, folder: Path) -> None:
    """Train, flatten and export a classifier in a folder, its pictures looked for in `data` first."""
    from juggler import models  # noqa: PLC0415
    from juggler.models.classifier.training import divided  # noqa: PLC0415
    from juggler.report import certificate_table  # noqa: PLC0415
    from juggler.runtime.deploy import deploy_classifier  # noqa: PLC0415

    _keep_plan(folder, plan.to_toml(), first=True)
    with bars() as progress:
        source = data_set.at(source_in(data, download_progress(progress)))
        _look_at(source)
        classifier = models.train_classifier(
            plan, source, folder=folder, progress=training_progress(progress)
        )
        _end(progress)
        _keep_plan(folder, plan.to_toml())
        classifier.save(folder / "classifier.safetensors")
        _, held_out = divided(plan, source)
        deployed = deploy_classifier(classifier, held_out, folder / "classifier.onnx")
    OUT.print(certificate_table(deployed.flattened.certificate))
    scores = classifier.provenance["scores"]
    OUT.print(
        f"accuracy {scores['accuracy_validation']:.4f} on {len(held_out.labels)} pictures held out, "
        f"{scores['accuracy_train']:.4f} on as many that it was trained on; of "
        f"{escape(held_out.source)}, SHA-256 of those held out {held_out.sha256}",
        soft_wrap=True,
        highlight=False,
    )
    OUT.print(f"[green]✓[/] {escape(deployed.path)}", soft_wrap=True)


def _look_at(pictures: PictureSet) -> None:
    """Read both parts before hours of training, and tell what is to be known of them."""
    notes: dict[str, None] = {}
    for part in ("train", "test"):
        loaded = pictures.load(part)
        counts = ", ".join(
            f"{name} {count:,}" for name, count in zip(loaded.classes, loaded.counts(), strict=True)
        )
        ERRORS.print(
            f"{part}: {len(loaded):,} pictures in {len(loaded.classes)} classes"
            + (f" ({escape(counts)})" if len(loaded.classes) <= _FEW_CLASSES else ""),
            soft_wrap=True,
            highlight=False,
        )
        notes |= dict.fromkeys(loaded.notes)
    for note in notes:
        ERRORS.print(escape(note), style="yellow", soft_wrap=True, highlight=False)


def training_progress(progress: Progress) -> ReportProgress:
    """Return what training reports to: one bar a stage, with its loss."""
    tasks: dict[str, TaskID] = {}

    def report(value: nouns.Progress) -> None:
        stage = value.stage
        if stage not in tasks:
            tasks[stage] = progress.add_task(stage, total=value.total)
        description = f"{stage}, loss {value.detail['loss']:.4f}"
        progress.update(tasks[stage], completed=value.done, description=description)

    return report


def _keep_plan(folder: Path, text: str, *, first: bool = False) -> None:
    """Write the plan; before training only where there is none.

    An earlier run's stays until this one is known to go on from it.
    """
    path = folder / "plan.toml"
    if not (first and path.exists()):
        write_atomically(path, text.encode())


def _end(progress: Progress) -> None:
    for task in progress.tasks:  # a detector's last training stops early, at the epoch that was chosen
        progress.update(task.id, total=task.completed)
