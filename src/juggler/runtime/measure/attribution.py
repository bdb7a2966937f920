"""Where the speed of a deployed network comes from: eager, flat, runtime, int8, step by step in one race.

The original takes every step as well, so that nothing is booked to flattening that the runtime's own
optimiser does for the original too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from juggler.clock.race import Ratio, Samples, race, ratio
from juggler.errors import ArtefactError, ConfigError, Unavailable
from juggler.nouns import Machine, Noun, ReportProgress, Skipped, Timing
from juggler.runtime.export import export
from juggler.runtime.int8.held_out import in_pieces, share_out
from juggler.runtime.int8.quantization import QUANTIZERS, quantize
from juggler.runtime.machine import machine
from juggler.runtime.measure.contenders import normal
from juggler.runtime.modules import examples
from juggler.runtime.open import open_session, require
from juggler.runtime.precision import FLOAT32, INT8, Deviation, answers, deviation_of, shortfall
from juggler.runtime.session import BACKENDS, Array, Session

if TYPE_CHECKING:
    from torch import nn

EAGER = "torch_eager"
LEFT_OUT = (EAGER, "torch_compile")  # of the backends that are taken where none is named
ORIGINAL, FLAT = "original", "flat"
ANY_TOOL = "onnxruntime"  # its graphs run fast on other runtimes too
DRAWN, PIECE = 32, 8
Form = Literal["original", "flat"]


@dataclass(frozen=True)
class Step(Noun):
    """One form of a network on one backend in one precision. All ratios are of times: above 1 is faster.

    Attributes:
        runtime: the runtime whose optimiser is what all steps of the path are compared with.
        form: `original` or `flat`.
        timing: what was measured; its `backend` is `torch_eager` on the steps before the runtime.
        added: how many times as fast as the step before on the form's own path; None on the first.
        brought: how many times as fast as the original at this very place; None of the original itself.
        against: how many times as fast as what the runtime makes of the original in float32.
        deviation: how far the answers are from those of the original in eager float32; None of that itself.
    """

    runtime: str
    form: str
    timing: Timing
    added: Ratio | None
    brought: Ratio | None
    against: Ratio
    deviation: Deviation | None


@dataclass(frozen=True)
class Attribution(Noun):
    """What each step adds, runtime by runtime.

    Attributes:
        steps: of one runtime after the other: the original's path, then the flat form's.
        skipped: backends, and precisions of backends, that cannot work here.
        machine: where it was measured.
        shape: of the input, the batch among it.
        rounds: turns of each contender.
        threads: cores that one call may use; None is each backend's own choice.
        calibrated: real inputs that int8 is calibrated on; 0 where they were drawn at random.
    """

    steps: tuple[Step, ...]
    skipped: tuple[Skipped, ...]
    machine: Machine
    shape: tuple[int, ...]
    rounds: int
    threads: int | None
    calibrated: int

    @property
    def runtimes(self) -> tuple[str, ...]:
        """Return the runtimes in their order."""
        return tuple(dict.fromkeys(step.runtime for step in self.steps))

    def path(self, runtime: str, form: str = FLAT) -> tuple[Step, ...]:
        """Return the steps of one form on one runtime, from eager to int8."""
        return tuple(step for step in self.steps if (step.runtime, step.form) == (runtime, form))


@dataclass(frozen=True)
class _Place:
    """One contender."""

    form: Form
    backend: str
    precision: str


def attribute(
    model: nn.Module,
    example: object,
    *,
    flat: nn.Module | None = None,
    backends: Sequence[str] | None = None,
    inputs: Any = None,
    int8: bool = True,
    threads: int | None = None,
    rounds: int = 20,
    warmup_s: float = 1.0,
    seed: int = 0,
    progress: ReportProgress | None = None,
) -> Attribution:
    """Time a network and its flat form in eager torch, on runtimes and in int8, all in one race.

    Args:
        model: the original, of one input, in float32 and in evaluation mode.
        example: one input, `[batch, ...]`; all is timed at its size and batch.
        flat: its flat form, as `flatten` gave it; None flattens the model here.
        backends: the runtimes; None takes those that work here, without torch's own.
        inputs: real inputs, `[n, ...]`: three quarters calibrate int8, on the others the answers are
            compared. None draws normal ones, on which int8 is as fast but its deviation says little.
        int8: whether to take the step to int8 where a runtime has it.
        threads: cores that one call may use; None is each backend's own choice.
        rounds: turns of each contender.
        warmup_s: longest warm-up of each contender, in seconds.
        seed: draws inputs, orders and resamples.
        progress: called with turns done and turns in all.

    Raises:
        ConfigError: training mode, an example or inputs that cannot work, several inputs, or no runtime.
        Unavailable: a backend that was named cannot work here.
        Refused: `flat` is not given and the model cannot be flattened.
    """
    tensors = examples(example)
    if len(tensors) != 1:
        raise ConfigError("attribute speed", f"{len(tensors)} inputs", "Give a network of one input")
    if flat is None:
        from juggler.transform import flatten  # noqa: PLC0415  # where it is given this is not needed

        flat = flatten(model, tensors[0]).model
    forms: dict[Form, nn.Module] = {"original": model, "flat": flat}
    names = _runtimes(backends)
    x = tensors[0].numpy()
    real = None if inputs is None else np.asarray(inputs, dtype=x.dtype)
    calibration, check = share_out((normal((DRAWN, *x.shape[1:]), seed) if real is None else real,), None)
    graphs = _Graphs(forms, tensors[0], calibration)
    skipped: list[Skipped] = []
    with ExitStack() as stack:
        sessions = {
            place: stack.enter_context(_open(graphs, place, threads))
            for place in (*_eager(), *_places(names, graphs, skipped, int8=int8))
        }
        batch = x if real is None else np.resize(real, x.shape)
        calls = {str(at): partial(session.run, batch) for at, session in enumerate(sessions.values())}
        raced = race(calls, rounds=rounds, warmup_s=warmup_s, seed=seed, progress=progress)
        samples = dict(zip(sessions, raced.values(), strict=True))
        deviations = _deviations(sessions, check[0])
    return Attribution(
        steps=tuple(_steps(names, samples, deviations, len(x), seed)),
        skipped=tuple(skipped),
        machine=machine(),
        shape=tuple(x.shape),
        rounds=rounds,
        threads=threads,
        calibrated=0 if real is None else len(calibration[0]),
    )


def _runtimes(backends: Sequence[str] | None) -> tuple[str, ...]:
    if backends is None:
        every = (name for name, backend in BACKENDS if backend.status().available)
        names = tuple(name for name in every if name not in LEFT_OUT)
    else:
        names = tuple(dict.fromkeys(name for name in backends if name != EAGER))
        for name in names:
            require(BACKENDS.get(name))
    if not names:
        raise ConfigError(
            "attribute speed", "no runtime beside eager torch", "Name one, such as onnxruntime or openvino"
        )
    return names


class _Graphs:
    """The two networks as ONNX, in float32 and in int8, each made once."""

    def __init__(self, forms: Mapping[Form, nn.Module], example: Any, calibration: tuple[Array, ...]) -> None:
        self.forms, self.example, self._calibration = forms, example, calibration
        self._float32: dict[Form, bytes] = {}
        self._int8: dict[tuple[Form, str], bytes] = {}

    def float32(self, form: Form) -> bytes:
        if form not in self._float32:
            self._float32[form] = export(self.forms[form], self.example)
        return self._float32[form]

    def int8(self, form: Form, backend: str) -> bytes:
        """Quantise by the backend's own tool where it is installed."""
        backend_tools = (
            name for name, tool in QUANTIZERS if tool.backend == backend and tool.status().available
        )
        tool = next(backend_tools, ANY_TOOL)
        if (form, tool) not in self._int8:
            self._int8[form, tool] = quantize(self.float32(form), self._calibration, tool=tool)
        return self._int8[form, tool]


