"""Artefacts: written, read back, and refused when anything about them is wrong."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from juggler.data import SCHEMAS, Encoder, TrainRecords
from juggler.errors import ArtefactError, ConfigError
from juggler.extras import upgrade_command
from juggler.nouns import Certificate, Check
from juggler.runtime.artefact import Artefact, Fields, seal, write
from juggler.runtime.export import export
from juggler.runtime.onnx_graphs.metadata import join, split

CLASSES = ("normal", "dos", "probe", "r2l", "u2r")


def train_records(n: int = 40) -> TrainRecords:
    schema = SCHEMAS.get("nsl_kdd")
    generator = np.random.default_rng(0)
    return TrainRecords(
        schema=schema,
        numbers=generator.random((len(schema.numeric), n)),
        codes=np.zeros((len(schema.categorical), n), np.int16),
        attacks=np.array(["normal", "neptune"] * (n // 2), dtype=object),
        lines=np.arange(1, n + 1),
    )


@pytest.fixture(scope="module")
def fields() -> Fields:
    check = Check("actual", "float64", (1, 3, 4, 4), 1e-15, None, 1e-15)
    return Fields(
        name="tiny",
        form="flat",
        schema=SCHEMAS.get("nsl_kdd"),
        encoder=Encoder.fit(train_records()),
        classes=CLASSES,
        threshold=0.1,
        certificate=Certificate("a" * 64, "b" * 64, (check,), 7, 7, {"float64": 1e-12}, {"torch": "2"}),
        provenance={"seed": 1, "scores": {"auc": 0.5}, "data": ["KDDTrain+.txt", "c" * 64]},
    )


def network(fields: Fields, outputs: int = 5) -> nn.Module:
    torch.manual_seed(0)
    cells = int(np.prod(fields.encoder.shape))
    return nn.Sequential(nn.Flatten(), nn.Linear(cells, outputs)).eval()


@pytest.fixture(scope="module")
def graph(fields: Fields) -> bytes:
    return export(network(fields), torch.zeros(1, *fields.encoder.shape), metadata={"other": "kept"})


@pytest.fixture
def artefact(fields: Fields, graph: bytes, tmp_path: Path) -> Artefact:
    return write(tmp_path / "tiny.onnx", graph, fields)


def test_round_trip(artefact: Artefact, fields: Fields) -> None:
    found = Artefact.load(artefact.path)
    assert (found.name, found.classes, found.threshold) == ("tiny", CLASSES, 0.1)
    assert found.schema == fields.schema
    assert found.encoder == fields.encoder
    assert found.fields.certificate == fields.certificate
    assert set(found.fields.provenance) == {*fields.provenance, "created_by"}
    assert {**found.fields.provenance, "created_by": 0} == {**fields.provenance, "created_by": 0}
    assert split(found.graph)[1]["other"] == "kept"


def test_the_session_is_opened_once_and_computes(artefact: Artefact, fields: Fields) -> None:
    images = fields.encoder.encode(train_records())
    assert artefact.session is artefact.session
    wanted = network(fields)(torch.from_numpy(images)).detach().numpy()
    assert np.abs(artefact.session.run(images)[0] - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_it_is_an_onnx_file_that_others_read(artefact: Artefact) -> None:
    model = onnx.load(str(artefact.path))
    onnx.checker.check_model(model)
    keys = {p.key for p in model.metadata_props if p.key.startswith("juggler.")}
    wanted = [
        "format",
        "name",
        "form",
        "schema",
        "encoder",
        "classes",
        "threshold",
        "certificate",
        "provenance",
        "sha256",
    ]
    assert keys == {f"juggler.{key}" for key in wanted}
    assert json.loads(next(p.value for p in model.metadata_props if p.key == "juggler.classes")) == list(
        CLASSES
    )


def test_describe_is_plain_json(artefact: Artefact) -> None:
    described = json.loads(json.dumps(artefact.describe(), allow_nan=False))
    assert described["certificate"]["passed"] is True
    assert described["file"] == "tiny.onnx"
    assert described["provenance"]["seed"] == 1
    assert described["inputs"][0]["shape"][1:] == list(artefact.encoder.shape)


def test_one_flipped_bit_anywhere_is_found(artefact: Artefact) -> None:
    content = artefact.path.read_bytes()
    generator = np.random.default_rng(0)
    for at in generator.integers(len(content), size=60):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(generator.integers(8))
        artefact.path.write_bytes(damaged)
        with pytest.raises(ArtefactError):
            Artefact.load(artefact.path)


def test_a_file_cut_short_anywhere_is_found(artefact: Artefact) -> None:
    content = artefact.path.read_bytes()
    for share in (0.01, 0.3, 0.5, 0.9, 0.999):
        artefact.path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ArtefactError):
            Artefact.load(artefact.path)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"juggler.format": "2"}, re.escape(upgrade_command())),
        ({"juggler.format": "x"}, "format is 'x'"),
        ({"juggler.format": None}, "plain ONNX model"),
        ({"juggler.threshold": "0.9"}, "changed after it was written"),
        ({"juggler.sha256": None}, "changed after it was written"),
    ],
)
def test_changed_metadata_are_refused(artefact: Artefact, changes: dict[str, str | None], found: str) -> None:
    rest, metadata = split(artefact.path.read_bytes())
    kept = {key: text for key, text in {**metadata, **changes}.items() if text is not None}
    artefact.path.write_bytes(join(rest, kept))
    with pytest.raises(ArtefactError, match=found):
        Artefact.load(artefact.path)


def test_other_files_are_refused(tmp_path: Path, graph: bytes) -> None:
    for name, content, found in [
        ("empty.onnx", b"", "empty"),
        ("plain.onnx", graph, "plain ONNX model"),
        ("text.onnx", b"duration,protocol_type\n0,tcp\n", "damaged, cut short, or something else"),
        ("zeros.onnx", b"\0" * 100, "damaged"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArtefactError, match=found):
            Artefact.load(tmp_path / name)
    with pytest.raises(ArtefactError, match="no such file"):
        Artefact.load(tmp_path / "none.onnx")
    with pytest.raises(ArtefactError, match="is no plain file"):
        Artefact.load(tmp_path)


def test_a_network_of_other_ends_is_not_written(fields: Fields, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    other = export(network(fields, outputs=4), torch.zeros(1, *fields.encoder.shape))
    with pytest.raises(ArtefactError, match="5 classes"):
        write(path, other, fields)
    with pytest.raises(ArtefactError):
        write(path, b"nonsense", fields)
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"name": ""}, "no name"),
        ({"form": "round"}, "round"),
        ({"threshold": 1.5}, "threshold 1.5"),
        ({"threshold": float("nan")}, "threshold nan"),
        ({"classes": ("normal", "normal")}, "classes"),
        ({"provenance": {"a": [{"b": "/home/someone/data"}]}}, "path of this machine"),
        ({"provenance": {"a": "C:\\data"}}, "path of this machine"),
    ],
)
def test_fields_are_checked_when_made(fields: Fields, change: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError, match=found):
        replace(fields, **change)


@pytest.mark.parametrize(
    ("key", "text"), [("threshold", "high"), ("threshold", "7"), ("schema", "{"), ("certificate", None)]
)
def test_texts_that_are_not_what_they_should_be(fields: Fields, key: str, text: str | None) -> None:
    metadata: dict[str, str] = fields.to_metadata()
    if text is None:
        del metadata[f"juggler.{key}"]
    else:
        metadata[f"juggler.{key}"] = text
    with pytest.raises((ArtefactError, ConfigError), match=key):
        Fields.from_metadata(metadata)


def test_an_old_file_stays_when_a_new_one_fails(artefact: Artefact, fields: Fields) -> None:
    before = artefact.path.read_bytes()
    with pytest.raises(ArtefactError):
        write(artefact.path, b"nonsense", fields)
    assert artefact.path.read_bytes() == before


HOSTILE = {
    "classes": ["5", "null", '"ab"', "[[1], [2]]", "[1, 2]", "[" * 100_000 + "]" * 100_000],
    "provenance": ["[1]", "null", "7", '{"a": NaN}', '{"a": ' + "9" * 5000 + "}"],
    "format": ["9" * 5000, "\u0661", "-1", ""],
    "schema": ["[]", "null", "3", '{"columns": "abc"}'],
    "encoder": ["null", "[]", '"x"'],
    "threshold": ["nan", "x", "1e999", "[]"],
    "certificate": ["5", "[1]", "true", "{}"],
}


@pytest.mark.parametrize(("key", "text"), [(key, text) for key, texts in HOSTILE.items() for text in texts])
def test_an_altered_artefact_ends_in_our_error(artefact: Artefact, key: str, text: str) -> None:
    rest, metadata = split(artefact.graph)
    artefact.path.write_bytes(seal(join(rest, metadata | {f"juggler.{key}": text})))
    with pytest.raises(ArtefactError, match="load the artefact"):
        Artefact.load(artefact.path)


@pytest.mark.parametrize(
    ("noun", "field", "value"),
    [
        ("schema", "columns", "abc"),
        ("schema", "columns", [1, 2]),
        ("schema", "classes", None),
        ("schema", "version", 9),
        ("encoder", "height", -1),
        ("encoder", "height", "x"),
        ("encoder", "numeric", 1),
        ("encoder", "numeric", []),
        ("encoder", "codes", [{}]),
    ],
)
def test_an_altered_field_ends_in_our_error(artefact: Artefact, noun: str, field: str, value: Any) -> None:
    rest, metadata = split(artefact.graph)
    altered = json.dumps(json.loads(metadata[f"juggler.{noun}"]) | {field: value})
    artefact.path.write_bytes(seal(join(rest, metadata | {f"juggler.{noun}": altered})))
    with pytest.raises(ArtefactError, match="load the artefact"):
        Artefact.load(artefact.path)


@pytest.mark.parametrize("trick", ["Loop", "RandomNormal", "other maker", "function", "weights elsewhere"])
def test_a_graph_that_asks_for_more_than_a_detector_needs_is_refused(
    artefact: Artefact, fields: Fields, trick: str, tmp_path: Path
) -> None:
    model = onnx.load_from_string(artefact.graph)
    if trick in ("Loop", "RandomNormal"):
        model.graph.node.append(onnx.helper.make_node(trick, [], ["z"]))
    elif trick == "other maker":
        model.graph.node.append(onnx.helper.make_node("Relu", ["input"], ["z"], domain="org.odd"))
    elif trick == "function":
        relu = onnx.helper.make_node("Relu", ["a"], ["b"])
        model.functions.append(onnx.helper.make_function("f", "F", ["a"], ["b"], [relu], []))
    else:
        entry = model.graph.initializer[0].external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"
    altered = model.SerializeToString()
    artefact.path.write_bytes(seal(altered))
    words = r"no detector needs|weights lie in other files"
    with pytest.raises(ArtefactError, match=words):
        Artefact.load(artefact.path)
    with pytest.raises(ArtefactError, match=words):
        write(tmp_path / "new.onnx", altered, fields)
