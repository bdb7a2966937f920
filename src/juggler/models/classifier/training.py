"""Make a classifier of pictures: standardise, train, choose nothing on the test part, and report on it.

All that is chosen, a recipe or a network, is chosen by the accuracy on the pictures that `validation` holds
out of the training part. The test part is read by `evaluate`, which reports. How it is made is one TOML file:

    data = "cifar10"
    validation = 5000

    [network]
    name = "juggler_resnet18"
    stem = "cifar"

    [recipe]
    epochs = 120

    [teacher.network]
    name = "resnet18"
    stem = "cifar"

    [teacher.recipe]
    epochs = 120

Without a `[teacher]` the network learns from the labels alone. A teacher is trained on the same pictures,
by a recipe of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from juggler.checks import bad_field
from juggler.data import Pictures, PictureSet, Standard, TrainPictures
from juggler.digest import weights_sha256
from juggler.errors import ArtefactError, ConfigError
from juggler.models.networks import checkpoint
from juggler.models.networks.creation import create
from juggler.models.toml_file import check_fields, read_toml, shipped_plan, table, to_toml
from juggler.models.train.device_data import probabilities
from juggler.models.train.loop import fit
from juggler.models.train.recipe import Recipe
from juggler.models.train.run_state import History
from juggler.models.train.task import Predict
from juggler.nouns import Progress, ReportProgress
from juggler.registry import normalise

_wrong = partial(bad_field, "make a plan")
_FIELDS = ("subset", "validation", "size", "split_seed")


@dataclass(frozen=True)
class Learner:
    """A network and how it is trained.

    Attributes:
        network: name of the network.
        options: its keyword options; the channels and the classes come from the data.
        recipe: how it is trained.
    """

    network: str = "juggler_resnet18"
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)

    def to_dict(self) -> dict[str, Any]:
        """Return the learner as plain values, in the layout of its TOML."""
        return {"network": {"name": self.network, **self.options}, "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Learner:
        """Build a learner from the tables `network` and `recipe`.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        check_fields(values, ("network", "recipe"), source)
        network = table(values, "network", source)
        return cls(
            network=normalise(str(network.pop("name", cls.network))),
            options=network,
            recipe=Recipe.from_dict(table(values, "recipe", source), source),
        )


@dataclass(frozen=True)
class ClassifierPlan:
    """Say how to make a classifier; checked when made.

    Attributes:
        data: name of the data set.
        subset: pictures of the training part to use, evenly over the classes; 0 for all.
        validation: pictures of these that are held out to choose by; below 1, their share.
        size: side in pixels that an image folder's pictures are brought to; 0 for the set's own.
        split_seed: by which subset and validation are drawn: the same for all that is to be compared.
        learner: the network and its recipe.
        teacher: a network whose answers share in the loss; None for none.

    Raises:
        ConfigError: a field has a value that cannot work.
    """

    data: str = "cifar10"
    subset: int = 0
    validation: float = 5000
    size: int = 0
    split_seed: int = 0
    learner: Learner = field(default_factory=Learner)
    teacher: Learner | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", normalise(self.data))
        for name in _FIELDS:
            value = getattr(self, name)
            is_share = name == "validation" and isinstance(value, float) and 0.0 < value < 1.0
            if isinstance(value, bool) or not (is_share or (isinstance(value, int) and value >= 0)):
                remedy = "Give a whole number of at least 0"
                raise _wrong(name, value, f"{remedy}, or a share below 1" if name == "validation" else remedy)
        if 0 < self.subset <= self.validation:
            raise _wrong("validation", self.validation, f"Give fewer than the {self.subset} of the subset")
        weight = self.learner.recipe.distill_weight
        if (self.teacher is None) != (weight == 0):
            raise _wrong(
                "distill_weight",
                weight,
                "Add a [teacher]"
                if self.teacher is None
                else "Give the teacher's share of the loss, such as 0.5",
            )
        if self.teacher is not None and self.teacher.recipe.distill_weight > 0:
            raise _wrong("the teacher's distill_weight", self.teacher.recipe.distill_weight, "Give 0")

    def held_out(self, count: int) -> int:
        """Return how many of so many training pictures are held out to choose by."""
        if self.validation < 1:
            return round(self.validation * (self.subset or count))
        return int(self.validation)

    @property
    def teacher_plan(self) -> ClassifierPlan | None:
        """Return the plan by which the teacher is made: on the same pictures; None where there is none."""
        return None if self.teacher is None else dataclasses.replace(self, learner=self.teacher, teacher=None)

    @property
    def digest(self) -> str:
        """Return a short name that only this plan has."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, in the layout of its TOML."""
        plain = {name: getattr(self, name) for name in ("data", *_FIELDS)}
        taught = {} if self.teacher is None else {"teacher": self.teacher.to_dict()}
        return {**plain, **self.learner.to_dict(), **taught}

    def to_toml(self) -> str:
        """Return the plan as TOML text that `ClassifierPlan.read` reads back."""
        return to_toml(self.to_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the plan") -> ClassifierPlan:
        """Build a plan from some or all of its fields.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        names = ("data", *_FIELDS)
        check_fields(values, (*names, "network", "recipe", "teacher"), source)
        learner = {name: values[name] for name in ("network", "recipe") if name in values}
        taught = Learner.from_dict(table(values, "teacher", source), source) if "teacher" in values else None
        return cls(
            **{name: values[name] for name in names if name in values},
            learner=Learner.from_dict(learner, source),
            teacher=taught,
        )

    @classmethod
    def read(cls, path: str | Path) -> ClassifierPlan:
        """Read a plan from a TOML file.

        Raises:
            ConfigError: the file cannot be read, is not TOML, or has a wrong field.
        """
        return cls.from_dict(read_toml(path, "the plan"), f"the plan {path}")

    @classmethod
    def shipped(cls, data: str) -> ClassifierPlan:
        """Return the plan that the package ships for pictures, with a data set's name."""
        return dataclasses.replace(cls.from_dict(shipped_plan("pictures")), data=data)

    def with_recipe(self, **changes: Any) -> ClassifierPlan:
        """Return the plan with fields of the recipe changed, and of the teacher's but for its seed.

        With fewer or more epochs the warm-up keeps its share of them.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        others = {name: value for name, value in changes.items() if name != "seed"}
        teacher = None if self.teacher is None else _changed(self.teacher, others)
        return dataclasses.replace(self, learner=_changed(self.learner, changes), teacher=teacher)


def _changed(learner: Learner, changes: Mapping[str, Any]) -> Learner:
    recipe, fields = learner.recipe, dict(changes)
    if "epochs" in fields:
        fields.setdefault("warmup_epochs", recipe.warmup_epochs * fields["epochs"] / recipe.epochs)
    return dataclasses.replace(learner, recipe=recipe.changed(fields))


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
