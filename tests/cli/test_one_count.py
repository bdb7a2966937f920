"""Multiply-accumulates are counted once: `flatten` and `cost` say the same, and what is right by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from commands import Program
from juggler.count import count
from juggler.count.geometry import Geometry
from juggler.count.network import macs_by_node
from juggler.reproduce.counting import count as count_graph
from juggler.runtime.export import export
from juggler.runtime.sources.factory import from_factory
from juggler.runtime.tuning.flattening import flatten
from juggler.transform.graph.regions import expression_of, lift_all, regions
from juggler.transform.tracing.graph import View, propagate_shapes, trace

MODULE = """
import torch
from torch import nn
from torch.nn import functional as F

class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.down = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.head = nn.Conv2d(32, 4, 1)
    def forward(self, x):
        x = torch.relu(self.stem(x))
        y = self.up(torch.relu(self.down(x)))
        return self.head(torch.cat((torch.relu(y), x), 1))

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.inputs, self.output = nn.Linear(16, 48), nn.Linear(16, 16)
    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        parts = self.inputs(x).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.output(mixed.transpose(1, 2).flatten(2))

class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, groups=2)
    def forward(self, x):
        return self.up(x)

class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.point = nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4), nn.Conv2d(12, 5, 1)
    def forward(self, x):
        return self.point(torch.relu(self.conv(x)))

class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(6, 3, 3, 3))
        self.matrix = nn.Parameter(torch.ones(6, 7))
    def forward(self, x):
        x = torch.relu(F.conv2d(x, self.kernel, stride=2, padding=1))
        return x.mean((2, 3)) @ self.matrix
"""
BY_HAND = {
    # stem, down, up (each of 32 x 32 pixels times the kernel), head
    "UNet": ("3,64,64", 16 * 64**2 * 27 + 32 * 32**2 * 144 + 32 * 32**2 * 64 + 4 * 64**2 * 32),
    # patches of four tokens, three projections, scores and values of two heads, output
    "Attention": ("3,8,8", 16 * 4 * 48 + 4 * 16 * 48 + 2 * (2 * 4 * 4 * 8) + 4 * 16 * 16),
    "Transposed": ("8,5,5", 8 * 25 * (2 * 9)),
    "Grouped": ("8,6,6", 12 * 36 * (2 * 9) + 5 * 36 * 12),
    "Functional": ("3,9,9", 6 * 25 * 27 + 6 * 7),
}


@pytest.fixture(autouse=True)
def module(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the networks into the current directory."""
    (elsewhere / "nets_of_the_one_count.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(elsewhere)
    return elsewhere


def opened(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    shape = BY_HAND[name][0]
    torch.manual_seed(0)
    module = from_factory(f"nets_of_the_one_count:{name}").eval()
    return module, torch.randn(1, *map(int, shape.split(",")))


def test_the_integers_of_the_issue():
    assert BY_HAND["UNet"][1] == 9_109_504


@pytest.mark.parametrize("name", BY_HAND)
def test_flatten_and_cost_say_what_is_right_by_hand(program: Program, elsewhere: Path, name: str) -> None:
    shape, macs = BY_HAND[name]
    network = (f"nets_of_the_one_count:{name}", "--shape", shape)
    assert f"{macs:,} MACs ->" in program("flatten", *network).check(0).out
    program("cost", *network, "--ceilings", "9,9", "--json", "cost.json").check(0)
    ops = json.loads((elsewhere / "cost.json").read_text(encoding="utf-8"))["ops"]
    assert sum(op["macs"] for op in ops) == macs


@pytest.mark.parametrize("name", BY_HAND)
def test_every_way_to_ask_gives_the_same(name: str) -> None:
    module, example = opened(name)
    macs = BY_HAND[name][1]
    done = flatten(module, example)
    assert done.wide_graph.macs == count(done.model, example).macs == done.flat_graph.macs == macs
    geometries = [op.geometry for op in count(module, example).ops]
    assert sum(geometry.macs for geometry in geometries if isinstance(geometry, Geometry)) == macs


@pytest.mark.parametrize("name", ["UNet", "Transposed", "Grouped"])
def test_a_graph_for_the_runtimes_has_the_same_work(name: str) -> None:
    module, example = opened(name)
    assert count_graph(export(module, example), tuple(example.shape[1:])).macs == BY_HAND[name][1]


@pytest.mark.parametrize("name", BY_HAND)
def test_a_term_of_the_algebra_has_the_work_of_its_node(name: str) -> None:
    module, example = opened(name)
    traced = trace(module, example)
    propagate_shapes(traced, example)
    macs = macs_by_node(traced, example)
    terms = [t for r in regions(lift_all(View(traced))) for t in expression_of(r).terms() if t.value]
    assert terms or name == "Functional"
    for term in terms:
        assert term.macs == macs[term.origin.name], term.label
