"""What a small network costs on a backend, measured: the cost function of `policy="measure"`.

A network is exported, opened and raced as any other, but on weights drawn at random, so that its latency is
one of its structure, and is kept in a `LatencyCache` under it. The forms that a region may take are raced
against each other: a machine drifts, and latencies of two races would differ by the drift.

A latency is the shortest call, for whatever else the machine does can only lengthen one. A median needs a
machine that is calm for half of the time: of equal convolutions raced on ONNX Runtime beside four busy
processes on two cores, medians over paired rounds differed by 7 % and shortest calls by 1 %.
"""

from __future__ import annotations

import copy
import hashlib
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from juggler.clock.interval import median_interval
from juggler.clock.race import race
from juggler.errors import ConfigError, JugglerError
from juggler.runtime.export import draft
from juggler.runtime.machine import machine
from juggler.runtime.modules import from_module
from juggler.runtime.open import require
from juggler.runtime.precision import FLOAT32
from juggler.runtime.session import BACKENDS, Session, Source
from juggler.runtime.tuning.latency_cache import Latency, LatencyCache, Place
from juggler.runtime.tuning.structure import structure_of
from juggler.transform.equivalence import randomise

Form = tuple[fx.GraphModule, tuple[Tensor, ...]]
Call = Callable[[], object]
Shortest = npt.NDArray[np.float64]  # call of each round, `[rounds]`, in milliseconds

ROUNDS, SECONDS = 25, 1.0
# A heat of a few rounds sends off who is clearly slower: it cannot win, and its latency need not be close.
HEAT_ROUNDS, FEWEST_ROUNDS = 6, 4
CLEARLY_SLOWER = 1.5
BLOCK_MS = 4.0
LED_IN_MS = 4.0  # of a turn in `clock.race`
WARMUP_S = 0.05


class Timer:
    """Time small networks on one backend, in milliseconds a call, at the batch of their example inputs.

    Args:
        backend: what runs them.
        threads: cores that one call may use; None is the backend's own choice.
        cache: where latencies are kept; None is the usual file, which all processes share.
        rounds: turns of each form in a race.
        seconds: what a race may take, about, where that leaves 4 rounds; opening the forms is not counted.

    Attributes:
        place: what its latencies hold for.
        unfit: why the backend could not run a network, by structure; such a network costs infinity.

    Raises:
        ConfigError: no such backend, or an option out of range.
        Unavailable: the backend cannot work here.
    """

    def __init__(
        self,
        backend: str = "onnxruntime",
        *,
        threads: int | None = None,
        cache: LatencyCache | None = None,
        rounds: int = ROUNDS,
        seconds: float = SECONDS,
    ) -> None:
        if rounds < 1 or not seconds > 0.0 or (threads is not None and threads < 1):
            settings = f"rounds={rounds}, seconds={seconds}, threads={threads}"
            raise ConfigError("time networks", settings, "Give 1 or more of each; threads may be left out")
        self._backend = BACKENDS.get(backend)
        require(self._backend)
        self._threads, self._rounds, self._seconds = threads, rounds, seconds
        self._cache = LatencyCache() if cache is None else cache
        self.unfit: dict[str, str] = {}
        release = self._backend.status().version or "unknown"
        self.place = Place(_fingerprint(), self._backend.name, release, threads, FLOAT32)

    def __call__(self, module: fx.GraphModule, examples: tuple[Tensor, ...]) -> float:
        """Return the milliseconds of one call; infinity where the backend cannot run the network."""
        return self.race([(module, examples)])[0]

    def race(self, forms: Sequence[Form]) -> tuple[float, ...]:
        """Return the milliseconds of one call of each form, from one interleaved race.

        Forms of one structure have one latency. That of a form that takes at least 1.5 times as long as
        the fastest comes from a few rounds only.

        Args:
            forms: networks in evaluation mode, each with its example inputs, of which shapes and element
                types count; nothing of them is changed.

        Returns:
            One latency a form, in order; infinity for one that the backend cannot run.
        """
        names = [structure_of(*form) for form in forms]
        unique = {name: form for name, form in zip(names, forms, strict=True) if name not in self.unfit}
        latencies = self._known(unique)
        if len(latencies) < len(unique):
            latencies = self._measured(unique)
            self._cache.put(latencies | _within(latencies), self.place)
        return tuple(latencies[name].latency_ms if name in latencies else math.inf for name in names)

    def _known(self, names: Mapping[str, Form]) -> dict[str, Latency]:
        """Return the latencies from an earlier race of just these forms."""
        keys = {name: _rival(name, names) for name in names}
        cached = self._cache.get(list(keys.values()), self.place)
        return {name: cached[key] for name, key in keys.items() if key in cached}

    def _measured(self, forms: Mapping[str, Form]) -> dict[str, Latency]:
        calls: dict[str, Call] = {}
        round_ms = 0.0
        with ExitStack() as stack:
            for name, (module, examples) in forms.items():
                try:
                    randomised = randomise(module, torch.Generator().manual_seed(0)).eval()
                    session, call = opened(randomised, examples, self._backend.name, self._threads)
                    stack.enter_context(session)
                    call()  # the first call compiles, where anything is compiled
                except JugglerError as error:  # an op that the exporter or the backend lacks
                    self.unfit[name] = str(error)
                    continue
                calls[name] = call
                round_ms += _turn_ms(call)
            shortest_ms = self._raced(calls, int(self._seconds * 1e3 / round_ms)) if calls else {}
        return {name: _latency(shortest) for name, shortest in shortest_ms.items()}

    def _raced(self, calls: Mapping[str, Call], affordable: int) -> dict[str, Shortest]:
        """Race the calls: all of them first, then on those that are close to the fastest."""
        rounds = max(min(affordable, self._rounds), min(FEWEST_ROUNDS, self._rounds))
        heat = min(HEAT_ROUNDS, rounds)
        shortest_ms = _heat(calls, heat, WARMUP_S)
        fastest_ms = min(float(blocks_ms.min()) for blocks_ms in shortest_ms.values())
        close = {
            name: call
            for name, call in calls.items()
            if shortest_ms[name].min() < CLEARLY_SLOWER * fastest_ms
        }
        # A form alone is timed to the end as well: who asks for one latency wants it close.
        if rounds > heat and (len(close) > 1 or len(calls) == 1):
            for name, more in _heat(close, rounds - heat, 0.0).items():
                shortest_ms[name] = np.concatenate([shortest_ms[name], more])
        return shortest_ms


