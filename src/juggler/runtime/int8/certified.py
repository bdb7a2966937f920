"""Quantise a graph, prove on inputs held out that it is near enough to float32, or refuse it.

The proof is two figures: the signal-to-noise ratio of the answers in dB, and on how many held-out inputs the
predicted class stays. They are held against a budget and travel with the graph, in its certificate and under
the metadata key `juggler.int8`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from juggler.errors import ConfigError, Refused
from juggler.nouns import Certificate, Quantization
from juggler.packages import release_of
from juggler.runtime.artefact import DIGEST, Artefact, seal
from juggler.runtime.int8.held_out import Pieces, check_apart, in_pieces, share_out
from juggler.runtime.int8.quantization import (
    PIECE,
    Prepared,
    Quantizer,
    accept_spare,
    as_arrays,
    available,
    fixed_batch,
    prepare,
    quantize_prepared,
)
from juggler.runtime.onnx_graphs.metadata import join, split
from juggler.runtime.open import open_session
from juggler.runtime.precision import INT8, answers, classes_agreed, deviation_of
from juggler.runtime.session import Array

ASKED = "quantise a graph within a budget"
RECORD, CERTIFICATE = "juggler.int8", "juggler.certificate"
NAMED = 3  # layers that a refusal names
REMEDY = (
    "leave the noisiest layers in float32 (float_layers=4), try another tool, or train on with the weights "
    "clipped"
)
CONSTANT = 1e-6  # of the largest answer: what differs by less is rounding


@dataclass(frozen=True)
class Budget:
    """What int8 may cost; checked when made.

    Attributes:
        least_db: the least signal-to-noise ratio of the answers, in dB. At 20 dB the noise is a tenth of the
            answers; int8 has 25 to 40 dB where nothing is wrong.
        least_agreement: the least share of held-out inputs that keep their class, 0 to 1.
    """

    least_db: float = 20.0
    least_agreement: float = 0.99

    def __post_init__(self) -> None:
        if not np.isfinite(self.least_db) or not 0.0 <= self.least_agreement <= 1.0:
            raise ConfigError(
                "set a budget for int8",
                f"least_db={self.least_db}, least_agreement={self.least_agreement}",
                "Give a finite number of dB, and a share from 0 to 1",
            )


@dataclass(frozen=True, eq=False)
class Quantized:
    """An int8 graph that is within its budget.

    Attributes:
        graph: the ONNX model; ends, free batch and metadata are those of the float32 graph, and the record
            and the certificate are added to the metadata.
        record: what it was made with, and how near it is.
        certificate: the float32 graph's certificate with the record in it, where there was one.
    """

    graph: bytes
    record: Quantization
    certificate: Certificate | None


@dataclass(frozen=True, eq=False)
class _Trial:
    """What one request is about, and the float32 answers to hold against."""

    prepared: Prepared
    tool: Quantizer
    backend: str
    budget: Budget
    source_sha256: str
    calibrated: int
    pieces: Pieces
    reference: tuple[Array, ...]
    reduce_range: bool

    def run(self, float_layers: Sequence[str]) -> tuple[bytes, Quantization]:
        """Quantise all but the layers that stay in float32, and compare the answers."""
        graph = quantize_prepared(
            self.prepared, self.tool, float_layers=float_layers, reduce_range=self.reduce_range
        )
        with open_session(graph, self.backend, precision=INT8) as session:
            int8_answers = answers(session, self.pieces)
        checked = sum(len(piece[0]) for piece in self.pieces)
        near = deviation_of(self.reference, int8_answers, checked)
        agreed, compared = classes_agreed(self.reference, int8_answers)
        return graph, Quantization(
            tool=self.tool.name,
            release=release_of(self.tool.name) or "unknown",
            source_sha256=self.source_sha256,
            backend=self.backend,
            calibrated=self.calibrated,
            checked=checked,
            signal_to_noise_db=near.signal_to_noise_db,
            max_error=near.max_error,
            classes_agreed=agreed,
            classes_compared=compared,
            least_db=self.budget.least_db,
            least_agreement=self.budget.least_agreement,
            spared=tuple(float_layers),
        )


@accept_spare
def quantize_certified(
    graph: str | Path | bytes | Artefact,
    inputs: Array | Sequence[Array],
    check: Array | Sequence[Array] | None = None,
    *,
    tool: str = "onnxruntime",
    backend: str | None = None,
    budget: Budget | None = None,
    float_layers: int = 0,
    patience_s: float = 120.0,
    certificate: Certificate | None = None,
    keep_skips_in_kernels: bool = False,
    reduce_range: bool = False,
) -> Quantized:
    """Quantise a float32 graph to int8; return it with its record, or refuse it where it is too far off.

    Args:
        graph: an artefact, or path or bytes of an ONNX model, in float32.
        inputs: an array, batch first, or one an input of the graph; what the network will meet.
        check: inputs to compare the answers on, of the same form. None holds every fourth of `inputs` out
            (of a graph with a fixed batch, every fourth batch), the last where there are fewer.
        tool: `onnxruntime`, `nncf`, or another of `QUANTIZERS`.
        backend: what runs both graphs for the comparison; None is the tool's own.
        budget: what int8 may cost; None is `Budget()`.
        float_layers: where the budget is missed, leave up to so many layers in float32, the noisiest first:
            1, 2, 4, ... of them, until it is met.
        patience_s: begin no further try after so many seconds.
        certificate: the proof that the float32 graph is exact, where its metadata do not hold it.
        keep_skips_in_kernels: see `quantization.quantize`.
        reduce_range: see `quantization.quantize`.

    Raises:
        Refused: it is not within the budget; the message says by how much, and names the noisiest layers.
        ConfigError: inputs that cannot work: none, NaN, another shape, too few to hold some out, or the same
            for both uses; a graph that is quantised already, or that answers always the same.
        ArtefactError: no ONNX model, or one that the tool cannot quantise.
        Unavailable: the tool or the backend cannot work here.
    """
    if float_layers < 0 or not patience_s >= 0.0:
        raise ConfigError(
            ASKED, f"float_layers={float_layers}, patience_s={patience_s}", "Give 0 or more of both"
        )
    began_s = time.monotonic()
    chosen, content = available(tool), _content(graph)
    calibration, pieces = _separate(content, inputs, check)
    runs_on = backend or chosen.backend
    prepared = prepare(content, calibration, keep_skips_in_kernels=keep_skips_in_kernels)
    trial = _Trial(
        prepared=prepared,
        tool=chosen,
        backend=runs_on,
        budget=budget or Budget(),
        source_sha256=hashlib.sha256(split(content)[0]).hexdigest(),
        calibrated=sum(len(next(iter(feed.values()))) for feed in prepared.feeds),
        pieces=pieces,
        reference=_reference(content, runs_on, pieces),
        reduce_range=reduce_range,
    )
    int8, record = _quantize_within_budget(trial, float_layers, began_s + patience_s)
    return _certify(content, int8, record, certificate)


def read_record(graph: Path | bytes) -> Quantization | None:
    """Return what an int8 graph tells of itself; None where it tells nothing.

    Raises:
        ArtefactError: the bytes are no ONNX model, or the record is damaged.
    """
    text = split(graph if isinstance(graph, bytes) else graph.read_bytes())[1].get(RECORD)
    return None if text is None else Quantization.from_json(text)


def _content(graph: str | Path | bytes | Artefact) -> bytes:
    if isinstance(graph, Artefact):
        return graph.graph
    if isinstance(graph, bytes):
        return graph
    open_session(graph).close()  # says what is wrong with the file
    return Path(graph).read_bytes()


def _separate(
    content: bytes, inputs: Array | Sequence[Array], check: Array | Sequence[Array] | None
) -> tuple[tuple[Array, ...], Pieces]:
    """Return what to calibrate on, and the pieces to compare the answers on; no row does both."""
    with open_session(content) as session:
        batch = fixed_batch(session.inputs)
    calibration = as_arrays(inputs)
    if check is None:
        calibration, held = share_out(calibration, batch)
    else:
        held = as_arrays(check)
        check_apart(calibration, held)
    return calibration, in_pieces(held, batch, PIECE)


def _reference(content: bytes, backend: str, pieces: Pieces) -> tuple[Array, ...]:
    """Return the float32 answers, which must differ from input to input to tell anything."""
    with open_session(content, backend) as session:
        reference = answers(session, pieces)
    is_constant = [
        len(array) > 1 and np.ptp(array, axis=0).max(initial=0.0) <= CONSTANT * np.abs(array).max(initial=0.0)
        for array in reference
    ]
    if all(is_constant):
        raise ConfigError(
            ASKED,
            f"in float32 it gives one answer to all {len(reference[0])} inputs to check",
            "Give inputs that differ as real ones do, of the range that the network was trained on",
        )
    return reference


def _quantize_within_budget(trial: _Trial, float_layers: int, until_s: float) -> tuple[bytes, Quantization]:
    """Return the first graph within the budget: all layers in int8, then without the noisiest ones."""
    int8, record = trial.run(())
    if record.passed:
        return int8, record
    ranked = _rank_layers(trial, int8)
    names = [layer.name for layer in ranked]
    best = record
    for count in _counts(min(float_layers, len(names) - 1)):
        if time.monotonic() > until_s:
            break
        int8, record = trial.run(names[:count])
        if record.passed:
            return int8, record
        best = max(best, record, key=_decibels)
    noisiest = ", ".join(f"{layer.name} ({layer.signal_to_noise_db:.1f} dB)" for layer in ranked[:NAMED])
    shortfall = f"{_describe(best)}; the noisiest layers by themselves: {noisiest or 'none'}"
    raise Refused(ASKED, shortfall, f"Calibrate on more inputs than {trial.calibrated}, {REMEDY}")


def _decibels(record: Quantization) -> float:
    return np.inf if record.signal_to_noise_db is None else record.signal_to_noise_db


def _rank_layers(trial: _Trial, int8: bytes) -> tuple[Any, ...]:
    import onnx  # noqa: PLC0415  # the base install has it not

    from juggler.runtime.int8.sensitivity import layer_noise  # noqa: PLC0415

    return layer_noise(trial.prepared.model, onnx.load_from_string(int8), trial.prepared.feeds[:2])


def _counts(most: int) -> Iterator[int]:
    """Yield 1, 2, 4, ... and `most` itself."""
    count = 1
    while count < most:
        yield count
        count *= 2
    if most > 0:
        yield most


def _describe(record: Quantization) -> str:
    """Say how near a graph is, and how near it had to be."""
    noise = "no noise" if record.signal_to_noise_db is None else f"{record.signal_to_noise_db:.1f} dB"
    in_float = f" with {len(record.spared)} layers left in float32" if record.spared else ""
    compared = record.classes_compared
    classes = f", {record.classes_agreed} of {compared} classes kept of at least {record.least_agreement:.1%}"
    return f"{noise} of at least {record.least_db:g} dB{classes if compared else ''}{in_float}"


def _certify(content: bytes, int8: bytes, record: Quantization, certificate: Certificate | None) -> Quantized:
    """Write the record into the graph's metadata, and into its certificate where it has one."""
    rest, metadata = split(int8)
    text = metadata.get(CERTIFICATE, "null")
    proof = Certificate.from_json(text) if text != "null" else certificate
    metadata[RECORD] = record.to_json()
    if proof is not None:
        proof = replace(proof, int8=record)
        metadata[CERTIFICATE] = proof.to_json()
    written = join(rest, metadata)
    return Quantized(seal(written) if DIGEST in metadata else written, record, proof)
