"""Accuracy on real pictures: of a network as it is, in int8, and with its smallest weights dropped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from juggler.data.standard import Standard
from juggler.errors import JugglerError
from juggler.nouns import Progress, ReportProgress, ignore_progress
from juggler.runtime.int8.accuracy import Ranks, accuracy_of, points_lost, rank_pictures
from juggler.runtime.int8.quantization import quantize
from juggler.runtime.open import open_session
from juggler.runtime.precision import INT8
from juggler.runtime.sources.picture_folder import PictureFolder, crops
from juggler.survey.amount import COUNTED, MEASURED, Amount
from juggler.survey.hardware import BLOCK, BLOCKS, DENSITY, WEIGHTS, Losses
from juggler.survey.pruning import pruned

BACKEND = "onnxruntime"
TRIALS = 4  # the network itself, int8, two prunings


@dataclass(frozen=True)
class Tried:
    """What was measured of one network: accuracies in per cent by key, and what changes lose."""

    accuracy: dict[str, Amount]
    losses: Losses


def tried(
    graph: Path,
    side: int,
    pictures: PictureFolder,
    standard: Standard,
    *,
    threads: int | None,
    progress: ReportProgress | None = None,
) -> Tried:
    """Measure a network on pictures; where something cannot be measured, the figure says why.

    Args:
        graph: ONNX file in float32, its weights trained.
        side: of its input, in pixels.
        pictures: what to measure on.
        standard: how pictures become numbers.
        threads: cores that one call may use.
        progress: told the pictures that are done, of all trials.
    """
    trial = _Trial(side, pictures, standard, threads, progress or ignore_progress)
    try:
        plain = trial.ranks(graph, 0)
    except JugglerError as error:
        none = Amount.none(f"not measured: {error.found}")
        return Tried({}, Losses({}, {}, none))
    full = accuracy_of(plain)
    where = f"{full.pictures} pictures of {pictures.taken}, one crop"
    accuracy = {
        key: Amount(100 * share, MEASURED, where, 100 * ends[0], 100 * ends[1])
        for key, share, ends in (
            ("top1", full.top1, full.top1_interval),
            ("top5", full.top5, full.top5_interval),
        )
    }
    by_bits = {
        32: Amount(0.0, COUNTED, "it is what the others are compared with"),
        8: trial.loss(plain, 1, lambda: trial.in_int8(graph), f"int8 by {BACKEND}, {where}", INT8),
    }
    source = f"one shot, without fine-tuning, {where}"
    by_change = {
        WEIGHTS: trial.loss(plain, 2, lambda: pruned(graph, DENSITY), source),
        BLOCKS: trial.loss(plain, 3, lambda: pruned(graph, DENSITY, BLOCK), source),
    }
    return Tried(accuracy, Losses(by_bits, by_change, Amount.none("not measured at this width")))


@dataclass(frozen=True)
class _Trial:
    side: int
    pictures: PictureFolder
    standard: Standard
    threads: int | None
    report: ReportProgress

    def ranks(self, graph: Path | bytes, number: int, precision: str = "float32") -> Ranks:
        """Run a graph on all pictures."""
        total = len(self.pictures)

        def report(progress: Progress) -> None:
            self.report(Progress("pictures", number * total + progress.done, TRIALS * total, "pictures"))

        with open_session(graph, BACKEND, threads=self.threads, precision=precision) as session:
            batches = crops(self.pictures.test, self.side, self.standard)
            return rank_pictures(session, batches, len(self.pictures.classes), report)

    def in_int8(self, graph: Path) -> bytes:
        """Quantise the graph on the calibration pictures."""
        inputs = [images for images, _ in crops(self.pictures.calibration, self.side, self.standard)]
        return quantize(graph, np.concatenate(inputs))

    def loss(
        self, plain: Ranks, number: int, make: Callable[[], bytes], source: str, precision: str = "float32"
    ) -> Amount:
        """Return the points lost by a changed graph, or why they were not measured."""
        try:
            ranks = self.ranks(make(), number, precision)
        except JugglerError as error:
            return Amount.none(f"not measured: {error.found}")
        points, low, high = points_lost(plain, ranks)
        return Amount(points, MEASURED, source, low, high)