def _heat(calls: Mapping[str, Call], rounds: int, warmup_s: float) -> dict[str, Shortest]:
    # Neither canary nor patience: they would double the time to mend medians.
    raced = race(calls, rounds=rounds, min_block_ms=BLOCK_MS, warmup_s=warmup_s, canary=False, patience=0.0)
    return {name: np.array([block.min() for block in samples.rounds_ms]) for name, samples in raced.items()}


def opened(
    module: nn.Module, examples: Sequence[Tensor], backend: str, threads: int | None
) -> tuple[Session, Call]:
    """Open a network on a backend, on copies in float32; return the session, and a call on normal inputs.

    The exported graph is not compared with the module: it is timed and given to nobody.

    Raises:
        ConfigError: the network cannot be exported.
        ArtefactError: the backend cannot open it.
        Unavailable: the backend cannot work here.
    """
    chosen = BACKENDS.get(backend)
    require(chosen)
    inputs = tuple(_normal_like(value, seed) for seed, value in enumerate(examples))
    network = copy.deepcopy(module).float()
    source = Source(graph=draft(network, inputs)) if chosen.takes == "onnx" else from_module(network, inputs)
    session = chosen.open(source, threads=threads)
    return session, partial(session.run, *(value.numpy() for value in inputs))


def _normal_like(value: Tensor, seed: int) -> Tensor:
    """Draw an input: zeros are skipped by some kernels, and denormals slow all of them down."""
    if not value.is_floating_point():
        return value.detach().cpu().contiguous()
    return torch.randn(value.shape, generator=torch.Generator().manual_seed(seed))


def _turn_ms(call: Call) -> float:
    start_s = time.perf_counter()
    call()
    call_ms = (time.perf_counter() - start_s) * 1e3
    return max(call_ms, LED_IN_MS) + max(call_ms, BLOCK_MS)


def _latency(shortest: Shortest) -> Latency:
    return Latency(float(shortest.min()), *median_interval(shortest), shortest.size)


def _within(latencies: Mapping[str, Latency]) -> dict[str, Latency]:
    """Return the latencies under the names that they have among just these rivals."""
    return {_rival(name, latencies): latency for name, latency in latencies.items()}


def _rival(name: str, names: Mapping[str, object]) -> str:
    """Name a form among its rivals; alone it has its own name."""
    if len(names) == 1:
        return name
    return f"{name}|{hashlib.sha256(','.join(sorted(names)).encode()).hexdigest()}"


def _fingerprint() -> str:
    here = machine()
    chip = f"{here.cpu}, {platform.machine()}, {here.cores} cores, {here.memory_gib:g} GiB"
    return f"{chip}, {here.accelerator}" if here.accelerator else chip
