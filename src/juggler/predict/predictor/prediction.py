"""What a predictor answers: milliseconds with their interval, by layer and in total, and what it left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from juggler.nouns import Noun
from juggler.predict.extract.kernels import Uncovered
from juggler.predict.predictor.stand_ins import DOUBT, OUTSIDE, UNKNOWN

Verdict = Literal["surely", "likely", "unlikely", "no", "unknown"]
UNKNOWN_SHARE = 0.25  # of a latency, beyond which nothing is said about a budget


@dataclass(frozen=True)
class LayerPrediction(Noun):
    """One kernel of a network.

    Attributes:
        name: of the node, as the runtime has it.
        op: the runtime's word for it.
        family: of the kernel.
        latency_ms: predicted, within the network.
        low_ms: lower end of its interval.
        high_ms: upper end.
        extrapolated: which of its numbers lie outside what was sampled; empty where none do.
    """

    name: str
    op: str
    family: str
    latency_ms: float
    low_ms: float
    high_ms: float
    extrapolated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction(Noun):
    """How long one call of a network takes, predicted.

    The latency is the sum of the layers, of the nodes' overhead, of the call's own price and of what is put
    down for nodes that no kernel describes.

    Attributes:
        network: its name.
        device: the predictor's name.
        backend: what would run it.
        precision: what it would run in.
        threads: cores that a call would use.
        shape: of the input, the batch first.
        latency_ms: of one call, in milliseconds.
        low_ms: lower end of the interval.
        high_ms: upper end.
        level: share of networks that such intervals are to cover.
        calibrated: networks that the interval was calibrated on; at 0 it is a bound by the layers' own.
        layers: by kernel, in the order in which they run.
        fixed_ms: of the call itself.
        overhead_ms: of the nodes, together.
        uncovered_ms: put down for what no kernel describes, by its bytes.
        uncovered: what no kernel describes, or nothing was sampled for.
        paper_ms: the composition of ResPerfNet's Eq. 2; None where it has no pre- and postprocessing.
        warnings: what a reader must not miss.
        source: `predicted`, always.
    """

    network: str
    device: str
    backend: str
    precision: str
    threads: int
    shape: tuple[int, ...]
    latency_ms: float
    low_ms: float
    high_ms: float
    level: float
    calibrated: int
    layers: tuple[LayerPrediction, ...]
    fixed_ms: float
    overhead_ms: float
    uncovered_ms: float
    uncovered: tuple[Uncovered, ...]
    paper_ms: float | None
    warnings: tuple[str, ...] = ()
    source: str = "predicted"

    @property
    def batch(self) -> int:
        """Return inputs a call."""
        return self.shape[0]

    @property
    def throughput_per_s(self) -> float:
        """Return inputs a second."""
        return self.batch / self.latency_ms * 1e3

    @property
    def extrapolated(self) -> tuple[LayerPrediction, ...]:
        """Return the layers outside what was sampled."""
        return tuple(layer for layer in self.layers if layer.extrapolated)

    @property
    def covered_share(self) -> float:
        """Return the share of the latency that kernels stand for."""
        return 1.0 - self.uncovered_ms / self.latency_ms

    @property
    def ungrounded_share(self) -> float:
        """Return the share of the latency that no sample tells of: extrapolated, or not covered.

        What is not covered may take ten times what its bytes say, and counts as if it did.
        """
        outside_ms = sum(layer.latency_ms for layer in self.extrapolated)
        more_ms = (UNKNOWN - 1.0) * self.uncovered_ms
        return (outside_ms + self.uncovered_ms + more_ms) / (self.latency_ms + more_ms)

    def within(self, budget_ms: float) -> Verdict:
        """Say whether a call stays within a budget, as far as the interval tells.

        Where no sample tells of more than a quarter of it, that is `unknown`.
        """
        if self.ungrounded_share > UNKNOWN_SHARE:
            return "unknown"
        if self.high_ms <= budget_ms:
            return "surely"
        if self.low_ms > budget_ms:
            return "no"
        return "likely" if self.latency_ms <= budget_ms else "unlikely"


def doubt(layers: Sequence[LayerPrediction], uncovered_ms: float, total_ms: float) -> tuple[float, float]:
    """Return what the ends of an interval are multiplied by, for what no sample tells of: below 1, above 1.

    Each such part may take so many times as long, or as short, as it is put down: `stand_ins` says how many.

    Args:
        layers: of a network.
        uncovered_ms: put down for what no kernel describes.
        total_ms: of the network.
    """
    parts = [(uncovered_ms, UNKNOWN)]
    for layer in layers:
        if layer.extrapolated:
            is_other = any(name.startswith(("family ", "kind ")) for name in layer.extrapolated)
            parts.append((layer.latency_ms, DOUBT if is_other else OUTSIDE))
    shorter = sum(ms * (1.0 - 1.0 / times) for ms, times in parts)
    longer = sum(ms * (times - 1.0) for ms, times in parts)
    return max(1.0 - shorter / total_ms, 1.0 / UNKNOWN), 1.0 + longer / total_ms
