"""Make a classifier of pictures: standardise, train, choose nothing on the test part, and report on it.

All that is chosen, a recipe or a network, is chosen by the accuracy on the pictures that `validation` holds
out of the training part. The test part is read by `evaluate`, which reports.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from juggler.data import Pictures, PictureSet, Standard, TrainPictures
from juggler.digest import weights_sha256
from juggler.errors import ArtefactError, ConfigError
from juggler.models.classifier.plan import ClassifierPlan
from juggler.models.networks import checkpoint
from juggler.models.networks.creation import create
from juggler.models.train.history import History
from juggler.models.train.inference import probabilities
from juggler.models.train.loop import fit
from juggler.models.train.task import Predict
from juggler.nouns import Progress, ReportProgress

_LEAST = np.finfo(np.float32).tiny


@dataclass(frozen=True, eq=False)
class TrainedClassifier:
    """A wide network with all that makes a classifier of it.

    Attributes:
        network: in evaluation mode, on the CPU.
        standard: how its pictures become numbers, fitted on the training pictures.
        classes: names of the outputs.
        history: the epochs, with loss and accuracy on the validation pictures and on as many of those
            trained on.
        provenance: plan, data digest, notes on the data, final scores; plain JSON values.
    """

    network: nn.Module
    standard: Standard
    classes: tuple[str, ...]
    history: History
    provenance: Mapping[str, Any]

    def probabilities(self, pictures: Pictures) -> NDArray[np.float32]:
        """Return the probabilities of each class, `[n, classes]`."""
        return probabilities(self.network, pictures.images, standard=self.standard)

    def save(self, path: str | Path) -> None:
        """Write the classifier as one safetensors file, whole or not at all."""
        extra = {
            "standard": self.standard.to_dict(),
            "classes": list(self.classes),
            "history": self.history.to_list(),
            "provenance": dict(self.provenance),
        }
        checkpoint.save(path, self.network, extra)

    @classmethod
    def load(cls, path: str | Path) -> TrainedClassifier:
        """Read a classifier that `save` wrote.

        Raises:
            ArtefactError: the file is missing, damaged, or a network without what makes it a classifier.
        """
        network, extra = checkpoint.load(path)
        missing = {"standard", "classes", "history", "provenance"} - set(extra)
        if missing:
            raise ArtefactError(
                f"load the classifier {path}",
                f"it is a network without {', '.join(sorted(missing))}",
                "Make a classifier with `juggler train PLAN.toml`",
            )
        return cls(
            network=network,
            standard=Standard.from_dict(extra["standard"]),
            classes=tuple(extra["classes"]),
            history=History.from_list(extra["history"]),
            provenance=extra["provenance"],
        )


def train_classifier(
    plan: ClassifierPlan,
    data: PictureSet,
    *,
    folder: Path | None = None,
    teachers: Path | None = None,
    progress: ReportProgress | None = None,
) -> TrainedClassifier:
    """Make a classifier; only the training part of the data is read.

    Args:
        plan: how.
        data: the data set.
        folder: keeps the run's state, so that a killed run goes on where it was.
        teachers: keeps trained teachers, by the digest of their plan, for other runs to share; without it
            the teacher is kept in `folder`.
        progress: told of each stage the steps done, and in detail epoch, epochs, step, steps and loss.

    Raises:
        DataError: the data set cannot be found or read.
        ConfigError: plan, data and an earlier run in `folder` do not fit.
    """
    teacher = _teacher(plan, data, folder, teachers, progress)
    train, held_out = divided(plan, data)
    standard = Standard.fit(train)
    seen = train.take(np.linspace(0, len(train.labels) - 1, len(held_out.labels)).astype(np.intp))
    network = _network(plan, train)
    history = fit(
        network,
        np.asarray(train.images),
        train.labels,
        plan.learner.recipe,
        standard=standard,
        teacher=None if teacher is None else teacher.network,
        folder=folder,
        validate=partial(_scores, held_out=held_out, seen=seen),
        progress=progress,
    )
    return TrainedClassifier(
        network=network,
        standard=standard,
        classes=train.classes,
        history=history,
        provenance={
            "data": data.provenance.to_dict(),
            "pictures_sha256": train.sha256,
            "notes": list(train.notes),
            "plan": plan.to_dict(),
            "seed": plan.learner.recipe.seed,
            "pictures": len(train.labels),
            "scores": dict(history.epochs[-1].scores),
            "teacher": None if teacher is None else teacher.provenance["scores"],
            "weights_sha256": weights_sha256(network),
        },
    )


def divided(plan: ClassifierPlan, data: PictureSet) -> tuple[TrainPictures, Pictures]:
    """Return the pictures to train on and those held out to choose by.

    Raises:
        ConfigError: the training part has fewer pictures than the plan asks for.
    """
    pictures = data.training()
    held_out = plan.held_out(len(pictures.labels))
    least = max(plan.subset, held_out + 1)
    if held_out == 0 or len(pictures.labels) < least:
        raise ConfigError(
            f"divide the training part of {data.name}",
            f"it has {len(pictures.labels)} pictures; {least} are wanted, {held_out} to choose by",
            "Give a smaller subset, and at least one picture of each class as validation",
        )
    if plan.subset:
        pictures = pictures.subset(plan.subset, plan.split_seed)
    return pictures.split(held_out, plan.split_seed)


def evaluate(classifier: TrainedClassifier, pictures: Pictures) -> dict[str, float]:
    """Return accuracy and mean cross entropy of a classifier on labelled pictures.

    Raises:
        ConfigError: the pictures have other classes.
    """
    if pictures.classes != classifier.classes:
        raise ConfigError(
            f"evaluate on {pictures.source}",
            f"its classes are {', '.join(pictures.classes[:5])}, ..., the classifier's "
            f"{', '.join(classifier.classes[:5])}, ...",
            "Give pictures of the classes that it learnt",
        )
    return _accuracy(classifier.probabilities(pictures), pictures.labels)


def _teacher(
    plan: ClassifierPlan,
    data: PictureSet,
    folder: Path | None,
    teachers: Path | None,
    progress: ReportProgress | None,
) -> TrainedClassifier | None:
    """Train the teacher, or read the one that was trained by the same plan."""
    teacher_plan = plan.teacher_plan
    if teacher_plan is None:
        return None
    run_teacher = None if folder is None else folder / "teacher"
    home = run_teacher if teachers is None else teachers / teacher_plan.digest
    path = None if home is None else home / "classifier.safetensors"
    if path is not None and path.exists():
        return TrainedClassifier.load(path)

    def report(value: Progress) -> None:
        if progress is not None:
            progress(replace(value, stage=f"teacher, {value.stage}"))

    teacher = train_classifier(teacher_plan, data, folder=home, progress=report)
    if path is not None:
        teacher.save(path)
    return teacher


def _network(plan: ClassifierPlan, train: Pictures) -> nn.Module:
    """Make the network, its first weights drawn by the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.learner.recipe.seed)
        return create(
            plan.learner.network,
            classes=len(train.classes),
            in_channels=train.images.shape[1],
            **plan.learner.options,
        )


def _scores(predict: Predict, held_out: Pictures, seen: Pictures) -> dict[str, float]:
    """Return loss and accuracy on pictures held out, and on as many that were trained on, as they are."""
    on = {"validation": held_out, "train": seen}
    scores_of = {part: _accuracy(predict(pictures.images), pictures.labels) for part, pictures in on.items()}
    return {f"{name}_{part}": score for part, scores in scores_of.items() for name, score in scores.items()}


def _accuracy(shares: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    right = shares[np.arange(len(labels)), labels]
    return {
        "accuracy": float((shares.argmax(1) == labels).mean()),
        "loss": float(-np.log(np.maximum(right, _LEAST)).mean()),
    }
