"""Fit a predictor to a database of samples: a learner a family, intervals, and how networks are composed.

Of the samples that were drawn at random a fifth calibrates the intervals and is seen by nothing else; of the
others a part chooses among learners, and the chosen one is fitted on all but the calibration. Samples that a
committee chose, and probes, are for training only. Compositions are fitted on timed networks, each of which
is scored by one that was fitted without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from juggler.arrays import Floats
from juggler.cost.hardware.hierarchy import cache_bytes
from juggler.errors import DataError
from juggler.nouns import Machine, Progress, ReportProgress
from juggler.predict.campaign.networks import TimedNetwork, beside, kept_networks
from juggler.predict.campaign.store.samples import Store, now
from juggler.predict.fit.family import FittedFamily, fit_family
from juggler.predict.fit.report import FamilyReport, FitReport, NetworkReport
from juggler.predict.kernels.sample import Sample, by_family
from juggler.predict.kernels.spec import FAMILIES
from juggler.predict.learning.learner import FEWEST, LEARNERS
from juggler.predict.learning.scores import score
from juggler.predict.predictor.composition import Composition, Parts
from juggler.predict.predictor.intervals import LEVEL, Intervals
from juggler.predict.predictor.predictor import NETWORK, Predictor

LEARNED = ("counted", "roofline_trees")  # quick to load, without torch


def fit_predictor(
    store: Store,
    *,
    learners: Sequence[str] | None = None,
    device: str = "this machine",
    networks: Sequence[TimedNetwork] | None = None,
    machine: str | None = None,
    level: float = LEVEL,
    seed: int = 0,
    progress: ReportProgress | None = None,
) -> tuple[Predictor, FitReport]:
    """Fit the predictor of one device.

    Args:
        store: its samples, of one backend and number of threads.
        learners: names to choose from; by default those that load without torch.
        device: what to call it.
        networks: timed on the same machine; None takes those that are kept beside the database.
        machine: digest of the machine, where the database holds samples of several.
        level: share that intervals are to cover.
        seed: of the splits and the learners.
        progress: called with families done and in all.

    Returns:
        The predictor, and what it was fitted on and how well it does.

    Raises:
        DataError: no samples, too few of any family, or of several machines or backends.
        ConfigError: no such learner.
    """
    names = tuple(learners or LEARNED)
    for name in names:
        LEARNERS.get(name)
    samples, place = _of_one_machine(store, machine)
    grouped = by_family(samples, FAMILIES)
    enough = {family: members for family, members in grouped.items() if len(members) >= FEWEST}
    if not enough:
        fault = f"{len(samples)} samples, fewer than {FEWEST} of each family"
        raise DataError(f"fit {store.path}", fault, "Measure more of them: juggler campaign")
    fitted: list[FittedFamily] = []
    for done, (family, members) in enumerate(enough.items()):
        if progress:
            progress(Progress("fit", done, len(enough), "families"))
        fitted.append(fit_family(family, members, names, seed))
    first = samples[0]
    bare = _bare(device, place, first, fitted, level)
    timed = kept_networks(beside(store.path)) if networks is None else networks
    own_networks = [n for n in timed if (n.machine, n.threads) == (first.machine, first.threads)]
    composed, found_networks = compose_predictor(bare, own_networks, level)
    if progress:
        progress(Progress("fit", len(enough), len(enough), "families"))
    report = FitReport(
        device=device,
        samples=len(samples),
        families=tuple(_reported(family_fit, composed.intervals) for family_fit in fitted),
        left_out={f: len(members) for f, members in grouped.items() if 0 < len(members) < FEWEST},
        floors=store.floors(first.machine),
        networks=found_networks,
        seed=seed,
    )
    return replace(composed, report=report.to_dict()), report


def _bare(
    device: str, place: Machine, first: Sample, fitted: Sequence[FittedFamily], level: float
) -> Predictor:
    """Return the predictor of kernels, whose networks are composed as is believed beforehand."""
    intervals = Intervals.fit(
        [family_fit.model.family for family_fit in fitted for _ in family_fit.measured_ms],
        np.concatenate([family_fit.measured_ms for family_fit in fitted]),
        np.concatenate([family_fit.predicted_ms for family_fit in fitted]),
        level=level,
    )
    return Predictor(
        name=device,
        machine=place,
        backend=first.backend,
        release=place.packages.get(first.backend, "unknown"),
        precision=first.precision,
        threads=first.threads,
        cache_bytes=cache_bytes(2) or 1 << 20,
        models={family_fit.model.family: family_fit.model for family_fit in fitted},
        intervals=intervals,
        composition=Composition(),
        networks=Intervals(level, {}, {}),
        fitted_at=now(),
    )


def _reported(family_fit: FittedFamily, intervals: Intervals) -> FamilyReport:
    scores = score(family_fit.measured_ms, family_fit.predicted_ms) if family_fit.measured_ms.size else None
    return FamilyReport(
        family=family_fit.model.family,
        learner=family_fit.model.learner,
        chosen_from=family_fit.chosen_from,
        training=family_fit.model.sampled.samples,
        calibration=int(family_fit.measured_ms.size),
        scores=scores,
        half_width=float(np.expm1(intervals.half_width(family_fit.model.family))),
    )


def _of_one_machine(store: Store, machine: str | None) -> tuple[list[Sample], Machine]:
    """Return the samples to fit on, and the record of the machine that they are of.

    Raises:
        DataError: there are none, or they are of several machines, backends, precisions or threads.
    """
    action = f"fit {store.path}"
    samples = [sample for sample in store.samples(machine=machine) if sample.sampled_by != "retest"]
    if not samples:
        raise DataError(
            action, "no sample" + (f" of {machine}" if machine else ""), "Measure: juggler campaign"
        )
    kinds = sorted({(s.machine, s.backend, s.precision, s.threads) for s in samples})
    if len(kinds) > 1:
        fault = "; ".join(f"{m}: {b}, {p}, threads {t}" for m, b, p, t in kinds)
        raise DataError(
            action, f"samples of several kinds ({fault})", "Name one machine, or keep one of them"
        )
    records = store.machines()
    if samples[0].machine not in records:
        raise DataError(action, f"no record of the machine {samples[0].machine}", "Measure it again")
    return samples, records[samples[0].machine]


def compose_predictor(
    predictor: Predictor, networks: Sequence[TimedNetwork], level: float
) -> tuple[Predictor, NetworkReport]:
    """Return the predictor with a composition and intervals of networks, and how they came out.

    A network's score comes from a composition that was fitted on the others (all of its own batches left
    out), the composition that is returned from all: a jackknife over networks. Its intervals cover at least
    `2 level - 1` of new networks whatever the data, and about `level` where leaving one out changes little,
    which with nine coefficients held near what is believed beforehand is so from about 15 networks on.

    Args:
        predictor: of kernels.
        networks: timed on the same machine, none of them kept for tests.
        level: share of networks that intervals are to cover.
    """
    if not networks:
        return predictor, NetworkReport()
    names = [network.name for network in networks]
    measured = np.array([network.latency_ms for network in networks])
    parts = [predictor.parts(network.reading) for network in networks]
    left_out = left_out_ms(parts, measured, names)
    intervals = Intervals.fit([NETWORK] * len(names), measured, left_out, level=level, groups=names)
    composed = replace(predictor, composition=Composition.fit(parts, measured, names), networks=intervals)
    paper = [composed.predict(network.reading).paper_ms for network in networks]
    known = [row for row, value in enumerate(paper) if value is not None]
    width = intervals.half_widths.get(NETWORK)
    report = NetworkReport(
        names=len(set(names)),
        timed=len(names),
        scores=score(measured, left_out),
        paper_scores=score(measured[known], np.array([paper[row] for row in known], float))
        if known
        else None,
        half_width=None if width is None else float(np.expm1(width)),
    )
    return composed, report


def left_out_ms(parts: Sequence[Parts], measured: Floats, names: Sequence[str]) -> Floats:
    """Return each network's latency by a composition that was fitted without any batch of it."""
    latencies = np.empty(len(parts))
    for name in set(names):
        others = [row for row, owner in enumerate(names) if owner != name]
        composition = Composition.fit(
            [parts[row] for row in others], measured[others], [names[row] for row in others]
        )
        for row in (row for row, owner in enumerate(names) if owner == name):
            latencies[row] = composition.compose(parts[row])
    return latencies
