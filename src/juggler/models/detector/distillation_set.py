"""What one training of a detector learns from: records with their classes, or with a teacher's opinion.

A teacher is fitted anew for every training, on that training's records alone: what a fold holds out, its
teacher has not seen either. Its opinion is kept in the run's folder, so that a killed run need not fit it
again and goes on with the very same numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from juggler.data import Records, TrainRecords
from juggler.data.records import join
from juggler.models.detector.ensemble import mix_records
from juggler.models.detector.teacher import Teacher, fit_trees
from juggler.models.networks.checkpoint import read_tensors, write_tensors
from juggler.nouns import ReportProgress

LABELS_FILE = "lesson.safetensors"


@dataclass(frozen=True, eq=False)
class DistillationSet:
    """Records to learn from.

    Attributes:
        records: the training records; with a teacher, mixtures of them after them.
        labels: class numbers `[n]`, or the teacher's probabilities `[n, classes]`.
        validation: the teacher's probabilities for the validation records; None without either.
    """

    records: Records
    labels: NDArray[np.int64] | NDArray[np.float32]
    validation: NDArray[np.float32] | None = None


def with_hard_labels(train: TrainRecords) -> DistillationSet:
    """Return the training records with their classes."""
    return DistillationSet(train, train.classes())


def with_soft_labels(
    teacher: Teacher,
    train: TrainRecords,
    columns: Sequence[str],
    seed: int,
    *,
    validation: Records | None = None,
    folder: Path | None = None,
    progress: ReportProgress | None = None,
) -> DistillationSet:
    """Return the training records and mixtures of them, labelled by a teacher fitted on the former.

    Args:
        teacher: who teaches.
        train: the training records.
        columns: the columns that the teacher sees.
        seed: of everything drawn.
        validation: records whose probabilities, by the teacher, are to be kept for comparison.
        folder: where the labels are kept; those of the same teacher, records and seed are not made again.
        progress: told the trees done while the teacher is fitted.

    Raises:
        Unavailable: the teacher cannot be fitted here.
        ArtefactError: the labels in `folder` are damaged.
    """
    mixtures = mix_records(train, teacher.mixtures, seed)
    records = join([train, mixtures])
    request = {"teacher": teacher.to_dict(), "seed": seed, "columns": list(columns)}
    request["sha256"] = _digest(train, records, validation)
    path = None if folder is None else folder / LABELS_FILE
    tensors = None if path is None else _kept(path, request)
    if tensors is None:
        trees = fit_trees(teacher, train, columns, seed, progress)
        tensors = {"labels": torch.from_numpy(trees.probabilities(records))}
        if validation is not None:
            tensors["validation"] = torch.from_numpy(trees.probabilities(validation))
        if path is not None:
            write_tensors(path, "lesson", tensors, {"asked": request})
    shares = tensors.get("validation")
    return DistillationSet(records, tensors["labels"].numpy(), None if shares is None else shares.numpy())


def _kept(path: Path, request: dict[str, Any]) -> dict[str, torch.Tensor] | None:
    """Return the labels in the file where they answer what is asked."""
    if not path.exists():
        return None
    tensors, header = read_tensors(path, "lesson")
    return tensors if header.get("asked") == request else None


def _digest(train: TrainRecords, *lots: Records | None) -> str:
    digest = hashlib.sha256(train.classes().tobytes())
    for records in lots:
        if records is not None:
            digest.update(np.ascontiguousarray(records.numbers).data)
            digest.update(np.ascontiguousarray(records.codes).data)
    return digest.hexdigest()
