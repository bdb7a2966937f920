"""Counts against fvcore's, as `benchmarks/claims/counts.py` wrote them, and against the layers of AlexNet."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from juggler.count.network import count

ROOT = Path(__file__).resolve().parents[2]
RESULT = json.loads((ROOT / "benchmarks" / "results" / "counts.json").read_text(encoding="utf-8"))
ROWS = {row["name"]: row for row in RESULT["networks"]}
SMALL = (
    "squeezenet_v1_1",
    "mobilenetv2_w1",
    "shufflenet_g3_w1",
    "regnety002",
    "erfnet_cityscapes",
    "resnet18",
)


@pytest.mark.parametrize("name", SMALL)
def test_a_network_of_others_has_the_counts_of_fvcore(name):
    row = ROWS[name]
    options = {"in_size": tuple(row["shape"][1:])} if "cityscapes" in name else {}
    factory = getattr(importlib.import_module(f"pytorchcv.models.{row['family']}"), name)
    found = count(factory(**options).eval(), torch.empty(1, *row["shape"], device="meta"))
    assert (found.macs, found.parameters) == (row["fvcore_macs"], row["fvcore_parameters"])
    assert found.uncounted == ()


def test_every_difference_from_fvcore_is_explained_and_told():
    told = (ROOT / "docs" / "how-to" / "cost.md").read_text(encoding="utf-8")
    differing = [row for row in ROWS.values() if row["macs"] != row["fvcore_macs"]]
    assert all(row["explained"] and f"`{row['name']}`" in told for row in differing)
    assert all(f"{row['macs']:,}" in told for row in differing if row["fvcore_macs"])
    assert all(row["uncounted"] == {} for row in ROWS.values())
    assert all(finding["reached"] for finding in RESULT["findings"])


def test_the_grouped_alexnet_has_the_layers_of_eyeriss():
    # In 10^9 units of 16 images, as published: 1.69, 3.58, 2.39, 1.79, 1.20.
    layers = [(3, 96, 11, 4, 0, 1, 227), (96, 256, 5, 1, 2, 2, 27), (256, 384, 3, 1, 1, 1, 13)]
    layers += [(384, 384, 3, 1, 1, 2, 13), (384, 256, 3, 1, 1, 2, 13)]
    wanted = (1.69, 3.58, 2.39, 1.79, 1.20)
    for (ins, outs, kernel, stride, padding, groups, side), giga in zip(layers, wanted, strict=True):
        layer = nn.Conv2d(ins, outs, kernel, stride, padding, groups=groups).eval()
        found = count(layer, torch.empty(16, ins, side, side, device="meta"))
        assert round(found.macs / 1e9, 2) == pytest.approx(giga, abs=0.0101)
