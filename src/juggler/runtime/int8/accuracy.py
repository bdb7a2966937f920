"""How often a network names the right class, and how often it is among its five likeliest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from juggler.errors import ConfigError
from juggler.nouns import Noun, Progress, ReportProgress
from juggler.runtime.int8.held_out import in_pieces
from juggler.runtime.int8.quantization import fixed_batch
from juggler.runtime.session import Array, Session

PIECE, TOP = 16, 5
Z = 1.959964  # 95 %
Batches = Iterable[tuple[Array, NDArray[np.int64]]]
Ranks = NDArray[np.int64]
"""For each picture how many classes were likelier than the right one, at most `TOP`, `[pictures]`."""


@dataclass(frozen=True)
class Accuracy(Noun):
    """Shares of pictures, 0 to 1, each with its 95 % interval (Wilson, 1927).

    Attributes:
        pictures: how many were shown.
        top1: share whose likeliest class is the right one.
        top5: share whose right class is among the five likeliest.
        top1_interval: lower and upper end.
        top5_interval: lower and upper end.
    """

    pictures: int
    top1: float
    top5: float
    top1_interval: tuple[float, float]
    top5_interval: tuple[float, float]


def accuracy_of(ranks: Ranks) -> Accuracy:
    """Return the accuracies that ranks are."""
    first, fifth, shown = int((ranks == 0).sum()), int((ranks < TOP).sum()), len(ranks)
    return Accuracy(shown, first / shown, fifth / shown, wilson(first, shown), wilson(fifth, shown))


def rank_pictures(
    session: Session, batches: Batches, classes: int, progress: ReportProgress | None = None
) -> Ranks:
    """Run a classifier on labelled inputs.

    Args:
        session: a network of one input and one output, `[n, classes]`.
        batches: inputs and the index of each one's class.
        classes: how many there are.
        progress: told how many inputs are done.

    Raises:
        ConfigError: the network has other outputs, or there is no input.
    """
    ranks: list[Ranks] = []
    for inputs, labels in batches:
        answers = _answers(session, inputs)
        if answers.ndim != 2 or answers.shape[1] != classes:
            raise ConfigError(
                "measure accuracy",
                f"the network answers with {list(answers.shape[1:])}, the pictures have {classes} classes",
                "Give pictures of the classes that the network knows, one folder each",
            )
        right = answers[np.arange(len(labels)), labels][:, None]
        # An equal answer of an earlier class counts as likelier: a network that says nothing is not right.
        earlier = np.arange(classes) < labels[:, None]
        likelier = ((answers > right) | ((answers == right) & earlier)).sum(axis=1)
        ranks.append(np.where(np.isfinite(right[:, 0]), np.minimum(likelier, TOP), TOP).astype(np.int64))
        if progress is not None:
            progress(Progress("rank", sum(map(len, ranks)), None, "inputs"))
    if not ranks:
        raise ConfigError("measure accuracy", "no pictures", "Give some of each class")
    return np.concatenate(ranks)


def points_lost(before: Ranks, after: Ranks) -> tuple[float, float, float]:
    """Return by how many points the top-1 accuracy falls on the same pictures, and its 95 % interval.

    The interval is that of a paired difference: only pictures that one gets right and the other does not
    tell the two apart.
    """
    n = len(before)
    lost = int(((before == 0) & (after > 0)).sum())
    won = int(((before > 0) & (after == 0)).sum())
    difference = (lost - won) / n
    half = Z * math.sqrt(max(0.0, (lost + won) / n - difference * difference) / n)
    return 100 * difference, 100 * (difference - half), 100 * (difference + half)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson, 1927)."""
    share, square = hits / of, Z * Z
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = Z / (1 + square / of) * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def _answers(session: Session, inputs: Array) -> Array:
    """Return the answers; where the batch is fixed, the last piece is filled up with the first rows."""
    rows, batch = len(inputs), fixed_batch(session.inputs)
    if batch and rows % batch:
        inputs = np.concatenate([inputs, np.repeat(inputs[:1], -rows % batch, axis=0)])
    pieces = in_pieces((inputs,), batch, PIECE)
    answers: Array = np.concatenate([session.run(*piece)[0] for piece in pieces])[:rows]
    return answers
