"""Open networks on backends, in precisions and at batches, as calls that one race can time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Literal, NamedTuple

import numpy as np

from juggler.checks import refuse_faults
from juggler.nouns import Skipped
from juggler.runtime.open import source_for
from juggler.runtime.precision import FLOAT32, INT8, check_precision, is_quantized, shortfall
from juggler.runtime.session import BACKENDS, Array, Model, Session, Source

Call = Callable[[], object]


class Entry(NamedTuple):
    """One contender: a network on a backend, in a precision, at a batch."""

    subject: str
    backend: str
    precision: str
    batch: int


class Forms:
    """The forms that a network is converted to, each once: the module, the ONNX graph, the int8 graph."""

    def __init__(self, models: Mapping[str, Model], shape: Sequence[int]) -> None:
        self._models, self._shape = models, tuple(shape)
        self._sources: dict[tuple[str, str, bool], Source] = {}

    def source(self, subject: str, takes: Literal["onnx", "module"], precision: str = FLOAT32) -> Source:
        """Return the network as a backend takes it in that precision.

        Raises:
            ArtefactError: no such file, or no ONNX model.
            ConfigError: a network that cannot be converted.
        """
        key = (subject, takes, precision == INT8)
        if key not in self._sources:
            if precision == INT8:
                self._sources[key] = self._quantized(self.source(subject, takes))
            else:
                example = normal((2, *self._shape), seed=0)
                self._sources[key] = source_for(takes, self._models[subject], example)
        return self._sources[key]

    def _quantized(self, source: Source) -> Source:
        if source.graph is None or is_quantized(source.graph):
            return source
        from juggler.runtime.int8.quantization import quantize  # noqa: PLC0415  # needs the onnx package

        return Source(graph=quantize(source.graph, normal((2, *self._shape), seed=1)))


@dataclass(frozen=True)
class Contenders:
    """Contenders, ready to be called.

    Attributes:
        calls: one a contender; a call runs its network once, on inputs drawn beforehand.
        skipped: backends, and precisions of backends, that cannot work here.
        forms: the networks as they were converted.
    """

    calls: dict[Entry, Call]
    skipped: tuple[Skipped, ...]
    forms: Forms


@contextmanager
def open_contenders(
    models: Mapping[str, Model],
    backends: Sequence[str] | None = None,
    *,
    shape: Sequence[int],
    batches: Sequence[int] = (1,),
    precisions: Sequence[str] = (FLOAT32,),
    threads: int | None = None,
    seed: int = 0,
) -> Iterator[Contenders]:
    """Open every network on every backend in every precision; close them all at the end.

    Inputs are random normal. So are those that int8 is calibrated on: what they hold sets the scales, and the
    scales cost no time, so the speed is that of a network calibrated on real inputs; the answers are not.

    Args:
        models: ONNX paths or bytes, or modules in evaluation mode, by name.
        backends: names; None takes all there are. Those that cannot work here are skipped and reported.
        shape: the inputs' shape without the batch.
        batches: inputs a call.
        precisions: names; those that a backend lacks are skipped and reported.
        threads: cores that one call may use; None is each backend's own choice.
        seed: draws the inputs.

    Raises:
        ConfigError: nothing to open, or an option out of range.
        ArtefactError: a model that a backend cannot open.
        Unavailable: int8 of a float32 graph without the onnx package, which quantises it.
    """
    _check(models, shape, batches, precisions, threads)
    names = list(dict.fromkeys(BACKENDS.names() if backends is None else backends))
    skipped = dict(_skipped(names, precisions))
    usable = [(n, p) for n, p in product(names, precisions) if not skipped.keys() & {(n, p), (n, None)}]
    forms = Forms(models, shape)
    inputs = {batch: normal((batch, *shape), seed) for batch in batches}
    calls: dict[Entry, Call] = {}
    with ExitStack() as stack:
        for subject, (name, precision) in product(models, usable):
            session = stack.enter_context(_open(forms, subject, name, precision, threads))
            for batch in batches:
                calls[Entry(subject, name, precision, batch)] = partial(session.run, inputs[batch])
        yield Contenders(calls, tuple(skipped.values()), forms)


def normal(shape: tuple[int, ...], seed: int) -> Array:
    """Draw an input: never zeros, which some kernels skip, nor denormals, which all of them crawl over."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _open(forms: Forms, subject: str, name: str, precision: str, threads: int | None) -> Session:
    backend = BACKENDS.get(name)
    source = forms.source(subject, backend.takes, precision)
    return backend.open(source, threads=threads, precision=precision)


def _check(
    models: Mapping[str, Model],
    shape: Sequence[int],
    batches: Sequence[int],
    precisions: Sequence[str],
    threads: int | None,
) -> None:
    for precision in precisions:
        check_precision(precision)
    refuse_faults(
        "measure",
        {
            "no models": not models,
            "no batches": not batches,
            f"batches {list(batches)}": any(batch < 1 for batch in batches)
            or len({*batches}) != len(batches),
            f"precisions {list(precisions)}": not precisions or len({*precisions}) != len(precisions),
            f"shape {list(shape)}": any(size < 1 for size in shape),
            f"threads {threads}": threads is not None and threads < 1,
        },
        "Give models, and sizes from 1 up, each once",
    )


def _skipped(
    names: Sequence[str], precisions: Sequence[str]
) -> Iterator[tuple[tuple[str, str | None], Skipped]]:
    """Yield each backend that cannot work here, with None, or the precision that it lacks, and why."""
    for name in names:
        backend = BACKENDS.get(name)
        status = backend.status()
        if not status.available:
            yield (name, None), Skipped(name, status.missing or "", status.remedy or "")
            continue
        for precision in precisions:
            lacks = shortfall(backend, precision)
            if lacks:
                yield (name, precision), Skipped(f"{name} in {precision}", *lacks)
