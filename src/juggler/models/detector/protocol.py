"""The honest protocol: choose on attack types that were held out, then train on all; never look at a test.

For each fold, whole attack types and a share of the other records are held out, a network is trained on
the rest and validated after each epoch. The epoch that is best over all folds and the median of the
folds' thresholds are kept; then a fresh network is trained on all training records up to that epoch.
Where the plan has a teacher, each of these trainings has one of its own, fitted on the same records.
A network of several members is trained member by member, on the same labels from other weights in another
order, and joined; its folds are scored once it is whole, after the last epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from juggler import metrics
from juggler.data import DataSet, Encoder, Records, TrainRecords
from juggler.digest import weights_sha256
from juggler.errors import ArtefactError, ConfigError
from juggler.models.detector.distillation_set import DistillationSet, with_hard_labels, with_soft_labels
from juggler.models.detector.ensemble import join, member_seeds, network_for
from juggler.models.detector.ood_score import sample_normals, with_ood_score
from juggler.models.detector.plan import Plan
from juggler.models.networks import checkpoint
from juggler.models.train.device_data import probabilities
from juggler.models.train.loop import fit
from juggler.models.train.run_state import History
from juggler.models.train.task import Predict, Validate
from juggler.nouns import ReportProgress, as_stage

RATES = (0.01, 0.02, 0.05)  # false-alarm rates whose thresholds are kept, for whoever wants another
SELECTED_BY = "detection_rate_held_out"


@dataclass(frozen=True, eq=False)
class TrainedDetector:
    """A wide network with all that makes a detector of it.

    Attributes:
        network: in evaluation mode, on the CPU.
        encoder: fitted on all training records.
        classes: names of the outputs, the normal class first.
        threshold: a record is an alarm from this `1 - p(normal)` on.
        provenance: plan, data digests, chosen epoch, scores by fold; plain JSON values.
    """

    network: nn.Module
    encoder: Encoder
    classes: tuple[str, ...]
    threshold: float
    provenance: Mapping[str, Any]

    def save(self, path: str | Path) -> None:
        """Write the detector as one safetensors file, whole or not at all."""
        extra = {
            "encoder": self.encoder.to_dict(),
            "classes": list(self.classes),
            "threshold": self.threshold,
            "provenance": dict(self.provenance),
        }
        checkpoint.save(path, self.network, extra)

    @classmethod
    def load(cls, path: str | Path) -> TrainedDetector:
        """Read a detector that `save` wrote.

        Raises:
            ArtefactError: the file is missing, damaged, or a network without its encoder and threshold.
        """
        network, extra = checkpoint.load(path)
        missing = {"encoder", "classes", "threshold", "provenance"} - set(extra)
        if missing:
            raise ArtefactError(
                f"load the detector {path}",
                f"it is a network without {', '.join(sorted(missing))}",
                "Make a detector with `juggler train`",
            )
        return cls(
            network=network,
            encoder=Encoder.from_dict(extra["encoder"]),
            classes=tuple(extra["classes"]),
            threshold=float(extra["threshold"]),
            provenance=extra["provenance"],
        )


def train_detector(
    plan: Plan, data: DataSet, *, folder: Path | None = None, progress: ReportProgress | None = None
) -> TrainedDetector:
    """Make a detector by the honest protocol.

    Args:
        plan: how.
        data: the data set; only its training records are read.
        folder: keeps the state of every training, so that a killed run goes on where it was.
        progress: told of each stage the steps or trees done, and in detail the loss.

    Raises:
        DataError: the data set cannot be found or read.
        ConfigError: plan, data and an earlier run in `folder` do not fit.
    """
    _check_members(plan)
    run = _Run(plan, data, folder, progress)
    folds = [run.fold(i) for i in range(data.folds())]
    epoch = _best_epoch(folds, plan.choose_from)
    chosen = [fold.scores[epoch] for fold in folds]
    train = data.training()
    encoder = Encoder.fit(train, plan.columns(data.schema))
    network, _ = run.train(
        encoder, run.distillation_set("refit", train), train, name="refit", stop_epoch=epoch
    )
    return TrainedDetector(
        network=network,
        encoder=encoder,
        classes=data.schema.classes,
        threshold=median(scores["threshold"] for scores in chosen),
        provenance={
            "data": data.provenance.to_dict(),
            "plan": plan.to_dict(),
            "seed": plan.recipe.seed,
            "epoch": epoch,
            "selected_by": SELECTED_BY,
            "folds": chosen,
            "teacher_folds": [fold.teacher_scores for fold in folds if fold.teacher_scores is not None],
            "records": len(train),
            "weights_sha256": weights_sha256(network),
        },
    )


@dataclass(frozen=True)
class _Fold:
    """What came of one fold: its scores by epoch, from 1, and what its teacher would have scored."""

    scores: Mapping[int, dict[str, float]]
    teacher_scores: dict[str, float] | None


@dataclass(frozen=True)
class _Run:
    """What all trainings of one detector share."""

    plan: Plan
    data: DataSet
    folder: Path | None
    progress: ReportProgress | None

    @property
    def members(self) -> int:
        """Return how many networks are trained and joined."""
        members: int = self.plan.options.get("members", 1)
        return members

    def fold(self, i: int) -> _Fold:
        """Train on fold `i`, validated after each epoch on what it holds out."""
        split = self.data.fold(i, self.plan.recipe.seed)
        encoder = Encoder.fit(split.train, self.plan.columns(self.data.schema))
        held_out = np.isin(split.validation.labels(), np.unique(split.train.labels()), invert=True)
        images = encoder.encode(split.validation)

        def scores(shares: NDArray[np.float32]) -> dict[str, float]:
            return validation_scores(shares, split.validation, held_out, self.plan.false_alarm_rate)

        def validate(predict: Predict) -> dict[str, float]:
            return scores(predict(images))

        name = f"fold-{i + 1}"
        distillation = self.distillation_set(name, split.train, split.validation)
        network, history = self.train(encoder, distillation, split.train, name=name, validate=validate)
        by_epoch = {record.epoch: record.scores for record in history.epochs if record.scores}
        if not by_epoch:  # of a network that was put together after its training
            by_epoch = {self.plan.recipe.epochs: scores(probabilities(network, images))}
        return _Fold(by_epoch, None if distillation.validation is None else scores(distillation.validation))

    def distillation_set(
        self, name: str, train: TrainRecords, validation: Records | None = None
    ) -> DistillationSet:
        """Return what the training of that name learns from."""
        if self.plan.teacher is None:
            return with_hard_labels(train)
        return with_soft_labels(
            self.plan.teacher,
            train,
            self.plan.columns(self.data.schema),
            self.plan.recipe.seed,
            validation=validation,
            folder=None if self.folder is None else self.folder / name,
            progress=as_stage(f"{name}, teacher", self.progress),
        )

    def train(
        self,
        encoder: Encoder,
        distillation: DistillationSet,
        train: TrainRecords,
        *,
        name: str,
        validate: Validate | None = None,
        stop_epoch: int | None = None,
    ) -> tuple[nn.Module, History]:
        """Train a network; return it and what training did, of several members the last one's.

        Its state is kept in a folder of that name, or in one for each member within. What is put together
        afterwards, members or novelty, is not validated by epoch, for it is the whole that counts.
        """
        images, recipe, alone = encoder.encode(distillation.records), self.plan.recipe, self.members == 1
        weight = self.plan.options.get("novelty", 0)
        history, classes = History(), len(self.data.schema.classes)
        networks: list[nn.Module] = []
        for i, seed in enumerate(member_seeds(recipe.seed, self.members), start=1):
            stage = name if alone else f"{name}/member-{i}"
            networks.append(network_for(self.plan, encoder, classes, seed))
            history = fit(
                networks[-1],
                images,
                distillation.labels,
                replace(recipe, seed=seed),
                folder=None if self.folder is None else self.folder / stage,
                validate=validate if alone and not weight else None,
                progress=as_stage(stage, self.progress),
                stop_epoch=stop_epoch,
            )
        network = networks[0] if alone else join(networks)
        if weight:
            normals = torch.from_numpy(encoder.encode(sample_normals(train, recipe.seed)))
            network = with_ood_score(network, normals, weight)
        return network, history


def validation_scores(
    probabilities: NDArray[np.float32],
    records: Records,
    held_out: NDArray[np.bool_],
    false_alarm_rate: float,
) -> dict[str, float]:
    """Return what a fold's validation records say of a network.

    Args:
        probabilities: `[n, classes]`.
        records: the validation records.
        held_out: which of them are of attack types that training did not see, `[n]`.
        false_alarm_rate: share of the validation normals that may be alarms.
    """
    scores, classes = metrics.alarm_scores(probabilities), records.classes()
    normal, known = classes == 0, (classes != 0) & ~held_out
    threshold = metrics.threshold_for([scores[normal]], false_alarm_rate)
    verdicts = metrics.decide(probabilities, threshold)
    either = normal | held_out
    others = {f"threshold_at_{rate}": metrics.threshold_for([scores[normal]], rate) for rate in RATES}
    return {
        "threshold": threshold,
        **others,
        "auc_held_out": metrics.area_under_curve(scores[either], held_out[either]),
        "detection_rate_held_out": float((scores[held_out] >= threshold).mean()),
        "detection_rate_known": float((scores[known] >= threshold).mean()),
        "accuracy_known": float((verdicts == classes)[known].mean()),
    }


def _check_members(plan: Plan) -> None:
    """Refuse a number of members that there cannot be, and an early choice among epochs of one of them."""
    members = plan.options.get("members", 1)
    if isinstance(members, bool) or not isinstance(members, int) or members < 1:
        raise ConfigError("train a network of members", f"members is {members!r}", "Give a whole number")
    novelty = plan.options.get("novelty", 0)
    if (members > 1 or novelty) and plan.choose_from < plan.recipe.epochs:
        raise ConfigError(
            f"train a network of {members} members, novelty {novelty}",
            f"choose_from is {plan.choose_from}, and it is whole after {plan.recipe.epochs} epochs",
            f"Give choose_from = {plan.recipe.epochs}",
        )


def _best_epoch(folds: Sequence[_Fold], first: int) -> int:
    """Return the epoch, from 1, with the best mean over the folds; the earliest of equals."""
    epochs = [epoch for epoch in sorted(folds[0].scores) if epoch >= first]
    return max(epochs, key=lambda e: fmean(fold.scores[e][SELECTED_BY] for fold in folds))
