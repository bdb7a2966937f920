"""No name and no field of a file moves the cursor, colours the terminal or is taken for markup."""

from __future__ import annotations

import sqlite3
import unicodedata
import warnings
from contextlib import closing

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from juggler.runtime.artefact import seal, shipped
from juggler.runtime.onnx_graphs.metadata import join, split

EVIL = "\x1b[2J\x1b]0;owned\x07\r\x9b31m\u202egnp[red]x[/][link=evil:]y[/link]"
SHOWN = "[red]x[/]"


def check(outcome, *, shows=True):
    """Assert that nothing shown acts, and that the name is there as it is."""
    text = outcome.out + outcome.err
    acting = {
        letter for letter in text if letter != "\n" and unicodedata.category(letter) in ("Cc", "Cf", "Cs")
    }
    assert not acting, (acting, text)
    assert "Traceback" not in text, text
    flat = "".join(text.split())
    assert not shows or SHOWN in flat, text
    return outcome


def network():
    """Return a network every name of which is hostile."""

    def value(name, *shape):
        return helper.make_tensor_value_info(f"{name}{EVIL}", TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("Conv", [f"x{EVIL}", f"w{EVIL}"], [f"a{EVIL}"], f"conv{EVIL}"),
        helper.make_node("Relu", [f"a{EVIL}"], [f"y{EVIL}"], f"relu{EVIL}"),
    ]
    weights = [numpy_helper.from_array(np.ones((4, 3, 3, 3), np.float32), f"w{EVIL}")]
    graph = helper.make_graph(nodes, f"g{EVIL}", [value("x", 1, 3, 8, 8)], [value("y", 1, 4, 6, 6)], weights)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, doc_string=EVIL, producer_name=EVIL)


@pytest.mark.parametrize(
    "words",
    [
        ("info", "FILE.onnx"),
        ("cost", "FILE.onnx", "--shape", "3,8,8"),
        ("flatten", "FILE.onnx"),
        ("measure", "FILE.onnx"),
        ("predict", "FILE.onnx", "--device", "xeon-onnxruntime"),
        ("compare", "FILE.onnx", "--device", "FILE.predictor"),
        ("detect", "FILE.csv", "--artefact", "FILE.onnx"),
        ("evaluate", "FILE.onnx", "--set", "synthetic"),
        ("train", "synthetic", "--plan", "FILE.toml"),
        ("campaign", "--db", "FILE.db"),
        ("fit", "FILE.db"),
        ("cost", "FILE.pt2", "--shape", "3,8,8"),
        ("cost", "FILE.safetensors", "--shape", "3,8,8"),
    ],
)
def test_a_verb_shows_the_name_of_a_file_and_does_not_obey_it(program, elsewhere, words):
    name = f"evil{EVIL.replace('/', '∕')}"
    for ending in {word.partition(".")[2] for word in words if word.startswith("FILE")}:
        (elsewhere / f"{name}.{ending}").write_bytes(b"nothing " + EVIL.encode())
    outcome = check(program(*(word.replace("FILE", name) for word in words)), shows=False)
    assert outcome.code not in (0, 1)
    assert "[red]" in "".join(outcome.err.split()), outcome.err


def test_the_fields_of_an_artefact_are_shown(program, elsewhere):
    rest, fields = split(shipped("nsl_kdd.onnx").read_bytes())
    fields = {key: text for key, text in fields.items() if key != "juggler.sha256"} | {"juggler.name": EVIL}
    (elsewhere / "a.onnx").write_bytes(seal(join(rest, fields)))
    assert check(program("info", "a.onnx")).code == 0


@pytest.mark.parametrize(
    "words",
    [("cost", "--shape", "3,8,8"), ("flatten",), ("predict", "--device", "xeon-onnxruntime")],
    ids=lambda words: words[0],
)
def test_the_names_within_a_network_are_shown(program, elsewhere, words):
    onnx.save(network(), elsewhere / "network.onnx")
    verb, *options = words
    check(program(verb, "network.onnx", *options), shows=False)


def test_the_fields_of_records_are_shown(program, elsewhere):
    (elsewhere / "records.csv").write_bytes(f"0,{EVIL},{EVIL}\n".encode() * 3)
    check(program("detect", "records.csv"), shows=False)


def test_the_fields_of_a_plan_and_of_a_database_are_shown(program, elsewhere):
    (elsewhere / "plan.toml").write_text('"\\u001b[2J[red]x[/]" = 3\n', encoding="utf-8")
    check(program("train", "synthetic", "--plan", "plan.toml"))
    with closing(sqlite3.connect(elsewhere / "lab.db")) as connection:
        connection.execute(f'CREATE TABLE "{EVIL}" (x)')
        connection.commit()
    check(program("fit", "lab.db"), shows=False)


def test_a_warning_is_shown_as_the_rest_is(program, monkeypatch):
    monkeypatch.setattr(
        "juggler.cli.app.build", lambda: lambda: warnings.warn(f"careful: {EVIL}", stacklevel=1)
    )
    with warnings.catch_warnings(action="always"):
        check(program("info"))
