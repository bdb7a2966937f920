"""The folds of the training records on which a better detector is looked for, and what is trained on them.

Nothing here opens a test file. A training that is done is not done again, and a killed one goes on; what the
study of the shipped plan has trained and labelled on the same folds is taken over where it is the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.detector.study import lend_lessons
from juggler.data import DataSet, Encoder, Split
from juggler.errors import ConfigError
from juggler.models import Plan, fit
from juggler.models.detector.distillation_set import DistillationSet, with_hard_labels, with_soft_labels
from juggler.models.detector.ensemble import member_seeds, network_for
from juggler.models.detector.teacher import Teacher, fit_trees
from juggler.models.networks.checkpoint import read_tensors
from juggler.models.train.recipe import Recipe
from juggler.models.train.run_state import STATE_FILE
from juggler.nouns import ReportProgress, as_stage


@dataclass(frozen=True, eq=False)
class Fold:
    """A fold of one seed: what may be learnt from, and what whole attack types are held out.

    Attributes:
        seed: of the share of the other records that is held out too.
        number: of the fold, from 0.
        split: training and validation records.
        encoder: fitted on the former.
        images: of the latter, float32 `[n, C, H, W]`.
        held_out: where a validation record is of a type that training does not hold, bool `[n]`.
    """

    seed: int
    number: int
    split: Split
    encoder: Encoder
    images: NDArray[np.float32]
    held_out: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """Return how folders and files name it."""
        return f"seed-{self.seed}/fold-{self.number + 1}"


class Folds:
    """Train on folds, and keep all of it in a folder.

    Args:
        data: the data set.
        base: the plan that the study trained, one network.
        folder: for what is trained here.
        study: folder of the study of the base plan; None for none.
        report: told the progress of each stage.
    """

    def __init__(
        self, data: DataSet, base: Plan, folder: Path, study: Path | None, report: ReportProgress
    ) -> None:
        self.data, self.base, self.folder, self.study, self.report = data, base, folder, study, report
        self._fold: Fold | None = None
        self._lesson: tuple[object, DistillationSet, NDArray[np.float32]] | None = None

    def fold(self, seed: int, number: int) -> Fold:
        """Return a fold; the last one is kept."""
        if self._fold is None or (self._fold.seed, self._fold.number) != (seed, number):
            split = self.data.fold(number, seed)
            encoder = Encoder.fit(split.train, self.base.columns(self.data.schema))
            held_out = np.isin(split.validation.labels(), np.unique(split.train.labels()), invert=True)
            self._fold = Fold(seed, number, split, encoder, encoder.encode(split.validation), held_out)
        return self._fold

    def network(self, plan: Plan, fold: Fold, member: int) -> nn.Module:
        """Return a trained network of a plan, the member of that number from 0, in evaluation mode."""
        recipe = replace(plan.recipe, seed=member_seeds(fold.seed, member + 1)[member])
        network = network_for(plan, fold.encoder, len(self.data.schema.classes), recipe.seed)
        place = self.folder / "networks" / _key(plan) / fold.name / f"member-{member + 1}"
        places = [place]
        if self.study is not None and member == 0 and _key(plan) == _key(self.base):
            places.append(self.study / fold.name)
        if any(_take_over(found / STATE_FILE, network, recipe) for found in places):
            return network.eval()
        lesson, images = self._learnt_from(plan, fold)
        told = f"{fold.name}, {_key(plan)}, member {member + 1}"
        fit(network, images, lesson.labels, recipe, folder=place, progress=as_stage(told, self.report))
        return network.eval()

    def trees(self, teacher: Teacher, fold: Fold) -> NDArray[np.float32]:
        """Return a teacher's own probabilities of the validation records, `[n, classes]`."""
        if teacher == self.base.teacher:
            labelled = self._make_lesson(self.base, fold).validation
            if labelled is not None:
                return labelled
        told = as_stage(f"{fold.name}, trees", self.report)
        columns = self.base.columns(self.data.schema)
        trees = fit_trees(teacher, fold.split.train, columns, fold.seed, told)
        return trees.probabilities(fold.split.validation)

    def normals(self, fold: Fold, most: int = 20_000) -> NDArray[np.float32]:
        """Return images of training records of the normal class, drawn at random where there are many."""
        rows = np.flatnonzero(fold.split.train.classes() == 0)
        drawn = np.random.default_rng(fold.seed).permutation(rows)[:most]
        return fold.encoder.encode(fold.split.train.take(drawn))

    def _learnt_from(self, plan: Plan, fold: Fold) -> tuple[DistillationSet, NDArray[np.float32]]:
        """Return what networks of a plan learn from on a fold, and its images; the last one is kept."""
        asked = (plan.teacher, fold.name)
        if self._lesson is None or self._lesson[0] != asked:
            self._lesson = None  # before the next one is made: it is large
            lesson = self._make_lesson(plan, fold)
            self._lesson = (asked, lesson, fold.encoder.encode(lesson.records))
        return self._lesson[1:]

    def _make_lesson(self, plan: Plan, fold: Fold) -> DistillationSet:
        if plan.teacher is None:
            return with_hard_labels(fold.split.train)
        place = self.folder / "lessons" / _digest(plan.teacher.to_dict()) / fold.name
        if self.study is not None and plan.teacher == self.base.teacher:
            lend_lessons(self.study / f"seed-{fold.seed}", place.parent)
        return with_soft_labels(
            plan.teacher,
            fold.split.train,
            plan.columns(self.data.schema),
            fold.seed,
            validation=fold.split.validation,
            folder=place,
            progress=as_stage(f"{fold.name}, teacher", self.report),
        )


def _take_over(path: Path, network: nn.Module, recipe: Recipe) -> bool:
    """Give a network the weights of a finished training; say whether there was one.

    Raises:
        ConfigError: there is one by another recipe.
    """
    if not path.is_file():
        return False
    tensors, header = read_tensors(path, "training")
    if len(header["history"]) < recipe.epochs:
        return False
    # A field that the release which began the run did not have yet was at its default.
    if {**Recipe().to_dict(), **header["identity"]["recipe"]} != recipe.to_dict():
        raise ConfigError(f"take over {path}", "a training by another recipe", "Name another --folder")
    module = {name.removeprefix("module."): t for name, t in tensors.items() if name.startswith("module.")}
    network.load_state_dict(module)
    return True


def features(network: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what the last layer of a tabular network reads, `[n, inputs]`."""
    parts: Any = network
    with torch.inference_mode():
        batches = torch.split(torch.from_numpy(images), 1024)
        read = [parts.head[:-1](parts.blocks(parts.stem(x))) for x in batches]
    return np.asarray(torch.cat(read).numpy(), dtype=np.float64)


def described(plan: Plan) -> dict[str, Any]:
    """Return a plan but its seed as plain values, without what is at its default in the recipe.

    So it stays the same when a release adds a field.
    """
    plain = Recipe().to_dict()
    recipe = {k: v for k, v in plan.recipe.to_dict().items() if v != plain[k] and k != "seed"}
    return {**plan.to_dict(), "recipe": recipe}


def _key(plan: Plan) -> str:
    return _digest(described(plan))


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
