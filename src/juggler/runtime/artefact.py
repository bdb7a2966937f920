"""The artefact: one ONNX file that holds a detector whole.

The network is the graph; everything else that detection needs travels as text in the file's metadata, under
keys that begin with `juggler.`:

    juggler.format       version of this layout, an integer
    juggler.name         the network's name
    juggler.form         `flat` or `wide`
    juggler.schema       JSON: the columns of a record
    juggler.encoder      JSON: how a record becomes the network's input
    juggler.classes      JSON: names of the outputs, the normal class first
    juggler.threshold    score from which on a record is an alarm
    juggler.certificate  JSON: the proof that flat and wide are equal, or null
    juggler.provenance   JSON: data set digests, recipe, seed, scores on validation, release
    juggler.sha256       digest of the graph and of all metadata but itself

The network's output is logits, `[n, classes]`. The digest finds damage, not malice: who can change the
file can change the digest. Neither torch nor onnx is needed to read or write artefacts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, Self, TypeVar

from juggler.checks import refuse_faults
from juggler.data import Encoder, Schema
from juggler.errors import ArtefactError, ConfigError
from juggler.extras import upgrade_command
from juggler.files import write_atomically
from juggler.nouns import Certificate, Noun
from juggler.packages import release_of
from juggler.reading.content import read_content
from juggler.reading.documents import parse_json
from juggler.reading.onnx_contents import read_contents
from juggler.reading.request import Request
from juggler.runtime.onnx_graphs.metadata import join, split
from juggler.runtime.session import BACKENDS, Session, Source
from juggler.signatures import verify

T = TypeVar("T")
N = TypeVar("N", bound=Noun)
MOST_BYTES = 1 << 30
_ALLOWED = """
Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Celu Clip Concat Constant Conv
ConvInteger ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum
Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool
GlobalMaxPool Greater GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization
LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger
Max MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear
Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum ReduceSumSquare Relu Reshape Round Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus
Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tanh ThresholdedRelu TopK Transpose Unsqueeze Where
Xor
"""
OPERATORS = frozenset(_ALLOWED.split())
"""What the network of an artefact may consist of: operators of the standard that compute on tensors. No
loops, no functions, no operators of other makers, nothing that draws numbers or makes tensors of any size.
"""
FORMAT = 1
PREFIX = "juggler."
REMAKE = "Make it again with `juggler train`, or copy it again"


@dataclass(frozen=True)
class Fields:
    """What an artefact holds besides its graph; checked when made.

    Attributes:
        name: the network's name.
        form: `flat` or `wide`.
        schema: the columns of a record.
        encoder: how a record becomes the network's input.
        classes: names of the outputs, the normal class first.
        threshold: score from which on a record is an alarm, 0 to 1.
        certificate: the proof that flat and wide are equal, where there is one.
        provenance: data set digests, recipe, seed, scores on validation; plain JSON values.
    """

    name: str
    form: Literal["flat", "wide"]
    schema: Schema
    encoder: Encoder
    classes: tuple[str, ...]
    threshold: float
    certificate: Certificate | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        are_names = all(isinstance(text, str) for text in (self.name, *self.classes))
        paths = [text for text in _texts(self.provenance) if _is_absolute(text)]
        refuse_faults(
            "describe an artefact",
            {
                "no name": not self.name,
                f"the form {self.form!r}": self.form not in ("flat", "wide"),
                f"the classes {list(self.classes)}": not are_names
                or len({*self.classes}) != len(self.classes)
                or len(self.classes) < 2,
                f"the threshold {self.threshold}": not 0.0 <= self.threshold <= 1.0,
                "an encoder of another schema": not self._fits(),
                f"a path of this machine in the provenance, {paths[:1]}": bool(paths),
            },
            "Give a name, `flat` or `wide`, two or more different classes, a threshold from 0 to 1, "
            "and a provenance without paths",
        )

    def _fits(self) -> bool:
        """Say whether the encoder takes records of the schema, with a row for each word of a column."""
        encoder, schema = self.encoder, self.schema
        return (
            (encoder.schema, encoder.schema_version) == (schema.name, schema.version)
            and (encoder.numeric, encoder.categorical) == (schema.numeric, schema.categorical)
            and all(
                len(code.table) == len(schema.column[code.feature].vocabulary) + 1
                and 0 <= code.neutral < len(code.table)
                for code in encoder.codes
                if code.table
            )
        )

    def to_metadata(self) -> dict[str, str]:
        """Return the fields as texts, by metadata key."""
        return {
            "juggler.format": str(FORMAT),
            "juggler.name": self.name,
            "juggler.form": self.form,
            "juggler.schema": _json(self.schema.to_dict()),
            "juggler.encoder": _json(self.encoder.to_dict()),
            "juggler.classes": _json(list(self.classes)),
            "juggler.threshold": repr(float(self.threshold)),
            "juggler.certificate": _json(self.certificate.to_dict() if self.certificate else None),
            "juggler.provenance": _json(dict(self.provenance)),
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self:
        """Read the fields back.

        Raises:
            ArtefactError: a key is missing, or its text is not what it should be.
            ConfigError: a value is out of range.
        """
        form = _get(metadata, "form")
        has_certificate = _parsed(metadata, "certificate") is not None
        try:
            threshold = float(_get(metadata, "threshold"))
        except ValueError as error:
            raise ArtefactError("read juggler.threshold", f"{error}", REMAKE) from error
        return cls(
            name=_get(metadata, "name"),
            form="flat" if form == "flat" else "wide" if form == "wide" else form,  # type: ignore[arg-type]
            schema=_noun(metadata, "schema", Schema),
            encoder=_noun(metadata, "encoder", Encoder),
            classes=tuple(_typed(metadata, "classes", list, "list of names")),
            threshold=threshold,
            certificate=_noun(metadata, "certificate", Certificate) if has_certificate else None,
            provenance=_typed(metadata, "provenance", dict, "object"),
        )


def _get(metadata: Mapping[str, str], key: str) -> str:
    if PREFIX + key not in metadata:
        raise ArtefactError(f"read {PREFIX}{key}", f"{PREFIX}{key} is missing", REMAKE)
    return metadata[PREFIX + key]


def _parsed(metadata: Mapping[str, str], key: str) -> Any:
    return parse_json(_get(metadata, key), Request(f"read {PREFIX}{key}", REMAKE))


def _typed(metadata: Mapping[str, str], key: str, kind: type[T], noun: str) -> T:
    value = _parsed(metadata, key)
    if not isinstance(value, kind):
        raise ArtefactError(f"read {PREFIX}{key}", f"a {type(value).__name__}, no {noun}", REMAKE)
    return value


def _noun(metadata: Mapping[str, str], key: str, kind: type[N]) -> N:
    values = _typed(metadata, key, dict, "object")
    with Request(f"read {PREFIX}{key}", REMAKE).refusing(f"{kind.__name__}"):
        return kind.from_dict(values)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _texts(value: Any) -> list[str]:
    """Return all texts within nested JSON values."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [text for part in value for text in _texts(part)] if isinstance(value, list | tuple) else []


