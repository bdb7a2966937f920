"""What was rewritten, what was refused, and the proof that the result is the same network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from juggler.nouns.noun import Noun


@dataclass(frozen=True)
class Rewrite(Noun):
    """One exact rewrite that was made and checked.

    Attributes:
        rule: the rule's name.
        source: paper section or equation that the rule follows.
        nodes: names of the graph nodes that were replaced.
        result: name of the node that stands for them now.
        macs_before: multiply-accumulates of the replaced nodes, for the example's size and batch.
        macs_after: multiply-accumulates of the result.
        error: max|difference| / max|reference| of this rewrite alone, in float64.
    """

    rule: str
    source: str
    nodes: tuple[str, ...]
    result: str
    macs_before: int
    macs_after: int
    error: float


@dataclass(frozen=True)
class Refusal(Noun):
    """A rewrite that was not made, why, and what the owner of the network can do about it."""

    rule: str
    nodes: tuple[str, ...]
    reason: str
    remedy: str


@dataclass(frozen=True)
class Decision(Noun):
    """What was decided about one linear region of a network, and why.

    Attributes:
        region: names of its first and its last op.
        form: the form that was taken.
        macs_before: multiply-accumulates of the region as it stood, for the example's size and batch.
        macs_after: of the form that was taken.
        latency_before_ms: what the region takes as it stood; `None` where no cost function was asked.
        latency_after_ms: what the form takes that was taken.
        reason: in words.
    """

    region: str
    form: str
    macs_before: int
    macs_after: int
    latency_before_ms: float | None
    latency_after_ms: float | None
    reason: str


@dataclass(frozen=True)
class Check(Noun):
    """One comparison of the flat network with the wide one; errors are max|difference| / max|reference|.

    Attributes:
        weights: `actual` or `randomised` (every weight and every batch-norm statistic drawn anew).
        dtype: `float64` or `float32`.
        shape: shape of the input.
        inside: error over all feature maps that both networks have, border ring left out.
        border: error over the one-pixel border ring of those maps; `None` where no map has one.
        output: error of the network's output.
    """

    weights: str
    dtype: str
    shape: tuple[int, ...]
    inside: float
    border: float | None
    output: float

    @property
    def worst(self) -> float:
        """Return the largest of the errors; NaN where any of them is, so that it is within no limit."""
        return _largest((self.inside, self.border or 0.0, self.output))


@dataclass(frozen=True)
class SourceCheck(Noun):
    """One comparison of an imported network with the file that it was read from, on random inputs.

    Attributes:
        shapes: shape of each input; empty where nothing could be compared.
        error: max|difference| / max|reference| over the outputs; `None` where nothing could be compared.
        limit: largest error allowed.
        runtime: what ran the file, with its release.
        reason: why nothing could be compared.
    """

    shapes: tuple[tuple[int, ...], ...]
    error: float | None
    limit: float
    runtime: str
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Say whether the network is the file's, within the limit."""
        return self.error is not None and self.error <= self.limit


@dataclass(frozen=True)
class Quantization(Noun):
    """How near an int8 graph is to the float32 graph that it was made of, on inputs that made no scale.

    Attributes:
        tool: what quantised it.
        release: the tool's release.
        source_sha256: digest of the float32 graph without its metadata.
        backend: what ran both graphs.
        calibrated: inputs that the scales come from.
        checked: inputs held out, on which the answers were compared.
        signal_to_noise_db: 10 log10(sum of answers² / sum of differences²); None where all are equal.
        max_error: max|difference| / max|answer|.
        classes_agreed: held-out inputs on which the predicted class is the same.
        classes_compared: of so many; 0 where the network's outputs are no classes.
        least_db: the budget, in dB.
        least_agreement: the budget, as a share of `classes_compared`.
        spared: names of the layers left in float32 to meet the budget.
    """

    tool: str
    release: str
    source_sha256: str
    backend: str
    calibrated: int
    checked: int
    signal_to_noise_db: float | None
    max_error: float
    classes_agreed: int
    classes_compared: int
    least_db: float
    least_agreement: float
    spared: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Say whether it is within its budget."""
        is_near = self.signal_to_noise_db is None or self.signal_to_noise_db >= self.least_db
        return is_near and self.classes_agreed >= self.least_agreement * self.classes_compared


@dataclass(frozen=True)
class Certificate(Noun):
    """Proof, by computation, that a flat network is the wide one; it travels with the artefact.

    Attributes:
        wide_sha256: digest of the wide network's parameters and statistics.
        flat_sha256: digest of the flat network's.
        checks: what was compared, and by how much it differed.
        classes_agreed: inputs on which the predicted class is the same.
        classes_compared: inputs compared for `classes_agreed`; 0 where no real inputs were given.
        limits: largest error allowed, by element type.
        versions: releases of what computed it.
        skipped: sizes that the wide network itself does not accept.
        int8: how near the int8 graph is, where the certificate travels with one; the rest is about float.
        source: how near the wide network is to the file that it was read from, where it was read from one.
    """

    wide_sha256: str
    flat_sha256: str
    checks: tuple[Check, ...]
    classes_agreed: int
    classes_compared: int
    limits: dict[str, float]
    versions: dict[str, str]
    skipped: tuple[str, ...] = ()
    int8: Quantization | None = None
    source: tuple[SourceCheck, ...] = ()

    @property
    def passed(self) -> bool:
        """Say whether every check is within its limit, all classes agree, int8 and the file are near."""
        return (
            bool(self.checks)
            and all(check.worst <= self.limits[check.dtype] for check in self.checks)
            and self.classes_agreed == self.classes_compared
            and (self.int8 is None or self.int8.passed)
            and all(check.passed for check in self.source)
        )

    def worst(self, dtype: str) -> float:
        """Return the largest error among the checks in `dtype`, NaN if there is one; 0.0 where none is."""
        return _largest([check.worst for check in self.checks if check.dtype == dtype])


def _largest(errors: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, errors)) else max(errors, default=0.0)
