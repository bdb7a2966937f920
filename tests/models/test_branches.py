"""Branches of the literature: each block is one convolution, at the border as well, and all of it learns."""

from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from contracts_rules import randomised
from juggler.errors import ConfigError
from juggler.models.branches import STRUCTURES, Branched
from juggler.transform import flatten

NAMES = sorted(STRUCTURES)
ASYMMETRIC = {"juggler", "repvgg", "mobileone", "expandnet"}


@st.composite
def blocks(draw: st.DrawFn, names: list[str] = NAMES) -> Branched:
    """Draw a block of any structure and any geometry that it allows, all of it drawn anew."""
    name = draw(st.sampled_from(names))
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    into, out = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    sides = [3, 5, 1, (1, 3), (5, 3)] if name in ASYMMETRIC else [3, 5, (3, 5)]
    kernel = draw(st.sampled_from(sides))
    assume(kernel != 1 or name in {"juggler", "mobileone", "expandnet"})
    stride = draw(st.sampled_from([1, 1, 2, (2, 1)]))
    dilation = 1 if name == "dbb" else draw(st.sampled_from([1, 1, 2]))
    norm = draw(st.sampled_from([True, True, False]))
    block = STRUCTURES[name](
        into, out, kernel, stride, dilation=dilation, groups=groups, norm=norm, bias=draw(st.booleans())
    )
    return randomised(block, seed=draw(st.integers(0, 99)))


def as_convolution(block: Branched) -> tuple[Tensor, Tensor]:
    """Return the kernel, without groups, and the bias that the block shows inside a map of zeros."""
    g = block.geometry
    reach = [d * (k - 1) + 1 for d, k in zip(g.dilation, g.kernel, strict=True)]
    x = torch.zeros(1, g.in_channels, *(4 * r + 8 for r in reach), dtype=torch.float64, requires_grad=True)
    y = block(x)
    where = [side // 2 for side in y.shape[2:]]
    pixel = y[0, :, where[0], where[1]]
    starts = [s * q - p for s, q, p in zip(g.stride, where, g.padding, strict=True)]
    window = [slice(a, a + r, d) for a, r, d in zip(starts, reach, g.dilation, strict=True)]
    rows = [torch.autograd.grad(value, x, retain_graph=True)[0][0] for value in pixel]
    outside = sum(float(row.abs().sum() - row[(slice(None), *window)].abs().sum()) for row in rows)
    assert abs(outside) < 1e-9, "the block reads nothing outside the kernel that it stands for"
    return torch.stack([row[(slice(None), *window)] for row in rows]), pixel.detach()


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
    assert [node.kind for node in done.flat_sketch.nodes] == ["placeholder", kernel, "output"], done.refusals
    conv = next(part for part in done.model.modules() if isinstance(part, nn.Conv2d))
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
    "juggler": [{"kernel": 2}, {"expansion": 0}, {"groups": 2, "hidden": 5}],
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
    page = (Path(__file__).parents[2] / "docs" / "branches.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    told = {row[0].strip("`"): [int(count.replace(" ", "")) for count in row[-2:]] for row in rows}
    flat = nn.Conv2d(64, 64, 3)
    assert told == {
        name: [sum(part.numel() for part in each.parameters()) for each in (make(64, 64), flat)]
        for name, make in STRUCTURES.items()
    }
