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
from juggler.models.detector.mixtures import mix_records
from juggler.models.detector.teacher import Teacher, fit_trees
from juggler.models.networks.checkpoint import read_tensors, write_tensors
from juggler.nouns import ReportProgress

LESSON_FILE = "lesson.safetensors"


@dataclass(frozen=True, eq=False)
class Lesson:
    """Records to learn from.

    Attributes:
        records: the training records; with a teacher, mixtures of them after them.
        labels: class numbers `[n]`, or the teacher's probabilities `[n, classes]`.
        validation: the teacher's probabilities for the validation records; None without either.
    """

    records: Records
    labels: NDArray[np.int64] | NDArray[np.float32]
    validation: NDArray[np.float32] | None = None


def plain_lesson(train: TrainRecords) -> Lesson:
    """Return the training records with their classes."""
    return Lesson(train, train.classes())


def taught_lesson(
    teacher: Teacher,
    train: TrainRecords,
    columns: Sequence[str],
    seed: int,
    *,
    validation: Records | None = None,
    folder: Path | None = None,
    progress: ReportProgress | None = None,
) -> Lesson:
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
    asked = {"teacher": teacher.to_dict(), "seed": seed, "columns": list(columns)}
    asked["sha256"] = _digest(train, records, validation)
    path = None if folder is None else folder / LESSON_FILE
    kept = None if path is None else _kept(path, asked)
    if kept is None:
        trees = fit_trees(teacher, train, columns, seed, progress)
        kept = {"labels": torch.from_numpy(trees.probabilities(records))}
        if validation is not None:
            kept["validation"] = torch.from_numpy(trees.probabilities(validation))
        if path is not None:
            write_tensors(path, "lesson", kept, {"asked": asked})
    found = kept.get("validation")
    return Lesson(records, kept["labels"].numpy(), None if found is None else found.numpy())


def _kept(path: Path, asked: dict[str, Any]) -> dict[str, torch.Tensor] | None:
    """Return the labels in the file where they answer what is asked."""
    if not path.exists():
        return None
    tensors, header = read_tensors(path, "lesson")
    return tensors if header.get("asked") == asked else None


def _digest(train: TrainRecords, *lots: Records | None) -> str:
    digest = hashlib.sha256(train.classes().tobytes())
    for records in lots:
        if records is not None:
            digest.update(np.ascontiguousarray(records.numbers).data)
            digest.update(np.ascontiguousarray(records.codes).data)
    return digest.hexdigest()
