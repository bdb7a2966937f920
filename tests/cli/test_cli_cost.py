"""`juggler cost` on real networks: tables, files, folding, and what it says where things go wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from commands import Program
from juggler.cost.roofline import Ceilings
from juggler.count.network import Counted

MODULE = """
import torch
from torch import nn

def make(width=8):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4),
    )

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.layer = nn.Embedding(50, 8), nn.Linear(4, 8)
    def forward(self, places, x):
        return {"sum": self.table(places) + self.layer(x), "none": None}

class Depends(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = make()
    def forward(self, x):
        return self.body(x) if x.sum() > 1e9 else torch.special.i0(self.body(x))
"""
LINE = ("cost", "nets_of_the_cost_test:make(width=6)", "--shape", "3,12,12", "--ceilings", "100,10,5")


@pytest.fixture(autouse=True)
def module(elsewhere: Path) -> Path:
    """Put a module of the user's own into the current directory."""
    (elsewhere / "nets_of_the_cost_test.py").write_text(MODULE, encoding="utf-8")
    return elsewhere


def test_cost_prints_layers_bounds_and_totals(program: Program) -> None:
    done = program(*LINE).check(0)
    for words in ("Layers", "Bounds", "Totals", "overhead", "100 GFLOP/s", "on its graph", "(given)"):
        assert words in done.out, words
    assert f"{100 * 6 * 27 + 6 * 4:,}" in done.out
    assert "Not counted" not in done.out


def test_cost_writes_json_csv_and_one_page(program: Program, elsewhere: Path) -> None:
    files = ("--json", "cost.json", "--csv", "cost.csv", "--html", "cost.html")
    done = program(*LINE, "--batch", "2", "--sort", "macs", *files).check(0)
    assert all(name in done.out for name in files[1::2])
    found = json.loads((elsewhere / "cost.json").read_text(encoding="utf-8"))
    assert Ceilings.from_dict(found.pop("ceilings")) == Ceilings(100.0, 10.0, 5.0)
    rows, model = found.pop("layers"), found.pop("model")
    counted = Counted.from_dict(found)
    assert counted.input_shapes == ((2, 3, 12, 12),) and model.endswith("make(width=6)")
    assert rows[0]["macs"] == 2 * 100 * 6 * 27
    lines = list(csv.DictReader((elsewhere / "cost.csv").read_text(encoding="utf-8").splitlines()))
    assert [int(line["macs"]) for line in lines] == [row["macs"] for row in rows]
    page = (elsewhere / "cost.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 1 and "Roofline" in page and "not measured" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_cost_folds_and_shows_the_first_rows(program: Program) -> None:
    done = program(
        "cost", "resnet18", "--shape", "3,32,32", "--fold", "1", "--ceilings", "9,9", "--top", "2"
    ).check(0)
    assert "The first 2 of" in done.out and "conv" in done.out


def test_cost_measures_this_machine_where_no_other_is_given(program: Program) -> None:
    assert "measured: " in program(*LINE[:4]).check(0).out


def test_cost_counts_by_running_what_cannot_be_traced_and_lists_what_it_cannot_count(
    program: Program,
) -> None:
    done = program("cost", "nets_of_the_cost_test:Depends", *LINE[2:]).check(0)
    assert "by running it" in done.err and "on random values" in done.err
    assert "Not counted" in done.out and "aten.i0" in done.out


def test_cost_takes_several_inputs_of_any_type_and_any_outputs(program: Program, elsewhere: Path) -> None:
    line = ("cost", "nets_of_the_cost_test:Two", "--shape", "7", "--shape", "7,4", "--ceilings", "9,9")
    done = program(
        *line, "--dtype", "int64", "--dtype", "float32", "--batch", "3", "--json", "two.json"
    ).check(0)
    counted = json.loads((elsewhere / "two.json").read_text(encoding="utf-8"))
    assert counted["input_shapes"] == [[3, 7], [3, 7, 4]]
    assert counted["parameters"] == 50 * 8 + 4 * 8 + 8
    assert f"{3 * 7 * 32:,}" in done.out
    program(*line, "--dtype", "float8").check(2, "Choose from float32")
    program(*line, "--dtype", "int64", "--dtype", "bool", "--dtype", "bool").check(2, "3 for 2 inputs")


def test_cost_counts_an_onnx_file_by_its_shapes(program: Program, elsewhere: Path) -> None:
    weight = onnx.numpy_helper.from_array(np.ones((4, 6), np.int8), "w")
    make = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        onnx.helper.make_node("MatMulInteger", ["q", "w", "z"], ["p"]),
        onnx.helper.make_node("TopK", ["p", "k"], ["y", "i"]),
    ]
    top = onnx.numpy_helper.from_array(np.int64([2]), "k")
    ends = [make("x", 1, [-1, 5, 4])], [make("y", onnx.TensorProto.INT32, None)]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", *ends, [weight, top])), "int8.onnx")
    done = program("cost", "int8.onnx", "--batch", "2", "--ceilings", "9,9", "--json", "int8.json").check(0)
    counted = json.loads((elsewhere / "int8.json").read_text(encoding="utf-8"))
    assert counted["input_shapes"] == [[2, 5, 4]]
    assert (counted["parameters"], counted["param_bytes"]) == (24, 24)
    assert sum(op["macs"] for op in counted["ops"]) == 2 * 5 * 24
    assert "Not counted" in done.out and "onnx.TopK" in done.out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--shape", "4,12,12"), 2, "[1, 4, 12, 12]"),
        (("--shape", "wide"), 2, "3,224,224"),
        (("--sort", "size"), 2, "order, macs"),
        (("--fold", "-1"), 2, "0 for the whole"),
        (("--batch", "0"), 2, "batch"),
        (("--ceilings", "fast"), 2, "4000,900,5"),
        (("--ceilings", "0,1"), 2, "GFLOP/s"),
    ],
)
def test_wrong_options_are_told(program: Program, options: tuple[str, ...], code: int, words: str) -> None:
    program(*LINE, *options).check(code, words)


def test_a_network_that_is_not_there_is_told(program: Program) -> None:
    program("cost", "resnet19").check(2, "resnet18")
