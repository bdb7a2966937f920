"""The equivalent kernel: what a block stands for while it trains, differentiable, the block left alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from contracts_branches import NAMES, blocks, flat_kernel
from contracts_rules import randomised
from juggler.models.branches import STRUCTURES, Branched, ExpandedConv, FusibleStructure
from juggler.models.branches.equivalent import equivalent_kernel
from juggler.models.layers.annealing import anneal
from juggler.models.networks.blocks import FusibleBlock
from juggler.transform import flatten

LEVERS = {"branches": ["spatial", "average"], "identity": "norm", "activations": True}


@settings(max_examples=60, deadline=None)
@given(blocks(), st.booleans())
def test_the_kernel_does_what_the_block_does(block: Branched, training: bool) -> None:
    block = block.double()
    g = block.geometry
    x = torch.randn(2, g.in_channels, 8, 7, dtype=torch.float64)
    with torch.no_grad():
        wide, bias = block(x), block(torch.zeros_like(x))
        kernel = equivalent_kernel(block.train(training))
    assert kernel.shape == (g.out_channels, g.in_channels // g.groups, *g.kernel)
    flat = F.conv2d(x, kernel, None, g.stride, g.padding, g.dilation, g.groups) + bias
    assert float((wide - flat).abs().max()) <= 1e-12 * max(float(wide.abs().max()), 1.0)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None)
@given(st.data())
def test_it_is_the_kernel_that_flattening_finds(name: str, data: st.DataObject) -> None:
    block = data.draw(blocks([name])).double()
    g = block.geometry
    done = flatten(block, torch.randn(1, g.in_channels, 7, 8, dtype=torch.float64))
    found, kernel = flat_kernel(done.model).weight.detach(), equivalent_kernel(block).detach()
    assert found.shape == kernel.shape
    assert float((found - kernel).abs().max()) <= 1e-12 * max(float(found.abs().max()), 1.0)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 5), st.integers(1, 4)),
    st.tuples(st.integers(0, 3), st.integers(0, 4)),
    st.tuples(st.integers(1, 3), st.integers(1, 4)),
    st.sampled_from([1, 2]),
)
def test_every_kernel_stride_padding_and_dilation_is_read(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    block = ExpandedConv(
        2, 4, kernel, stride, padding=padding, dilation=dilation, groups=groups, expansion=1.0
    )
    block = randomised(block).double()
    x = torch.randn(1, 2, 17, 19, dtype=torch.float64)
    with torch.no_grad():
        flat = F.conv2d(x, equivalent_kernel(block), None, stride, padding, dilation, groups)
        wide, bias = block(x), block(0 * x)
    assert float((wide - flat - bias).abs().max()) <= 1e-12 * max(float(wide.abs().max()), 1.0)


def test_the_block_is_as_it_was_afterwards() -> None:
    block = randomised(FusibleStructure(3, 3, **LEVERS)).train()
    block.spatial_norm.eval()  # a norm that is frozen
    anneal(block, 0.25)
    modes = [part.training for part in block.modules()]
    before = {key: value.clone() for key, value in block.state_dict().items()}
    equivalent_kernel(block)
    assert [part.training for part in block.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in block.state_dict().items())
    block.spatial.double()  # now it cannot run
    with pytest.raises(RuntimeError):
        equivalent_kernel(block)
    assert [part.training for part in block.modules()] == modes
    assert block.between.share == 0.25


def test_activations_inside_count_as_linear_and_the_one_behind_not_at_all() -> None:
    bent = randomised(FusibleBlock(3, 4, 2, branches=["vertical"], activations=True))
    straight = FusibleStructure(3, 4, stride=2, hidden=6, branches=["vertical"]).eval()
    straight.load_state_dict(bent.state_dict(), strict=False)
    for share in (0.0, 0.5, 1.0):
        anneal(bent, share)
        assert torch.equal(equivalent_kernel(bent), equivalent_kernel(straight))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stride", [1, 2])
def test_its_gradient_is_right_for_every_weight(name: str, stride: int) -> None:
    options = LEVERS if name == "juggler" else {}
    block = randomised(STRUCTURES[name](2, 2, stride=stride, **options)).double().train()
    torch.manual_seed(1)
    toward = torch.randn(2, 2, 3, 3, dtype=torch.float64)
    (equivalent_kernel(block) * toward).sum().backward()
    for path, weight in block.named_parameters():
        if path.endswith("bias"):
            assert float(weight.grad.abs().max()) < 1e-10, f"{path} moves the bias alone"
            continue
        step = 1e-5 * torch.randn_like(weight)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.add_(sign * step)
                ends.append(float((equivalent_kernel(block) * toward).sum()))
                weight.sub_(sign * step)
        slope = float((weight.grad * step).sum())
        assert (ends[0] - ends[1]) / 2 == pytest.approx(slope, rel=1e-5, abs=1e-11), path


@pytest.mark.parametrize(("stride", "padded"), [(1, 5), (2, 7)])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_it_costs_as_many_pixels_as_the_kernel_has_taps(stride: int, padded: int, groups: int) -> None:
    block = FusibleStructure(8, 8, stride=stride, groups=groups, expansion=2.0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        equivalent_kernel(block)
    shortcut = 9 * 8 * 8 if stride == 2 else 0
    a_picture = padded**2 * 8 * 16 + 9 * (9 * 16 * 16 + 16 * 8) + shortcut
    assert counter.get_total_flops() == 2 * (8 // groups + 1) * a_picture // groups


def test_it_follows_the_type_of_the_weights() -> None:
    network = nn.Sequential(FusibleBlock(3, 5), FusibleBlock(5, 5).bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        kernels = [equivalent_kernel(block) for block in network]
    assert [kernel.dtype for kernel in kernels] == [torch.float32, torch.bfloat16]
    assert torch.equal(kernels[0], equivalent_kernel(network[0]))
