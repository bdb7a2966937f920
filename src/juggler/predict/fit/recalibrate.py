"""Correct a predictor for the present machine from a minute of measurements.

A machine of the same kind is faster or slower by a factor that differs a little from family to family; so a
few dozen kernels find, for each family, a line between the logs of what was predicted and what is measured,
drawn to the factor of all of them where a family has few. A few networks then find one factor for the whole.
The predictor itself is never changed: what was found is kept in the user's cache, with the machine's record.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from platformdirs import user_cache_dir

from juggler.arrays import Floats
from juggler.errors import ArtefactError, DataError
from juggler.files import write_atomically
from juggler.nouns import Machine, Noun, ReportProgress
from juggler.predict.campaign.networks import TimedNetwork, time_networks
from juggler.predict.campaign.store.samples import Store, machine_digest, now
from juggler.predict.kernels.sample import Sample, by_family
from juggler.predict.kernels.spec import KernelSpec
from juggler.predict.predictor.intervals import POOLED, Intervals
from juggler.predict.predictor.machine import predictor_digest
from juggler.predict.predictor.predictor import NETWORK, Predictor
from juggler.reading.content import MIB, read_text
from juggler.reading.request import Request
from juggler.runtime.machine import machine

MINUTES, NETWORKS, NETWORK_ROUNDS = 0.75, 6, 3
LONGEST_MS = 20.0  # of a kernel: many short ones tell more than a few long ones
FEWEST = 5  # kernels in all
WEIGHT = 5.0  # samples that what all families have in common counts for
FEWEST_TO_BEND, LOGS_TO_BEND = 15, 2.0  # samples, and the span of their logs, below which no slope is fitted
STEEPEST = 1.25


@dataclass(frozen=True)
class Correction(Noun):
    """What a machine was found to differ by.

    Attributes:
        predictor: digest of the predictor that it corrects.
        machine: that was measured.
        scales: what executions of a family are multiplied by; under `*` those of families not measured.
        powers: what they are raised to first.
        network_scale: what networks are multiplied by besides.
        half_widths: of the intervals of kernels on this machine, by family.
        network_half_width: of those of networks.
        kernels: that were measured.
        networks: that were measured.
        taken_at: when, as ISO 8601.
    """

    predictor: str
    machine: Machine
    scales: dict[str, float]
    powers: dict[str, float]
    network_scale: float
    half_widths: dict[str, float]
    network_half_width: float | None
    kernels: int
    networks: int
    taken_at: str

    former_names: ClassVar[Mapping[str, str]] = {"whole": "network_scale"}


def recalibrate(
    predictor: Predictor,
    *,
    minutes: float = MINUTES,
    networks: int = NETWORKS,
    seed: int = 1,
    probes: tuple[KernelSpec, ...] | None = None,
    progress: ReportProgress | None = None,
) -> tuple[Predictor, Correction]:
    """Measure this machine for about a minute, and return the predictor corrected for it.

    Args:
        predictor: of a machine of the same kind.
        minutes: for the kernels.
        networks: how many to time after them; 0 leaves them out.
        seed: of what is drawn.
        probes: kernels to begin with; see `CampaignOptions`.
        progress: called with seconds done and in all, while kernels are measured.

    Raises:
        Unavailable: the predictor's backend cannot work here.
        DataError: too little could be measured.
    """
    from juggler.predict.campaign.options import CampaignOptions  # noqa: PLC0415
    from juggler.predict.campaign.run import run_campaign  # noqa: PLC0415  # heavy

    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "s.sqlite", create=True) as store:
        options = CampaignOptions(
            backend=predictor.backend,
            minutes=minutes,
            threads=predictor.threads,
            families={family: 1.0 for family in predictor.models},
            seed=seed,
            cap_ms=LONGEST_MS,
            probes=probes,
        )
        run_campaign(store, options, progress=progress)
        samples = store.samples()
    timed = []
    if networks:
        timed = time_networks(
            predictor.backend,
            count=networks,
            threads=predictor.threads,
            seed=seed,
            rounds=NETWORK_ROUNDS,
        )
    correction = correct(predictor, samples, timed)
    return corrected(predictor, correction), correction


def correct(
    predictor: Predictor,
    samples: Sequence[Sample],
    networks: Sequence[TimedNetwork] = (),
    here: Machine | None = None,
) -> Correction:
    """Return the correction that measurements of this machine ask for.

    Raises:
        DataError: fewer than 5 samples of families that the predictor knows.
    """
    grouped = by_family(samples, predictor.models)
    known = {family: members for family, members in grouped.items() if members}
    if sum(map(len, known.values())) < FEWEST:
        fault = f"{len(samples)} kernels measured"
        raise DataError(f"recalibrate {predictor.name}", fault, "Measure for longer, on a quiet machine")
    predicted = {f: np.log(predictor.models[f].predict([s.spec for s in s_])) for f, s_ in known.items()}
    measured = {f: np.log([s.exec_ms for s in s_]) for f, s_ in known.items()}
    lines = _lines(predicted, measured)
    widths = _widths(predictor.intervals, predicted, measured, lines)
    half = Correction(
        predictor=predictor_digest(predictor),
        machine=here or machine(),
        scales={family: math.exp(line[0]) for family, line in lines.items()},
        powers={family: line[1] for family, line in lines.items()},
        network_scale=1.0,
        half_widths=widths,
        network_half_width=predictor.networks.half_widths.get(NETWORK),
        kernels=sum(map(len, known.values())),
        networks=len(networks),
        taken_at=now(),
    )
    return _with_networks(predictor, half, networks)


def corrected(predictor: Predictor, correction: Correction) -> Predictor:
    """Return the predictor with a correction applied.

    Raises:
        ArtefactError: the correction is of another predictor.
    """
    if correction.predictor != predictor_digest(predictor):
        fault = "it is of another predictor"
        raise ArtefactError(f"correct {predictor.name}", fault, "Recalibrate this one: --recalibrate")
    common = correction.scales[POOLED]
    models = {
        family: replace(
            model, scale=correction.scales.get(family, common), power=correction.powers.get(family, 1.0)
        )
        for family, model in predictor.models.items()
    }
    coefficients = predictor.composition.to_dict()
    for name in coefficients:
        if name.endswith(("_ms", "_mb")):  # prices of their own; kernels are corrected already
            coefficients[name] *= common
        if name != "networks":
            coefficients[name] *= correction.network_scale
    width = correction.network_half_width
    intervals = replace(predictor.intervals, half_widths=correction.half_widths)
    networks = replace(predictor.networks, half_widths={} if width is None else {NETWORK: width})
    said = f"recalibrated on {correction.kernels} kernels and {correction.networks} networks"
    return replace(
        predictor,
        models=models,
        composition=replace(predictor.composition, **coefficients),
        intervals=intervals,
        networks=networks,
        corrected=f"{said} of this machine, {correction.taken_at[:10]}",
    )


def keep(correction: Correction, folder: Path | None = None) -> Path:
    """Keep a correction in the user's cache; return the path.

    Raises:
        ConfigError: it cannot be written.
    """
    path = _path(correction.predictor, correction.machine, folder)
    return write_atomically(path, f"{correction.to_json(indent=1)}\n".encode())


def read_correction(
    predictor: Predictor, folder: Path | None = None, here: Machine | None = None
) -> Correction | None:
    """Return what was kept for this predictor on this machine; None where nothing can be read."""
    path = _path(predictor_digest(predictor), here or machine(), folder)
    try:
        return Correction.from_json(read_text(path, Request("read a correction", "Delete it"), MIB))
    except (ArtefactError, ValueError, TypeError):  # a cache may be lost or damaged at any time
        return None


def _path(predictor: str, here: Machine, folder: Path | None) -> Path:
    place = folder or Path(user_cache_dir("juggler")) / "recalibrated"
    return place / f"{predictor}-{machine_digest(here)}.json"


def _lines(predicted: Mapping[str, Floats], measured: Mapping[str, Floats]) -> dict[str, tuple[float, float]]:
    """Return, by family and under `*` for all, the shift and the slope of the logs."""
    residuals = {family: measured[family] - predicted[family] for family in predicted}
    common = float(np.median(np.concatenate(list(residuals.values()))))
    lines = {POOLED: (common, 1.0)}
    for family, residual in residuals.items():
        logs, slope = predicted[family], 1.0
        if residual.size >= FEWEST_TO_BEND and np.ptp(logs) >= LOGS_TO_BEND:
            centred = logs - logs.mean()
            bent = (
                float(centred @ residual)
                / float(centred @ centred)
                * residual.size
                / (residual.size + WEIGHT)
            )
            slope = float(np.clip(1.0 + bent, 1.0 / STEEPEST, STEEPEST))
        shift = float(np.median(measured[family] - slope * logs))
        at_middle = common - (slope - 1.0) * float(np.median(logs))  # the common factor, seen from this slope
        lines[family] = (residual.size * shift + WEIGHT * at_middle) / (residual.size + WEIGHT), slope
    return lines


def _widths(
    before: Intervals,
    predicted: Mapping[str, Floats],
    measured: Mapping[str, Floats],
    lines: Mapping[str, tuple[float, float]],
) -> dict[str, float]:
    """Return half widths that hold for what was just measured, and are not below those of the fit.

    The lines have few coefficients, held close to one of all; the samples that they were fitted to may
    calibrate them without much harm.
    """
    families = [family for family, logs in predicted.items() for _ in logs]
    lined = [lines[family][0] + lines[family][1] * logs for family, logs in predicted.items()]
    after = Intervals.fit(
        families,
        np.exp(np.concatenate(list(measured.values()))),
        np.exp(np.concatenate(lined)),
        level=before.level,
    )
    names = {*before.half_widths, *after.half_widths, POOLED}
    return {name: max(before.half_width(name), after.half_width(name)) for name in names}


def _with_networks(
    predictor: Predictor, correction: Correction, networks: Sequence[TimedNetwork]
) -> Correction:
    if not networks:
        return correction
    corrected_predictor = corrected(predictor, correction)
    residuals = np.log([n.latency_ms / corrected_predictor.predict(n.reading).latency_ms for n in networks])
    factor = float(np.median(residuals)) * residuals.size / (residuals.size + 1.0)
    width = correction.network_half_width
    if width is not None:
        width = max(width, float(np.quantile(np.abs(residuals - factor), predictor.networks.level)))
    return replace(correction, network_scale=math.exp(factor), network_half_width=width)
