"""Branches of the literature: each block is one convolution, at the border as well, and all of it learns."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import juggler
from contracts_branches import NAMES, as_convolution, blocks, flat_kernel, levers
from contracts_rules import randomised
from juggler.errors import ConfigError, Refused
from juggler.models.branches import STRUCTURES, Branched, FusibleStructure
from juggler.models.branches.fusible import BESIDE
from juggler.models.layers.annealing import anneal
from juggler.models.networks.blocks import FusibleBlock, initialise
from juggler.transform import flatten

ALL_LEVERS = {
    "branches": [*BESIDE],
    "identity": "norm",
    "start": "identity",
    "activations": True,
}


@settings(max_examples=60, deadline=None)
@given(blocks(), st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(1, 3))
def test_a_block_is_one_convolution_even_at_the_border(
    block: Branched, size: tuple[int, int], batch: int
) -> None:
    block = block.double()
    g = block.geometry
    weight, bias = as_convolution(block)
    x = torch.randn(batch, g.in_channels, *size, dtype=torch.float64)
    with torch.no_grad():
        flat = F.conv2d(x, weight, bias, g.stride, g.padding, g.dilation)
        wide = block(x)
    assert wide.shape == flat.shape
    assert float((wide - flat).abs().max()) <= 1e-12 * max(float(flat.abs().max()), 1.0)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None)
@given(st.data(), st.tuples(st.integers(5, 10), st.integers(5, 10)))
def test_the_engine_flattens_a_block_into_one_convolution(
    name: str, data: st.DataObject, size: tuple[int, int]
) -> None:
    block = data.draw(blocks([name]))
    g = block.geometry
    done = flatten(block, torch.randn(1, g.in_channels, *size))
    kernel = f"Conv2d {g.kernel[0]}x{g.kernel[1]}"
    assert [node.kind for node in done.flat_graph.nodes] == ["placeholder", kernel, "output"], done.refusals
    conv = flat_kernel(done.model)
    assert conv.weight.shape == (g.out_channels, g.in_channels // g.groups, *g.kernel)
    assert (conv.bias is not None) == (g.norm or g.bias)
    assert done.certificate.passed
    assert done.certificate.worst("float64") < 1e-12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("into", "out", "stride", "groups"), [(6, 6, 1, 1), (6, 12, 2, 1), (6, 6, 1, 6)])
def test_every_branch_learns(name: str, into: int, out: int, stride: int, groups: int) -> None:
    torch.manual_seed(0)
    block = STRUCTURES[name](into, out, 3, stride, groups=groups)
    x = torch.randn(16, into, 7, 6)
    with torch.no_grad():
        target = nn.Conv2d(into, out, 3, stride, padding=1, groups=groups)(x)
    optimizer = torch.optim.SGD(block.parameters(), lr=0.02, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = F.mse_loss(block(x), target)
        optimizer.zero_grad()
        loss.backward()
        assert all(bool(kernel.weight.grad.abs().max() > 1e-6) for kernel in convolutions(block))
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("with_norm", [True, False])
def test_a_block_starts_from_a_trained_convolution(name: str, groups: int, with_norm: bool) -> None:
    conv = nn.Conv2d(6, 6, 3, padding=1, groups=groups)
    trained = nn.Sequential(conv, nn.BatchNorm2d(6)) if with_norm else nn.Sequential(conv)
    randomised(trained.double())
    block = STRUCTURES[name](6, 6, groups=groups, norm=with_norm).double().eval()
    block.start_from(conv.weight.detach(), conv.bias.detach(), trained[1] if with_norm else None)
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(block(x), trained(x), rtol=1e-12, atol=1e-12)


REFUSED = {
    "repvgg": [{"kernel": 2}, {"kernel": 1}, {"padding": 0}],
    "acnet": [{"kernel": 4}, {"kernel": (1, 3)}, {"kernel": 5, "padding": 1}],
    "dbb": [{"kernel": 2}, {"kernel": 1}, {"dilation": 2}, {"groups": 4, "padding": 2}],
    "mobileone": [{"kernel": 2}, {"copies": 0}, {"copies": True}],
    "juggler": [
        *({"kernel": 2}, {"expansion": 0}, {"groups": 2, "hidden": 5}),
        *({"branches": "spatial"}, {"branches": ["diagonal"]}, {"branches": [["spatial"]]}),
        *({"branches": ["spatial", "spatial"]}, {"branches": ["pointwise"], "kernel": 1}),
        *({"branches": ["vertical"], "kernel": (3, 1)}, {"branches": ["average"], "dilation": 2}),
        *({"identity": "none"}, {"start": "zero"}, {"activations": 1}),
    ],
    "expandnet": [{"expansion": float("nan")}, {"expansion": True}],
}
ALWAYS = [{"groups": 3}, {"groups": 0}, {"kernel": 0}, {"stride": 0}, {"kernel": (3, 3, 3)}, {"padding": -1}]


@pytest.mark.parametrize(
    ("name", "options"), [(name, options) for name in NAMES for options in [*REFUSED[name], *ALWAYS]]
)
def test_what_cannot_be_built_is_refused_by_name(name: str, options: dict) -> None:
    with pytest.raises(ConfigError, match=r"build an? "):
        STRUCTURES[name](4, 4, **options)


def test_one_branch_takes_every_kernel_and_padding() -> None:
    for kernel, padding in ((2, 0), (4, 1), (3, 0), (1, 2)):
        block = randomised(STRUCTURES["expandnet"](2, 3, kernel, padding=padding)).double()
        weight, bias = as_convolution(block)
        x = torch.randn(2, 2, 7, 6, dtype=torch.float64)
        with torch.no_grad():
            torch.testing.assert_close(block(x), F.conv2d(x, weight, bias, padding=padding))


def test_the_branches_are_those_of_the_papers() -> None:
    def names(name: str, *args: int, **options: int) -> list[str]:
        return [branch for branch, _ in STRUCTURES[name](*args, **options).named_children()]

    assert names("repvgg", 4, 4) == ["spatial", "pointwise", "identity"]
    assert names("repvgg", 4, 8) == ["spatial", "pointwise"]
    assert names("acnet", 4, 4) == ["spatial", "horizontal", "vertical"]
    assert names("dbb", 4, 4) == ["spatial", "pointwise", "sequence", "average"]
    assert names("dbb", 4, 4, groups=4) == ["spatial", "sequence", "average"]
    assert names("mobileone", 4, 4, copies=2) == ["copy1", "copy2", "pointwise", "identity"]
    assert names("mobileone", 4, 8, 1, copies=2) == ["copy1", "copy2"]
    expanded, fusible = STRUCTURES["expandnet"](3, 5, expansion=4), STRUCTURES["juggler"](4, 8)
    assert [conv.out_channels for conv in convolutions(expanded)] == [12, 20, 5]
    assert [conv.out_channels for conv in convolutions(fusible)] == [8, 8, 8, 8]


def convolutions(block: nn.Module) -> list[nn.Conv2d]:
    return [part for part in block.modules() if isinstance(part, nn.Conv2d)]


def test_the_page_tells_the_parameters_as_they_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "branches.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    rows = [row for row in rows if len(row) == len(("name", "class", "branches", "source", "wide", "flat"))]
    told = {row[0].strip("`"): [int(count.replace(" ", "")) for count in row[-2:]] for row in rows}
    flat = nn.Conv2d(64, 64, 3)
    assert told == {
        name: [sum(part.numel() for part in each.parameters()) for each in (make(64, 64), flat)]
        for name, make in STRUCTURES.items()
    }


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 2])),
    levers(),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
)
def test_any_mixture_of_levers_flattens_into_one_3x3_and_a_relu(
    shape: tuple[int, int, int], options: dict, size: tuple[int, int]
) -> None:
    into, out, stride = shape
    block = randomised(FusibleBlock(into, out, stride, **options)).double()
    anneal(block, 1.0)
    x = torch.randn(2, into, *size, dtype=torch.float64)
    done = flatten(block, x, policy="always")  # narrow chains can be less work than the 3x3
    assert [node.kind for node in done.flat_graph.nodes][1:-1] == ["Conv2d 3x3", "ReLU"], done.refusals
    assert done.certificate.passed
    conv = flat_kernel(done.model)
    assert conv.weight.shape == (out, into, 3, 3)
    with torch.no_grad():
        flat, wide = F.relu(F.conv2d(x, conv.weight, conv.bias, stride, padding=1)), block(x)
    assert float((wide - flat).abs().max()) <= 1e-12 * max(float(flat.abs().max()), 1.0)


def test_without_levers_the_structure_is_what_it_was() -> None:
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    for into, shortcut in ((8, []), (4, ["0.weight", *(f"1.{key}" for key in norm)])):
        expected = [
            "expand.weight",
            *(f"expand_norm.norm.{key}" for key in norm),
            "spatial.weight",
            *(f"spatial_norm.{key}" for key in norm),
            "reduce.weight",
            *(f"reduce_norm.{key}" for key in norm),
            *(f"shortcut.{key}" for key in shortcut),
        ]
        assert [*FusibleBlock(into, 8).state_dict()] == expected


def test_every_lever_adds_what_it_says() -> None:
    def added(into: int = 4, **options: object) -> set[str]:
        plain, levered = (FusibleBlock(into, 4, **chosen) for chosen in ({}, options))
        return {*dict(levered.named_modules())} - {*dict(plain.named_modules())}

    for name in BESIDE:
        assert f"beside.{name}.0" in added(branches=[name])
    assert added(identity="norm") == {"shortcut"}
    assert added(8, identity="norm") == set()
    assert added(start="identity") == set()
    assert added(activations=True) == {"between"}
    x = torch.randn(4, 4, 5, 5)
    block = randomised(FusibleBlock(4, 4, activations=True))
    curved = block(x)
    anneal(block, 1.0)
    straight = FusibleBlock(4, 4).eval()
    straight.load_state_dict(block.state_dict(), strict=False)
    assert torch.equal(block(x), straight(x))
    assert not torch.allclose(curved, straight(x)), "both maps had their activation"


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("into", "out", "hidden"), [(4, 4, 8), (4, 8, 6), (8, 4, 6), (4, 4, 2)])
def test_an_identity_start_begins_as_the_plain_kernel(into: int, out: int, hidden: int, groups: int) -> None:
    torch.manual_seed(0)
    block = FusibleStructure(into, out, groups=groups, hidden=hidden, start="identity", norm=False)
    for drawn_anew in (False, True):
        if drawn_anew:
            initialise(block)
        for kernel, (rows, columns) in ((block.expand, (hidden, into)), (block.reduce, (out, hidden))):
            weight = kernel.weight.detach().view(groups, rows // groups, columns // groups)
            both = min(rows, columns) // groups
            one = torch.eye(both, columns // groups).expand(groups, -1, -1)
            assert torch.equal(weight[:, :both], one)
            assert bool((weight[:, both:] != 0).all()), "the rest is drawn"


def test_levers_start_from_a_trained_convolution_too() -> None:
    conv, norm = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
    trained = randomised(nn.Sequential(conv, norm).double())
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    block = FusibleStructure(6, 6, **{**ALL_LEVERS, "activations": False}).double().eval()
    block.start_from(conv.weight.detach(), None, norm)
    with torch.no_grad():
        torch.testing.assert_close(block(x), trained(x), rtol=1e-12, atol=1e-12)
    with pytest.raises(ConfigError, match="activations"):
        FusibleStructure(6, 6, **ALL_LEVERS).start_from(conv.weight, None, norm)


def test_all_levers_learn_together() -> None:
    torch.manual_seed(0)
    block = FusibleBlock(6, 6, **ALL_LEVERS)
    initialise(block)
    (block(torch.randn(8, 6, 7, 6)) * torch.randn(8, 6, 7, 6)).sum().backward()
    assert all(bool(weight.grad.abs().sum() > 0) for weight in block.parameters())


def test_widening_takes_the_levers() -> None:
    plain = randomised(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()))
    wide = juggler.widen(plain, branches=["horizontal"], start="identity", activations=True, seed=0)
    assert [*wide.model[0].beside] == ["horizontal"]
    anneal(wide.model, 1.0)
    x = torch.randn(1, 3, 6, 7)
    done, expected = flatten(randomised(wide.model), x), flatten(plain, x)
    assert [node.kind for node in done.flat_graph.nodes] == [n.kind for n in expected.flat_graph.nodes]
    with pytest.raises(Refused, match="activations"):
        juggler.widen(plain, activations=True, keep_function=True)
