"""The nouns that cross rooms: frozen, checked when made, written to and read from JSON, free of torch."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from juggler.errors import ArtefactError


class Noun:
    """Read and write a frozen dataclass as plain JSON; unknown and missing fields are named in the error."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain numbers, strings, lists and dicts."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    def to_json(self, indent: int | None = None) -> str:
        """Return the fields as JSON text; NaN and infinities are refused, for they are not JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build the noun from what `to_dict` gave, nested nouns included.

        Raises:
            ArtefactError: a field is missing or unknown.
        """
        fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        required = {
            n
            for n, f in fields.items()
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        }
        unknown, missing = set(values) - set(fields), required - set(values)
        if unknown or missing:
            raise ArtefactError(
                f"read a {cls.__name__}",
                f"unknown fields {sorted(unknown)}, missing fields {sorted(missing)}",
                "It was probably written by another release of juggler: write it again with this one",
            )
        hints = typing.get_type_hints(cls)
        return cls(**{name: _restore(hints[name], value) for name, value in values.items()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Build the noun from JSON text.

        Raises:
            ArtefactError: the text is not JSON, not an object, or has other fields.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ArtefactError(f"read a {cls.__name__}", f"not JSON ({error})", "Write it again") from error
        if not isinstance(values, dict):
            raise ArtefactError(f"read a {cls.__name__}", f"a {type(values).__name__}", "Expected an object")
        return cls.from_dict(values)


def _restore(hint: Any, value: Any) -> Any:
    """Turn lists back into tuples and dicts back into nouns, guided by the type hint."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _restore(next(a for a in arguments if a is not type(None)), value)
    if isinstance(hint, type) and issubclass(hint, Noun) and isinstance(value, Mapping):
        return hint.from_dict(value)
    if origin is dict and isinstance(value, Mapping):
        return {key: _restore(arguments[1], inner) for key, inner in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        inner = arguments if arguments and arguments[-1] is not Ellipsis else (arguments[0],) * len(value)
        return tuple(_restore(a, v) for a, v in zip(inner, value, strict=True))
    return value


@dataclass(frozen=True)
class TensorSpec(Noun):
    """Name, shape and element type of a network's input or output; `None` is a size free at run time."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class Rewrite(Noun):
    """One exact rewrite that was made and checked.

    Attributes:
        rule: the rule's name.
        source: paper section or equation that the rule follows.
        nodes: names of the graph nodes that were replaced.
        result: name of the node that stands for them now.
        macs_before: multiply-accumulates of the replaced nodes, for the example's size and batch.
        macs_after: multiply-accumulates of the result.
        error: max|difference| / max|reference| of this rewrite alone, in float64.
    """

    rule: str
    source: str
    nodes: tuple[str, ...]
    result: str
    macs_before: int
    macs_after: int
    error: float


@dataclass(frozen=True)
class Refusal(Noun):
    """A rewrite that was not made, why, and what the owner of the network can do about it."""

    rule: str
    nodes: tuple[str, ...]
    reason: str
    remedy: str


@dataclass(frozen=True)
class Decision(Noun):
    """What was decided about one linear region of a network, and why.

    Attributes:
        region: names of its first and its last op.
        form: the form that was taken.
        macs_before: multiply-accumulates of the region as it stood, for the example's size and batch.
        macs_after: of the form that was taken.
        latency_before_ms: what the region takes as it stood; `None` where no cost function was asked.
        latency_after_ms: what the form takes that was taken.
        reason: in words.
    """

    region: str
    form: str
    macs_before: int
    macs_after: int
    latency_before_ms: float | None
    latency_after_ms: float | None
    reason: str


@dataclass(frozen=True)
class Check(Noun):
    """One comparison of the flat network with the wide one; errors are max|difference| / max|reference|.

    Attributes:
        weights: `actual` or `randomised` (every weight and every batch-norm statistic drawn anew).
        dtype: `float64` or `float32`.
        shape: shape of the input.
        inside: error over all feature maps that both networks have, border ring left out.
        border: error over the one-pixel border ring of those maps; `None` where no map has one.
        output: error of the network's output.
    """

    weights: str
    dtype: str
    shape: tuple[int, ...]
    inside: float
    border: float | None
    output: float

    @property
    def worst(self) -> float:
        """Return the largest of the errors; NaN where any of them is, so that it is within no limit."""
        errors = (self.inside, self.border or 0.0, self.output)
        return math.nan if any(map(math.isnan, errors)) else max(errors)


@dataclass(frozen=True)
class Quantization(Noun):
    """How near an int8 graph is to the float32 graph that it was made of, on inputs that made no scale.

    Attributes:
        tool: what quantised it.
        release: the tool's release.
        source_sha256: digest of the float32 graph without its metadata.
        backend: what ran both graphs.
        calibrated: inputs that the scales come from.
        checked: inputs held out, on which the answers were compared.
        signal_to_noise_db: 10 log10(sum of answers² / sum of differences²); None where all are equal.
        max_error: max|difference| / max|answer|.
        classes_agreed: held-out inputs on which the predicted class is the same.
        classes_compared: of so many; 0 where the network's outputs are no classes.
        least_db: the budget, in dB.
        least_agreement: the budget, as a share of `classes_compared`.
        spared: names of the layers left in float32 to meet the budget.
    """

    tool: str
    release: str
    source_sha256: str
    backend: str
    calibrated: int
    checked: int
    signal_to_noise_db: float | None
    max_error: float
    classes_agreed: int
    classes_compared: int
    least_db: float
    least_agreement: float
    spared: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Say whether it is within its budget."""
        is_near = self.signal_to_noise_db is None or self.signal_to_noise_db >= self.least_db
        return is_near and self.classes_agreed >= self.least_agreement * self.classes_compared


@dataclass(frozen=True)
class Certificate(Noun):
    """Proof, by computation, that a flat network is the wide one; it travels with the artefact.

    Attributes:
        wide_sha256: digest of the wide network's parameters and statistics.
        flat_sha256: digest of the flat network's.
        checks: what was compared, and by how much it differed.
        classes_agreed: inputs on which the predicted class is the same.
        classes_compared: inputs compared for `classes_agreed`; 0 where no real inputs were given.
        limits: largest error allowed, by element type.
        versions: releases of what computed it.
        skipped: sizes that the wide network itself does not accept.
        int8: how near the int8 graph is, where the certificate travels with one; the rest is about float.
    """

    wide_sha256: str
    flat_sha256: str
    checks: tuple[Check, ...]
    classes_agreed: int
    classes_compared: int
    limits: dict[str, float]
    versions: dict[str, str]
    skipped: tuple[str, ...] = ()
    int8: Quantization | None = None

    @property
    def passed(self) -> bool:
        """Say whether every check is within its limit, every compared class agrees, and int8 is near enough."""
        return (
            bool(self.checks)
            and all(check.worst <= self.limits[check.dtype] for check in self.checks)
            and self.classes_agreed == self.classes_compared
            and (self.int8 is None or self.int8.passed)
        )

    def worst(self, dtype: str) -> float:
        """Return the largest error among the checks in `dtype`; 0.0 where there is none."""
        return max((check.worst for check in self.checks if check.dtype == dtype), default=0.0)


@dataclass(frozen=True)
class Timing(Noun):
    """How long one call takes, measured; all times in milliseconds.

    Attributes:
        subject: what was run.
        backend: what ran it.
        batch: inputs a call.
        calls: calls counted.
        peak_rss_mib: largest resident memory of the process while it ran, where it was measured.
        precision: what it was run in: `float32`, `bfloat16` or `int8`.
    """

    subject: str
    backend: str
    batch: int
    calls: int
    min_ms: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    peak_rss_mib: float | None = None
    precision: str = "float32"

    @property
    def throughput_per_s(self) -> float:
        """Return inputs a second at the median."""
        return self.batch / self.median_ms * 1e3


@dataclass(frozen=True)
class Machine(Noun):
    """The machine and the releases that a measured figure belongs to."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    packages: dict[str, str]
    accelerator: str | None = None


@dataclass(frozen=True)
class Alert(Noun):
    """One aggregated alert: a run of alarms of one class that belong together.

    Attributes:
        identity: number of the alert within its run, from 1.
        timestamp: ISO 8601 with offset, when the alert's state was written.
        state: `opened` when the first record raised it, `closed` when it ended.
        attack_class: likeliest attack class of the first record.
        score: largest `1 - p(normal)` among its records.
        threshold: score from which on a record is an alarm.
        count: records that belong to it so far.
        first_record: number of the first record, from 1.
        last_record: number of the last record so far.
        protocol: transport protocol of its records.
        service: service name of its records.
        weighed: features that weighed most, and by how much the score falls without each.
    """

    identity: int
    timestamp: str
    state: str
    attack_class: str
    score: float
    threshold: float
    count: int
    first_record: int
    last_record: int
    protocol: str = ""
    service: str = ""
    weighed: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GraphNode(Noun):
    """One op of a graph, for pictures and tables: its name, kind, inputs, output shape and work."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int = 0


@dataclass(frozen=True)
class GraphSketch(Noun):
    """A graph as its ops in order of execution."""

    name: str
    nodes: tuple[GraphNode, ...]

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of all ops."""
        return sum(node.macs for node in self.nodes)
