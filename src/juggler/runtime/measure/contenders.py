"""Open networks on backends, in precisions and at batches, as calls that one race can time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from juggler.checks import refuse_faults
from juggler.errors import JugglerError, first_line
from juggler.nouns import Skipped
from juggler.runtime.open import open_session, source_for
from juggler.runtime.precision import FLOAT32, INT8, check_precision, is_quantized, shortfall
from juggler.runtime.session import BACKENDS, Array, Model, Session, Source

Call = Callable[[], object]
Shapes: TypeAlias = Sequence[int] | Sequence[Sequence[int]]


class Entry(NamedTuple):
    """One contender: a network on a backend, in a precision, at a batch."""

    subject: str
    backend: str
    precision: str
    batch: int


class Forms:
    """The forms that a network is converted to, each once: the module, the ONNX graph, the int8 graph."""

    def __init__(self, models: Mapping[str, Model], shape: Shapes, dtypes: Sequence[str] = ()) -> None:
        self._models, self._shapes = models, shapes_of(shape)
        self._dtypes = tuple(dtypes) or (FLOAT32,) * len(self._shapes)
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
                self._sources[key] = source_for(takes, self._models[subject], self._example(self._dtypes, 0))
        return self._sources[key]

    def _quantized(self, source: Source) -> Source:
        if source.graph is None or is_quantized(source.graph):
            return source
        from juggler.runtime.int8.quantization import quantize  # noqa: PLC0415  # needs the onnx package

        with open_session(source.graph) as session:
            dtypes = [spec.dtype for spec in session.inputs]
        return Source(graph=quantize(source.graph, self._example(dtypes, 1)))

    def _example(self, dtypes: Sequence[str], seed: int) -> tuple[Array, ...]:
        pairs = zip(self._shapes, dtypes, strict=False)
        return tuple(drawn_input((2, *shape), dtype, seed) for shape, dtype in pairs)


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
    shape: Shapes,
    batches: Sequence[int] = (1,),
    precisions: Sequence[str] = (FLOAT32,),
    threads: int | None = None,
    seed: int = 0,
    dtypes: Sequence[str] = (),
) -> Iterator[Contenders]:
    """Open every network on every backend in every precision; close them all at the end.

    Each is run once at each batch before it is given out: what fails, at opening or then, is left out and
    reported, and the others go on. Inputs are random: normal, or 0 and 1 of integers and truth values. So are
    those that int8 is calibrated on: what they hold sets the scales, and the scales cost no time, so the
    speed is that of a network calibrated on real inputs; the answers are not.

    Args:
        models: ONNX paths or bytes, or modules in evaluation mode, by name.
        backends: names; None takes all there are. Those that cannot work here are skipped and reported.
        shape: the input's shape without the batch, or one shape an input.
        batches: inputs a call.
        precisions: names; those that a backend lacks are skipped and reported.
        threads: cores that one call may use; None is each backend's own choice.
        seed: draws the inputs.
        dtypes: element types of the inputs of modules; ONNX models carry theirs. None is float32 for all.

    Raises:
        ConfigError: nothing to open, or an option out of range.
        JugglerError: no network runs on any backend; it is the first one's error.
    """
    shapes = shapes_of(shape)
    _check(models, shapes, batches, precisions, threads)
    names = list(dict.fromkeys(BACKENDS.names() if backends is None else backends))
    skipped = dict(_skipped(names, precisions))
    usable = [(n, p) for n, p in product(names, precisions) if not skipped.keys() & {(n, p), (n, None)}]
    forms = Forms(models, shapes, dtypes)
    failures: list[tuple[Skipped, Exception]] = []
    calls: dict[Entry, Call] = {}
    with ExitStack() as stack:
        for subject, (name, precision) in product(models, usable):
            where = f"{subject} on {name}" + (f" in {precision}" if precision != FLOAT32 else "")
            try:
                session = stack.enter_context(_open(forms, subject, name, precision, threads))
            except Exception as error:  # noqa: BLE001  # of a backend, which may raise whatever it likes
                failures.append((_failure(where, error), error))
                continue
            for batch in batches:
                call = partial(session.run, *_inputs(session, shapes, batch, seed))
                try:
                    call()
                except Exception as error:  # noqa: BLE001  # as above
                    failures.append((_failure(f"{where} at batch {batch}", error), error))
                else:
                    calls[Entry(subject, name, precision, batch)] = call
        if failures and not calls:
            raise failures[0][1]
        yield Contenders(calls, (*skipped.values(), *(skip for skip, _ in failures)), forms)


def _failure(what: str, error: Exception) -> Skipped:
    if isinstance(error, JugglerError):
        return Skipped(what, error.found, error.remedy)
    return Skipped(what, f"{type(error).__name__}: {first_line(error)}")


def _inputs(session: Session, shapes: Sequence[tuple[int, ...]], batch: int, seed: int) -> list[Array]:
    dtypes = [spec.dtype for spec in session.inputs] + [FLOAT32] * len(shapes)
    return [drawn_input((batch, *shape), dtype, seed) for shape, dtype in zip(shapes, dtypes, strict=False)]


def shapes_of(shape: Shapes) -> tuple[tuple[int, ...], ...]:
    """Return one shape an input: a shape of numbers is that of the only one."""
    sizes = tuple(shape)
    if sizes and not all(isinstance(size, int) for size in sizes):
        return tuple(tuple(part) for part in sizes)  # type: ignore[arg-type]
    return (sizes,)  # type: ignore[return-value]


def drawn_input(shape: tuple[int, ...], dtype: str, seed: int) -> Array:
    """Draw an input: normal numbers, or 0 and 1 of integers and truth values."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return normal(shape, seed).astype(kind, copy=False)
    return np.random.default_rng(seed).integers(0, 2, shape).astype(kind)


def normal(shape: tuple[int, ...], seed: int) -> Array:
    """Draw an input: never zeros, which some kernels skip, nor denormals, which all of them crawl over."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def _open(forms: Forms, subject: str, name: str, precision: str, threads: int | None) -> Session:
    backend = BACKENDS.get(name)
    source = forms.source(subject, backend.takes, precision)
    return backend.open(source, threads=threads, precision=precision)


def _check(
    models: Mapping[str, Model],
    shapes: Sequence[Sequence[int]],
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
            f"shape {', '.join(str(list(shape)) for shape in shapes)}": any(
                size < 1 for shape in shapes for size in shape
            ),
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