def _eager() -> tuple[_Place, _Place]:
    return _Place("original", EAGER, FLOAT32), _Place("flat", EAGER, FLOAT32)


def _places(names: Sequence[str], graphs: _Graphs, skipped: list[Skipped], *, int8: bool) -> Iterator[_Place]:
    """Yield the places on runtimes; int8 of a backend is left out where it or one of its graphs cannot be."""
    for name in names:
        precisions = [FLOAT32]
        lacks = shortfall(BACKENDS.get(name), INT8) if int8 else None
        if int8 and lacks is None:
            try:
                graphs.int8("original", name), graphs.int8("flat", name)
                precisions.append(INT8)
            except (ArtefactError, Unavailable) as error:
                lacks = error.found, error.remedy
        if lacks is not None:
            skipped.append(Skipped(f"{name} in {INT8}", *lacks))
        for precision in precisions:
            yield _Place("original", name, precision)
            yield _Place("flat", name, precision)


def _open(graphs: _Graphs, place: _Place, threads: int | None) -> Session:
    source: Any = graphs.forms[place.form]
    if place.precision == INT8:
        source = graphs.int8(place.form, place.backend)
    elif BACKENDS.get(place.backend).takes == "onnx":
        source = graphs.float32(place.form)
    return open_session(
        source, place.backend, example=graphs.example, threads=threads, precision=place.precision
    )


def _deviations(sessions: Mapping[_Place, Session], check: Array) -> dict[_Place, Deviation]:
    """Compare the answers of every place with those of the first."""
    pieces = in_pieces((check,), None, PIECE)
    reference, *others = sessions
    reference_answers = answers(sessions[reference], pieces)
    return {
        place: deviation_of(reference_answers, answers(sessions[place], pieces), len(check))
        for place in others
    }


def _steps(
    names: Sequence[str],
    samples: Mapping[_Place, Samples],
    deviations: Mapping[_Place, Deviation],
    batch: int,
    seed: int,
) -> Iterator[Step]:
    def times(slow: _Place, fast: _Place) -> Ratio:
        return ratio(samples[slow], samples[fast], seed=seed)

    for name in names:
        original = _Place("original", name, FLOAT32)
        for form in ("original", "flat"):
            # The flat form's path begins where the original's does: its first step is to be flat.
            before = None if form == "original" else _eager()[0]
            for at in samples:
                if at.form != form or at.backend not in (EAGER, name):
                    continue
                yield Step(
                    runtime=name,
                    form=form,
                    timing=_timing(at, samples[at], batch),
                    added=None if before is None else times(before, at),
                    brought=None if form == "original" else times(replace(at, form="original"), at),
                    against=times(original, at),
                    deviation=deviations.get(at),
                )
                before = at


def _timing(place: _Place, samples: Samples, batch: int) -> Timing:
    return Timing(
        subject=place.form,
        backend=place.backend,
        batch=batch,
        calls=samples.values.size,
        min_ms=samples.min_ms,
        median_ms=samples.median_ms,
        p95_ms=samples.p95_ms,
        p99_ms=samples.p99_ms,
        precision=place.precision,
    )
