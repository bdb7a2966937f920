"""The layer table: sorted, folded, written as CSV."""

from __future__ import annotations

import csv
import io

import pytest
import torch
from torch import nn

from juggler.cost.layers import SORTS, WHOLE, Layer, layers, to_csv
from juggler.cost.roofline import Ceilings, floor_of
from juggler.count.network import count
from juggler.errors import ConfigError

ROOF = Ceilings(100.0, 10.0, 5.0)


@pytest.fixture(scope="module")
def counted():
    network = nn.Sequential()
    network.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    network.body = nn.Sequential(nn.Conv2d(8, 64, 3), nn.Conv2d(64, 8, 1))
    network.pool = nn.AdaptiveAvgPool2d(1)
    network.flat = nn.Flatten()
    network.head = nn.Linear(8, 5000)
    return count(network.eval(), torch.empty(2, 3, 12, 12, device="meta"))


def test_a_row_is_an_operator_in_order(counted):
    rows = layers(counted)
    assert [row.name for row in rows] == ["stem.0", "stem.1", "body.0", "body.1", "pool", "head"]
    assert all(row.least_ms is None and row.bound == "" and row.ops == 1 for row in rows)
    assert [row.out_shape for row in rows][-1] == (2, 5000)


def test_bounds_are_those_of_the_roofline(counted):
    rows = layers(counted, ROOF)
    floors = [floor_of(op, ROOF) for op in counted.ops if op.kind != "view"]
    assert [(row.least_ms, row.bound) for row in rows] == [(floor.least_ms, floor.bound) for floor in floors]
    assert {row.bound for row in rows} == {"compute", "memory", "overhead"}


@pytest.mark.parametrize("sort", [name for name in SORTS if name != "order"])
def test_sorted_rows_are_the_same_rows_largest_first(counted, sort):
    rows = layers(counted, ROOF, sort=sort)
    values = [SORTS[sort](row) for row in rows]
    assert values == sorted(values, reverse=True)
    assert set(rows) == set(layers(counted, ROOF))


def test_sorting_by_what_is_asked(counted):
    assert layers(counted, sort="macs")[0].name == "body.0"
    assert layers(counted, sort="parameters")[0].name == "head"


@pytest.mark.parametrize("depth", [0, 1, 2, 9])
def test_folding_loses_nothing(counted, depth):
    rows = layers(counted, ROOF, fold=depth)
    assert sum(row.macs for row in rows) == counted.macs
    assert sum(row.parameters for row in rows) == counted.parameters
    assert sum(row.moved_bytes for row in rows) == counted.moved_bytes
    assert max(row.live_bytes for row in rows) == counted.peak_activation_bytes
    whole = sum(row.least_ms for row in layers(counted, ROOF))
    assert sum(row.least_ms for row in rows) == pytest.approx(whole)


def test_folding_by_depth(counted):
    assert [row.name for row in layers(counted, fold=1)] == ["stem", "body", "pool", "head"]
    (whole,) = layers(counted, fold=0)
    assert (whole.name, whole.ops) == (WHOLE, 6)
    stem = layers(counted, ROOF, fold=1)[0]
    assert stem.kind == "1 conv, 1 activation" and stem.bound == "overhead"


@pytest.mark.parametrize(("options", "words"), [({"sort": "size"}, "order, macs"), ({"fold": -1}, "-1")])
def test_what_cannot_be_done_is_told(counted, options, words):
    with pytest.raises(ConfigError, match=words):
        layers(counted, **options)


def test_csv_holds_every_field(counted):
    rows = layers(counted, ROOF)
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert [line["name"] for line in read] == [row.name for row in rows]
    assert int(read[0]["macs"]) == rows[0].macs
    assert read[0]["out_shape"] == "2x8x12x12"
    assert float(read[0]["intensity"]) == rows[0].intensity


def test_a_layer_survives_json(counted):
    row = layers(counted, ROOF)[0]
    assert Layer.from_json(row.to_json()) == row
