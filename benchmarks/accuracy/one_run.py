"""One run of the study: train by its plan, flatten, read the test part once, keep what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy.gradients import GradientLog, gradients_by_depth
from benchmarks.accuracy.scale import Task
from benchmarks.accuracy.widths import macs_of
from juggler.data import Pictures, PictureSet
from juggler.files import write_atomically
from juggler.models import ClassifierPlan, DivergenceError, TrainedClassifier, probabilities, train_classifier
from juggler.models.classifier.training import divided, evaluate
from juggler.models.train.device_data import standardise
from juggler.models.train.run_state import STATE_FILE
from juggler.nouns import ReportProgress
from juggler.runtime.machine import machine
from juggler.runtime.tuning.flattening import flatten

RESULT, PLAN, CLASSIFIER = "result.json", "plan.toml", "classifier.safetensors"
TEACHERS = "teachers"
COMPARED = 256  # pictures on which the flat network's class is compared within the certificate
BACKWARD = 2  # a backward pass costs about two forward ones


def kept(task: Task, home: Path) -> dict[str, Any] | None:
    """Return a finished run's result, or None; a run of another variant by the same plan will do."""
    own = home / task.folder / RESULT
    others = sorted(home.glob(f"*-{task.seed}-{task.plan.digest[:8]}/{RESULT}"))
    for path in (own, *others):
        if path.is_file():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found | {"variant": task.variant.name, "depth": task.depth}
    return None


def carried_out(
    task: Task,
    data: PictureSet,
    home: Path,
    progress: ReportProgress | None = None,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Do a run, or what is left of it, and return its result, which is kept.

    A run whose loss is no longer a number is a result as well: it is kept as failed.

    Args:
        task: which.
        data: the pictures.
        home: where the runs' folders are, and the teachers that they share.
        progress: told of each stage the steps done, and in detail epoch, epochs, step, steps and loss.
        extra: kept with the result.
    """
    place = home / task.folder
    write_atomically(place / PLAN, task.plan.to_toml().encode())
    about = {
        "variant": task.variant.name,
        "depth": task.depth,
        "seed": task.seed,
        "plan": task.plan.to_dict(),
        "date": datetime.now(UTC).date().isoformat(),
        **(extra or {}),
    }
    try:
        classifier = trained(task.plan, data, place, home / TEACHERS, progress)
    except DivergenceError as error:
        found = about | {"failed": str(error), "machine": machine().to_dict()}
    else:
        found = about | judged(classifier, task.plan, data) | {"machine": machine().to_dict()}
        found["teacher_sha256"] = teacher_sha256(task.plan, home / TEACHERS)
        found["gradients"] = gradients_by_depth(place, classifier.network, task.plan.learner.recipe)
    write_atomically(place / RESULT, f"{json.dumps(found, indent=1, allow_nan=False)}\n".encode())
    (place / STATE_FILE).unlink(missing_ok=True)  # as large as three networks, and done with
    return found


def trained(
    plan: ClassifierPlan, data: PictureSet, place: Path, teachers: Path, progress: ReportProgress | None
) -> TrainedClassifier:
    """Train by the plan, or go on where that stopped, or read what came out."""
    path = place / CLASSIFIER
    if path.is_file():
        return TrainedClassifier.load(path)
    with GradientLog(place, progress) as log:
        classifier = train_classifier(plan, data, folder=place, teachers=teachers, progress=log.tell)
    classifier.save(path)
    return classifier


def teacher_sha256(plan: ClassifierPlan, teachers: Path) -> str | None:
    """Return the digest of the weights that taught a run, None where there was no teacher."""
    teacher_plan = plan.teacher_plan
    if teacher_plan is None:
        return None
    teacher = TrainedClassifier.load(teachers / teacher_plan.digest / CLASSIFIER)
    return str(teacher.provenance["weights_sha256"])


def judged(classifier: TrainedClassifier, plan: ClassifierPlan, data: PictureSet) -> dict[str, Any]:
    """Return what came out of a finished run: the test part is read here and nowhere else."""
    test = data.load("test")
    _, held_out = divided(plan, data)
    epochs = classifier.history.to_list()
    # Without TF32: the flat network is held against the wide one in true float32.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        flat = flattened(classifier, held_out, test)
        classifier.network.to("cuda" if torch.cuda.is_available() else "cpu")
        scores = evaluate(classifier, test)
    classifier.network.cpu()
    return {
        "test": scores | {"pictures": len(test.labels), "sha256": test.sha256},
        "scores": dict(classifier.provenance["scores"]),
        "teacher": classifier.provenance["teacher"],
        "pictures": classifier.provenance["pictures"],
        "pictures_sha256": classifier.provenance["pictures_sha256"],
        "weights_sha256": classifier.provenance["weights_sha256"],
        "notes": list(classifier.provenance["notes"]),
        "training_s": sum(epoch["duration_s"] for epoch in epochs),
        "epochs": [{"loss": epoch["loss"], "rate": epoch["rate"], **epoch["scores"]} for epoch in epochs],
        "flat": flat,
    }


def flattened(classifier: TrainedClassifier, held_out: Pictures, test: Pictures) -> dict[str, Any]:
    """Flatten a classifier, prove it, and return what the flat network is and how right it is."""
    images = torch.from_numpy(held_out.images[:COMPARED].copy())
    inputs = standardise(images, classifier.standard)
    done = flatten(classifier.network, inputs[:1].clone(), inputs=inputs)
    network = done.model.cuda() if torch.cuda.is_available() else done.model
    found = probabilities(network, test.images, standard=classifier.standard)
    proof = done.certificate
    return {
        "certified": proof.passed,
        "float64": proof.worst("float64"),
        "classes_agreed": proof.classes_agreed,
        "classes_compared": proof.classes_compared,
        "macs": done.flat_graph.macs,
        "wide_macs": done.wide_graph.macs,
        "test_accuracy": float((found.argmax(1) == test.labels).mean()),
    }


def work_of(plan: ClassifierPlan, pictures: int) -> float:
    """Return about how many multiply-accumulates a run takes, its teacher's answers included.

    Args:
        plan: of the run.
        pictures: that it trains on.
    """
    own, seen = plan.learner, 2 * plan.held_out(pictures)  # scored after each epoch, and as many trained on
    forward = macs_of(own.network, _without_stem(own.options))
    total = forward * ((1 + BACKWARD) * pictures + seen)
    if plan.teacher is not None:
        total += macs_of(plan.teacher.network, _without_stem(plan.teacher.options)) * pictures
    return float(total * own.recipe.epochs)


def teacher_work(plan: ClassifierPlan, pictures: int, home: Path) -> tuple[str, float] | None:
    """Return digest and work of a run's teacher, or None where it has none or that is trained already."""
    teacher_plan = plan.teacher_plan
    if teacher_plan is None or (home / TEACHERS / teacher_plan.digest / CLASSIFIER).is_file():
        return None
    return teacher_plan.digest, work_of(teacher_plan, pictures)


def _without_stem(options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "stem"}
