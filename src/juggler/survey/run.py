"""Survey networks: count each, model it, time all of them in turns, and measure what can be measured."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from juggler.checks import refuse_faults
from juggler.clock.power import best_meter, why_none
from juggler.cost.hardware.hierarchy import Hierarchy, device
from juggler.count.geometry import Geometry
from juggler.count.network import Counted, count
from juggler.errors import ConfigError, JugglerError
from juggler.nouns import Progress, ReportProgress, Skipped, ignore_progress
from juggler.runtime.counting import count_graph
from juggler.runtime.machine import machine
from juggler.runtime.open import require
from juggler.runtime.session import BACKENDS
from juggler.runtime.sources.picture_folder import PictureFolder
from juggler.survey import published
from juggler.survey.amount import COUNTED, ESTIMATED, MODELLED, Amount
from juggler.survey.catalogue import Candidate
from juggler.survey.hardware import (
    Losses,
    array_for,
    at_precisions,
    check_device,
    cycles_on,
    energy_mj,
    multiplying,
    shares,
    what_ifs,
)
from juggler.survey.opening import Opened, graph_of, opened
from juggler.survey.results import FORMAT, Survey, Surveyed
from juggler.survey.timing import Measured, measure_networks
from juggler.survey.trials import tried
from juggler.survey.verdict import verdict

THIS_CPU = "this_cpu"
UNTRAINED = "no source is cited, and its weights are random: give --pictures and --weights"
NO_TIME = "no time was measured"


@dataclass(frozen=True)
class Options:
    """How to survey; checked when made.

    Attributes:
        budget: processing elements that an array may have.
        bits: precisions of weights and activations.
        device: whose energy is modelled.
        time: whether to time the networks.
        backend: what runs them.
        threads: cores that one call may use; None is the backend's own choice.
        rounds: turns of each network.
        pictures: what to measure accuracies on.
        weights: folder of weights by the networks' names.
    """

    budget: int = 16_384
    bits: tuple[int, ...] = (8, 16, 32)
    device: Hierarchy = field(default_factory=lambda: device("tpu_like"))
    time: bool = True
    backend: str = "onnxruntime"
    threads: int | None = None
    rounds: int = 15
    pictures: PictureFolder | None = None
    weights: Path | None = None

    def __post_init__(self) -> None:
        refuse_faults(
            "survey networks",
            {
                f"a budget of {self.budget}": self.budget < 1,
                f"precisions {list(self.bits)}": not self.bits
                or not all(1 <= width <= 64 for width in self.bits),
                f"{self.rounds} rounds": self.rounds < 1,
                f"{self.threads} threads": self.threads is not None and self.threads < 1,
            },
            "Give 1 or more, and precisions from 1 to 64 bits",
        )
        check_device(self.device)


@dataclass(frozen=True, eq=False)
class _Draft:
    """What one look at a network gave; the network itself is let go of."""

    candidate: Candidate
    geometries: tuple[Geometry, ...]
    surveyed: Surveyed
    graph: Path | None


def survey(
    networks: Sequence[Candidate], options: Options | None = None, *, progress: ReportProgress | None = None
) -> Survey:
    """Survey networks, one after another, so that only one is in memory; they are timed together.

    Args:
        networks: which.
        options: how.
        progress: told the steps done, of all networks.

    Raises:
        Unavailable: the backend cannot work here.
        JugglerError: none of the networks can be surveyed; the error is that of the first.
    """
    options = options or Options()
    if options.time:
        require(BACKENDS.get(options.backend))
    run = _Run(networks, options, progress or ignore_progress)
    with tempfile.TemporaryDirectory(prefix="juggler-survey-") as folder:
        return run.carry_out(Path(folder))


class _Run:
    """One survey."""

    def __init__(self, networks: Sequence[Candidate], options: Options, progress: ReportProgress) -> None:
        self.networks, self.options, self._report = networks, options, progress
        self.steps = len(networks) * (1 + options.time + bool(options.pictures))
        self.done = 0.0
        self.left_out: list[Skipped] = []
        self.first: JugglerError | None = None
        self.cpu = device(THIS_CPU)

    def carry_out(self, folder: Path) -> Survey:
        """Look at every network, time them, put it together."""
        drafts = [
            draft for candidate in self.networks if (draft := self._draft(candidate, folder)) is not None
        ]
        if not drafts:
            raise self.first or ConfigError("survey networks", "there are none", "Name one")
        times = self._times(drafts)
        done = [self._finished(draft, drafts, times.get(draft.candidate.name)) for draft in drafts]
        options = self.options
        runs = options.time or options.pictures is not None
        release = BACKENDS.get(options.backend).status().version if runs else None
        return Survey(
            format=FORMAT,
            date=datetime.now(UTC).date().isoformat(),
            machine=machine(),
            backend=f"{options.backend} {release or ''}".strip() if runs else "",
            device=f"{options.device.name}: {options.device.source}",
            budget=options.budget,
            bits=tuple(sorted(options.bits)),
            networks=tuple(done),
            left_out=tuple(self.left_out),
            pictures=f"{len(options.pictures)} of {options.pictures.taken}" if options.pictures else "",
            meter=_meter(),
            verdict=verdict(done, options.budget),
            settings={
                "rounds": str(options.rounds if options.time else 0),
                "threads": str(options.threads or "the backend's own choice"),
            },
        )

    def _draft(self, candidate: Candidate, folder: Path) -> _Draft | None:
        """Open, count, model and, where it is to be run, export one network."""
        self._step(f"{candidate.title}: counting", 0)
        try:
            network = opened(candidate, self.options.weights)
            counted = _counted(candidate, network)
            needs_graph = self.options.time or (self.options.pictures is not None and network.trained)
            graph = graph_of(candidate, network, folder) if needs_graph else None
            return self._modelled(candidate, network, counted, graph)
        except JugglerError as error:
            self.first = self.first or error
            self.left_out.append(Skipped(candidate.title, error.found, error.remedy))
            return None
        finally:
            self._step(f"{candidate.title}: counting", 1)

    def _modelled(
        self, candidate: Candidate, network: Opened, counted: Counted, graph: Path | None
    ) -> _Draft:
        ops = multiplying(counted)
        geometries = tuple(op.geometry for op in ops)
        if not ops:
            missed = ", ".join(f"{op.times} {op.operator}" for op in counted.uncounted)
            raise ConfigError(
                f"survey {candidate.title}",
                f"nothing in it that is counted multiplies; not counted: {missed}"
                if missed
                else "it multiplies nothing",
                "Give a network with layers",
            )
        array = array_for(geometries, self.options.budget)
        accuracy, losses = self._accuracy(candidate, network, graph)
        if not accuracy:
            accuracy = published.accuracy(candidate.name)
        amounts = {key: accuracy.get(key, Amount.none(UNTRAINED)) for key in ("top1", "top5")} | {
            "parameters_m": Amount(counted.parameters / 1e6, COUNTED, _how(counted)),
            "gflop": Amount(2 * counted.macs / 1e9, COUNTED, f"2 x multiply-accumulates, {_how(counted)}"),
            "energy_mj": Amount(
                energy_mj(geometries, self.cpu), MODELLED, f"arithmetic and moves on {self.cpu.name}, float32"
            ),
        }
        notes = (candidate.note, published.note(candidate.name), counted.note)
        surveyed = Surveyed(
            name=candidate.name,
            title=candidate.title,
            model=candidate.model,
            shape=candidate.shape,
            amounts=amounts,
            paper=published.paper(candidate.name),
            array=array,
            cycles_on={},
            shares=shares(geometries, array),
            precisions=at_precisions(ops, self.options.device, self.options.bits, losses),
            what_ifs=what_ifs(ops, self.options.device, array, max(self.options.bits), losses),
            uncounted=tuple(f"{missed.operator} ({missed.times})" for missed in counted.uncounted),
            notes=tuple(filter(None, notes)),
        )
        return _Draft(candidate, geometries, surveyed, graph)

    def _accuracy(
        self, candidate: Candidate, network: Opened, graph: Path | None
    ) -> tuple[dict[str, Amount], Losses]:
        pictures = self.options.pictures
        if pictures is None:
            return {}, Losses({}, {})
        if graph is None or not network.trained:
            self._step(f"{candidate.title}: pictures", 1)
            return {}, Losses({}, {}, Amount.none("not measured: its weights are random, give --weights"))
        start = self.done

        def report(progress: Progress) -> None:
            done = start + progress.share
            self._report(Progress(f"{candidate.title}: pictures", done, self.steps, "steps"))

        threads = self.options.threads
        trials = tried(
            graph, candidate.shape[-1], pictures, network.standard, threads=threads, progress=report
        )
        self._step(f"{candidate.title}: pictures", 1)
        return trials.accuracy, trials.losses

    def _times(self, drafts: Sequence[_Draft]) -> dict[str, Measured]:
        if not self.options.time:
            return {}
        graphs = {
            draft.candidate.name: (draft.graph, draft.candidate.shape)
            for draft in drafts
            if draft.graph is not None
        }
        start, options = self.done, self.options

        def report(progress: Progress) -> None:
            done = start + progress.share * (self.steps - start)
            self._report(Progress("timing all of them in turns", done, self.steps, "steps"))

        return measure_networks(
            graphs, options.backend, threads=options.threads, rounds=options.rounds, progress=report
        )

    def _finished(self, draft: _Draft, drafts: Sequence[_Draft], times: Measured | None) -> Surveyed:
        """Add what is known only when all networks are."""
        network = draft.surveyed
        latency, watts = times or (Amount.none(NO_TIME), Amount.none(NO_TIME))
        if not watts.known:
            watts = estimated_power(network.amounts["energy_mj"], latency, watts)
        energy = network.amounts["energy_mj"]
        if watts.origin == "measured" and latency.value is not None and watts.value is not None:
            energy = Amount(watts.value * latency.value, watts.origin, watts.source)
        added = {"latency_ms": latency, "power_w": watts, "energy_mj": energy}
        across = {rival.surveyed.name: cycles_on(draft.geometries, rival.surveyed.array) for rival in drafts}
        return replace(network, amounts=network.amounts | added, cycles_on=across)

    def _step(self, what: str, more: float) -> None:
        self.done += more
        self._report(Progress(what, self.done, self.steps, "steps"))


def estimated_power(energy: Amount, latency: Amount, missing: Amount) -> Amount:
    """Return modelled energy over measured time, or why there is not even that.

    Args:
        energy: of one image, in mJ.
        latency: in ms.
        missing: why no power was measured.
    """
    if energy.value is None or latency.value is None:
        return Amount.none(latency.source if latency.value is None else energy.source)
    source = f"energy, {energy.origin} ({energy.source}), over time, {latency.origin}; {missing.source}"
    ends = (None, None)
    if latency.low is not None and latency.high is not None:
        ends = (energy.value / latency.high, energy.value / latency.low)  # type: ignore[assignment]
    return Amount(energy.value / latency.value, ESTIMATED, source, *ends)


def _counted(candidate: Candidate, network: Opened) -> Counted:
    if network.module is None and network.graph is not None:
        return count_graph(network.graph, [candidate.shape])
    assert network.module is not None  # noqa: S101  # a network is a module or a graph
    types = (parameter.dtype for parameter in network.module.parameters() if parameter.is_floating_point())
    example = torch.empty(1, *candidate.shape, dtype=next(types, torch.float32), device="meta")
    return count(network.module, example)


def _how(counted: Counted) -> str:
    missed = sum(op.times for op in counted.uncounted)
    return "operator by operator" + (f", {missed} operators not counted" if missed else "")


def _meter() -> str:
    meter = best_meter()
    return meter.what if meter is not None else f"none: {why_none()}"