def _is_absolute(text: str) -> bool:
    return PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()


DIGEST = "juggler.sha256"


@dataclass(frozen=True, eq=False)
class Artefact:
    """A detector as one file, read and checked; its network is opened on first use and then kept."""

    path: Path
    fields: Fields
    graph: bytes = field(repr=False)
    sha256: str
    threads: int | None = None

    @classmethod
    def load(cls, path: str | Path, *, threads: int | None = None, trust: Path | None = None) -> Self:
        """Read an artefact and check it against its digest.

        Args:
            path: the file.
            threads: cores that one call of `session` may use; None leaves it to ONNX Runtime.
            trust: file of a public key: take only what its owner signed, see `juggler.signatures`.

        Raises:
            ArtefactError: missing, empty, cut short, damaged, no ONNX, plain ONNX, of a newer format, or not
                as the owner of the key signed it.
        """
        path = Path(path)
        graph = _read(path)
        if trust is not None:
            verify(path, graph, trust)
        try:
            rest, metadata = split(graph)
            _check_format(metadata)
            _check_graph(graph)
            if metadata.get(DIGEST) != _digest(rest, metadata):
                raise ArtefactError("compare the digest", "the file was changed after it was written", REMAKE)
            fields = Fields.from_metadata(metadata)
        except (ArtefactError, ConfigError) as error:
            raise ArtefactError(f"load the artefact {path}", error.found, error.remedy) from error
        return cls(path, fields, graph, metadata[DIGEST], threads)

    @property
    def name(self) -> str:
        """Return the network's name."""
        return self.fields.name

    @property
    def schema(self) -> Schema:
        """Return the columns of a record."""
        return self.fields.schema

    @property
    def encoder(self) -> Encoder:
        """Return what makes the network's input of records."""
        return self.fields.encoder

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the outputs, the normal class first."""
        return self.fields.classes

    @property
    def threshold(self) -> float:
        """Return the score from which on a record is an alarm."""
        return self.fields.threshold

    @cached_property
    def session(self) -> Session:
        """Return the network on ONNX Runtime; opened once.

        Raises:
            ArtefactError: ONNX Runtime cannot run it, or its ends do not fit the encoder and the classes.
        """
        return _open(self.graph, self.fields, str(self.path), self.threads)

    def describe(self) -> dict[str, Any]:
        """Return what there is to know, as plain values; what `juggler info` prints."""
        certificate, schema = self.fields.certificate, self.fields.schema
        return {
            "name": self.name,
            "form": self.fields.form,
            "format": FORMAT,
            "file": self.path.name,
            "file_bytes": len(self.graph),
            "sha256": self.sha256,
            "inputs": [spec.to_dict() for spec in self.session.inputs],
            "outputs": [spec.to_dict() for spec in self.session.outputs],
            "schema": {"name": schema.name, "version": schema.version, "columns": len(schema.columns)},
            "encoder": {"shape": list(self.encoder.shape)},
            "classes": list(self.classes),
            "threshold": self.threshold,
            "certificate": None if certificate is None else _summary(certificate),
            "provenance": dict(self.fields.provenance),
        }


def write(path: str | Path, graph: bytes, fields: Fields) -> Artefact:
    """Write a graph and its fields as an artefact, whole or not at all, and return it.

    Raises:
        ArtefactError: the graph is no ONNX model, or its ends do not fit the encoder and the classes.
        ConfigError: the file cannot be written.
    """
    path = Path(path)
    _check_graph(graph)
    _open(graph, fields, "the graph", threads=1).close()
    rest, metadata_before = split(graph)
    release = {"juggler": release_of("juggler")}
    provenance = {**fields.provenance, "created_by": fields.provenance.get("created_by", release)}
    metadata = {key: text for key, text in metadata_before.items() if not key.startswith(PREFIX)}
    metadata |= Fields(**{**vars(fields), "provenance": provenance}).to_metadata()
    metadata[DIGEST] = _digest(rest, metadata)
    write_atomically(path, join(rest, metadata))
    return Artefact.load(path)


def seal(graph: bytes) -> bytes:
    """Return an artefact's bytes with the digest of what they hold now; for who has changed them."""
    rest, metadata = split(graph)
    return join(rest, metadata | {DIGEST: _digest(rest, metadata)})


