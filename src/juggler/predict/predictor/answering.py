"""How a predictor answers: kernel by kernel, composed, with ends, and with what a reader must not miss."""

from __future__ import annotations

from collections.abc import Sequence

from juggler.predict.extract.kernels import Reading, Uncovered, counted
from juggler.predict.kernels.spec import KernelSpec
from juggler.predict.predictor.composition import Parts, paper_composition
from juggler.predict.predictor.intervals import POOLED
from juggler.predict.predictor.kernel_model import POST, PRE
from juggler.predict.predictor.prediction import LayerPrediction, Prediction
from juggler.predict.predictor.predictor import NETWORK, Predictor


def answer(predictor: Predictor, reading: Reading) -> Prediction:
    """Predict the kernels of a network, and compose them."""
    specs = predictor.as_run(reading)
    alone_ms = predictor.in_network_ms(reading)
    parts = Parts.of(reading, alone_ms, predictor.cache_bytes)
    composition = predictor.composition
    layers = _layers(predictor, reading, specs, alone_ms, is_cooled=parts.cold_bytes > 0)
    total_ms = composition.compose(parts)
    uncovered_ms = composition.uncovered_ms_per_mb * parts.uncovered_bytes / 1e6
    overhead_ms = composition.node_ms * parts.nodes
    rest_ms = composition.fixed_ms + overhead_ms + uncovered_ms
    low_ms, high_ms = _ends(predictor, layers, total_ms, rest_ms)
    return Prediction(
        network=reading.network,
        device=predictor.name,
        backend=predictor.backend,
        precision=predictor.precision,
        threads=predictor.threads,
        shape=reading.shape,
        latency_ms=total_ms,
        low_ms=low_ms,
        high_ms=high_ms,
        level=predictor.networks.level,
        calibrated=predictor.networks.counts.get(NETWORK, 0),
        layers=tuple(layers),
        fixed_ms=composition.fixed_ms,
        overhead_ms=overhead_ms,
        uncovered_ms=uncovered_ms,
        uncovered=_uncovered(reading, alone_ms),
        paper_ms=_paper_ms(predictor, specs, alone_ms),
        warnings=tuple(_warnings(predictor, reading, layers)),
    )


def _layers(
    predictor: Predictor,
    reading: Reading,
    specs: Sequence[KernelSpec],
    alone_ms: Sequence[float | None],
    *,
    is_cooled: bool,
) -> list[LayerPrediction]:
    composition = predictor.composition
    outside = _outside(predictor, specs)
    layers = []
    for kernel, spec, own_ms in zip(reading.kernels, specs, alone_ms, strict=True):
        if own_ms is None:
            continue
        latency_ms = composition.gain(spec) * own_ms
        latency_ms += composition.cold_ms_per_mb * spec.weight_bytes / 1e6 * is_cooled
        ends = predictor.intervals.of(spec.family, latency_ms)
        layers.append(
            LayerPrediction(kernel.name, kernel.op, spec.family, latency_ms, *ends, outside.get(spec, ()))
        )
    return layers


def _outside(predictor: Predictor, specs: Sequence[KernelSpec]) -> dict[KernelSpec, tuple[str, ...]]:
    found: dict[KernelSpec, tuple[str, ...]] = {}
    for family, model in predictor.models.items():
        own = list(dict.fromkeys(spec for spec in specs if spec.family == family))
        if own:
            found |= dict(zip(own, model.outside(own), strict=True))
    return found


def _ends(
    predictor: Predictor, layers: Sequence[LayerPrediction], total_ms: float, rest_ms: float
) -> tuple[float, float]:
    """Return the interval of the total: calibrated on networks, or else as if all layers erred together."""
    if NETWORK in predictor.networks.half_widths:
        return predictor.networks.of(NETWORK, total_ms)
    return sum(layer.low_ms for layer in layers) + rest_ms, sum(layer.high_ms for layer in layers) + rest_ms


def _uncovered(reading: Reading, alone_ms: Sequence[float | None]) -> tuple[Uncovered, ...]:
    missed = [
        (kernel.op, kernel.name, kernel.spec.bytes)
        for kernel, own_ms in zip(reading.kernels, alone_ms, strict=True)
        if own_ms is None
    ]
    return (*reading.uncovered, *counted(missed))


def _paper_ms(
    predictor: Predictor, specs: Sequence[KernelSpec], alone_ms: Sequence[float | None]
) -> float | None:
    if not specs:
        return None
    (pre_ms,) = predictor.kernels_ms(specs[:1], PRE)
    (post_ms,) = predictor.kernels_ms(specs[-1:], POST)
    if pre_ms is None or post_ms is None:
        return None
    known = [(spec.family, ms) for spec, ms in zip(specs, alone_ms, strict=True) if ms is not None]
    return paper_composition([family for family, _ in known], pre_ms, [ms for _, ms in known], post_ms)


def _warnings(predictor: Predictor, reading: Reading, layers: Sequence[LayerPrediction]) -> list[str]:
    found = []
    beyond = sum(bool(layer.extrapolated) for layer in layers)
    if beyond:
        found.append(f"{beyond} of {len(layers)} kernels lie outside the sampled range: extrapolated")
    if NETWORK not in predictor.networks.half_widths:
        found.append("the interval is not calibrated on networks: it adds up those of the kernels")
    weak = sorted({layer.family for layer in layers} - set(predictor.intervals.half_widths) - {POOLED})
    if weak:
        found.append(f"too few samples for intervals of their own: {', '.join(weak)}")
    if reading.release != predictor.release:
        found.append(f"read with {reading.backend} {reading.release}, sampled with {predictor.release}")
    return found
