"""Whole networks, timed: what compositions are fitted on, and intervals of networks calibrated on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from juggler.clock.race import race
from juggler.errors import ConfigError
from juggler.files import write_atomically
from juggler.nouns import Noun, Progress, ReportProgress
from juggler.predict.campaign.store.samples import Store, machine_digest
from juggler.predict.extract.kernels import ExtractedKernels, extract_kernels
from juggler.predict.graphs.random_networks import RandomNetwork, random_network
from juggler.reading.documents import read_json
from juggler.reading.request import Request
from juggler.runtime.machine import machine as machine_record
from juggler.runtime.onnx_graphs.builder import normal
from juggler.runtime.open import open_session

BATCHES = (1, 1, 1, 2, 4, 8, 16, 32, 64)  # more calls are of one input than of any other number
TOGETHER = 6  # networks of one race: more would not fit into the caches that each is to find as it left them
COUNT, ROUNDS, BLOCK_MS, WARMUP_S = 120, 5, 20.0, 0.5


@dataclass(frozen=True)
class TimedNetwork(Noun):
    """One network at one batch.

    Attributes:
        name: of the network; all batches of one have one name.
        reading: its kernels.
        latency_ms: of a call, measured: the least over rounds of a round's median.
        spread: how far the rounds lie apart: (largest - smallest) / smallest.
        threads: cores that a call could use.
        machine: digest of the machine's record.
    """

    name: str
    reading: ExtractedKernels
    latency_ms: float
    spread: float
    threads: int
    machine: str


def time_networks(
    backend: str = "onnxruntime",
    *,
    count: int = COUNT,
    threads: int = 1,
    seed: int = 0,
    rounds: int = ROUNDS,
    progress: ReportProgress | None = None,
) -> list[TimedNetwork]:
    """Draw networks and time them, a few at once in interleaved rounds.

    Args:
        backend: what runs them.
        count: how many.
        threads: cores that a call may use.
        seed: of what is drawn, and of the orders.
        rounds: turns of each.
        progress: called with networks done and in all.

    Raises:
        ConfigError: no such backend or reader, or a number below 1.
        Unavailable: the backend cannot work here.
    """
    if count < 1 or threads < 1 or rounds < 1:
        fault = f"count={count}, threads={threads}, rounds={rounds}"
        raise ConfigError("time networks", fault, "Give 1 or more of each")
    draw = np.random.default_rng(seed)
    batches = [int(batch) for batch in draw.choice(BATCHES, count)]
    random_networks = [random_network(seed * 100_003 + index, batch) for index, batch in enumerate(batches)]
    done: list[TimedNetwork] = []
    if progress:
        progress(Progress("time networks", 0, count, "networks"))
    for start in range(0, count, TOGETHER):
        chosen = list(zip(random_networks, batches, strict=True))[start : start + TOGETHER]
        done.extend(_timed(chosen, backend, threads, rounds, seed))
        if progress:
            progress(Progress("time networks", len(done), count, "networks"))
    return done


def _timed(
    chosen: Sequence[tuple[RandomNetwork, int]], backend: str, threads: int, rounds: int, seed: int
) -> Iterator[TimedNetwork]:
    here = machine_digest(machine_record())
    with ExitStack() as stack:
        calls = {}
        for network, batch in chosen:
            session = stack.enter_context(open_session(network.model, backend, threads=threads))
            calls[network.name] = partial(session.run, normal((batch, *network.shape)))
        raced = race(calls, rounds=rounds, min_block_ms=BLOCK_MS, warmup_s=WARMUP_S, seed=seed)
    for network, batch in chosen:
        reading = extract_kernels(network.model, backend, batch=batch, name=network.name)
        medians = raced[network.name].round_medians_ms
        least = float(medians.min())
        spread = float(medians.max()) / least - 1.0
        yield TimedNetwork(network.name, reading, least, spread, threads, here)


def networks_for(
    store: Store,
    *,
    count: int = COUNT,
    machine: str | None = None,
    seed: int = 0,
    progress: ReportProgress | None = None,
) -> list[TimedNetwork]:
    """Return the networks that are kept beside a database; where there are none, time some and keep them.

    Nothing is timed where the samples are of another machine than this one.

    Args:
        store: the database.
        count: how many to time; 0 times none.
        machine: digest of the samples' machine, where there are several.
        seed: of what is drawn.
        progress: called with networks done and in all.

    Raises:
        ArtefactError: what is kept cannot be read.
        ConfigError: what was timed cannot be written.
    """
    networks, here = kept_networks(beside(store.path)), machine_digest(machine_record())
    samples = store.samples(machine=machine or here)
    if networks or count < 1 or not samples or (machine or here) != here:
        return networks
    first = samples[0]
    timed = time_networks(first.backend, count=count, threads=first.threads, seed=seed, progress=progress)
    keep_networks(timed, beside(store.path))
    return timed


def beside(store: Path) -> Path:
    """Return where the timed networks of a database of samples are kept."""
    return store.with_name(f"{store.name}.networks.json")


def keep_networks(networks: Sequence[TimedNetwork], path: Path) -> Path:
    """Write timed networks, whole or not at all.

    Raises:
        ConfigError: they cannot be written.
    """
    rows = [network.to_dict() for network in networks]
    return write_atomically(path, f"{json.dumps(rows, allow_nan=False)}\n".encode())


def kept_networks(path: Path) -> list[TimedNetwork]:
    """Return the networks that were kept; none where there is no such file.

    Raises:
        ArtefactError: the file holds something else.
    """
    if not path.is_file():
        return []
    request = Request(f"read {path}", "Delete it, and time networks again")
    rows = read_json(path, request)
    with request.refusing("timed networks"):
        return [TimedNetwork.from_dict(row) for row in rows]