def _open(graph: bytes, fields: Fields, what: str, threads: int | None) -> Session:
    """Open the network and see that it takes what the encoder gives, and gives a logit a class."""
    session = BACKENDS.get("onnxruntime").open(Source(graph=graph), threads=threads)
    takes = [spec.shape[1:] for spec in session.inputs]
    gives = [spec.shape[1:] for spec in session.outputs]
    if takes != [tuple(fields.encoder.shape)] or gives != [(len(fields.classes),)]:
        session.close()
        raise ArtefactError(
            f"open the network of {what}",
            f"it takes {takes} and gives {gives}, the encoder makes {tuple(fields.encoder.shape)}, "
            f"there are {len(fields.classes)} classes",
            "Export the network together with its own encoder and classes",
        )
    return session


def _read(path: Path) -> bytes:
    action = f"load the artefact {path}"
    content = read_content(path, Request(action, "Give an .onnx file; `juggler train` makes one"), MOST_BYTES)
    if not content:
        raise ArtefactError(action, "the file is empty", REMAKE)
    return content


def _check_graph(graph: bytes) -> None:
    """Refuse a graph that asks for more than a detector needs: whoever runs it would have to trust it.

    Raises:
        ArtefactError: names the operators that are not allowed, or the weights that lie in another file.
    """
    request = Request(
        "look through the graph", "Export the network with weights in it and plain operators only"
    )
    contents = read_contents(graph, request)
    if contents.external:
        raise request.refusal(f"its weights lie in other files, such as {min(contents.external)!r}")
    strangers = sorted(contents.operators - OPERATORS)
    if strangers or contents.functions:
        listed = ", ".join(strangers[:5]) or "functions of its own"
        raise request.refusal(f"it holds {listed}, which no detector needs")


def _check_format(metadata: Mapping[str, str]) -> None:
    action = "read juggler.format"
    text = metadata.get("juggler.format")
    if text is None:
        raise ArtefactError(
            action,
            "it has no juggler metadata: a plain ONNX model, or another kind of file",
            "Make an artefact with `juggler train`, or of a graph with juggler.runtime.artefact.write",
        )
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ArtefactError(action, f"the format is {text[:20]!r}", REMAKE)
    if int(text) > FORMAT:
        raise ArtefactError(
            action,
            f"it has format {text}, this release reads up to {FORMAT}",
            f"Upgrade juggler: {upgrade_command()}",
        )


def _digest(rest: bytes, metadata: Mapping[str, str]) -> str:
    """Return the SHA-256 of the graph, then of keys and texts in order, each with its length before it."""
    digest = hashlib.sha256(rest)
    for key in sorted(set(metadata) - {DIGEST}):
        for text in (key.encode(), metadata[key].encode()):
            digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()


def _summary(certificate: Certificate) -> dict[str, Any]:
    return {
        "passed": certificate.passed,
        "checks": len(certificate.checks),
        "worst": {dtype: certificate.worst(dtype) for dtype in certificate.limits},
        "limits": dict(certificate.limits),
        "classes_agreed": certificate.classes_agreed,
        "classes_compared": certificate.classes_compared,
        "wide_sha256": certificate.wide_sha256,
        "flat_sha256": certificate.flat_sha256,
        "int8": None if certificate.int8 is None else certificate.int8.to_dict(),
    }


def shipped(name: str) -> Path:
    """Return the path of a shipped file, such as `nsl_kdd.onnx` or `nsl_kdd.safetensors`.

    Raises:
        ArtefactError: the package holds no such file.
    """
    folder = Path(str(resources.files("juggler"))) / "shipped"
    path = folder / name
    if not path.is_file():
        there = sorted(item.name for item in folder.glob("*") if not item.name.startswith("_"))
        raise ArtefactError(
            f"open the shipped {name}",
            "the package does not hold it",
            f"Reinstall juggler. It holds: {', '.join(there) or 'nothing'}",
        )
    return path
