"""The blocks: a fusible block is affine before its ReLU, exactly one 3x3, at the border as well."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from juggler.models.networks.blocks import BasicBlock, Bottleneck, FusibleBlock, InsideBatchNorm2d


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    """Return the module in float64 with every weight and statistic drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight.copy_(torch.rand(norm.weight.shape, generator=generator) + 0.5)
                norm.bias.copy_(torch.randn(norm.bias.shape, generator=generator))
                norm.running_mean.copy_(torch.randn(norm.bias.shape, generator=generator))
                norm.running_var.copy_(torch.rand(norm.bias.shape, generator=generator) + 0.5)
    return module


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return conv.weight * scale[:, None, None, None], norm.bias - scale * norm.running_mean


def flat_kernel(block: FusibleBlock) -> tuple[Tensor, Tensor]:
    """Fuse by the paper's Eq. 2-7, written out here a second time, apart from the package's own."""
    w1, b1 = folded(block.expand, block.expand_norm.norm)
    w2, b2 = folded(block.spatial, block.spatial_norm)
    w3, b3 = folded(block.reduce, block.reduce_norm)
    weight = torch.einsum("po,omhw,mi->pihw", w3[..., 0, 0], w2, w1[..., 0, 0])
    bias = b3 + w3[..., 0, 0] @ (b2 + torch.einsum("omhw,m->o", w2, b1))
    if block.shortcut is None:
        weight[:, :, 1, 1] += torch.eye(len(weight), dtype=weight.dtype)
    else:
        ws, bs = folded(block.shortcut[0], block.shortcut[1])
        weight[:, :, 1, 1] += ws[..., 0, 0]
        bias = bias + bs
    return weight, bias


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 2])),
    st.sampled_from([0.5, 1.0, 2.0, 2.5]),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.integers(1, 3),
)
def test_fusible_block_is_one_3x3_even_at_the_border(
    shape: tuple[int, int, int], expansion: float, size: tuple[int, int], batch: int
) -> None:
    into, out, stride = shape
    block = randomised(FusibleBlock(into, out, stride, expansion)).eval()
    x = torch.randn(batch, into, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        weight, bias = flat_kernel(block)
        flat = F.relu(F.conv2d(x, weight, bias, stride, padding=1))
        wide = block(x)
    assert wide.shape == flat.shape
    scale = max(float(flat.abs().max()), 1.0)
    assert float((wide - flat).abs().max()) <= 1e-12 * scale


@pytest.mark.parametrize("ring", [1, 2])
def test_inside_norm_takes_statistics_without_the_ring(ring: int) -> None:
    torch.manual_seed(0)
    inside = torch.randn(4, 3, 5, 6, dtype=torch.float64) * 3 + 2
    padded = F.pad(inside, (ring,) * 4)
    norm, plain = InsideBatchNorm2d(3, ring).double(), nn.BatchNorm2d(3).double()
    with torch.no_grad():
        for part in (norm.norm, plain):
            part.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
            part.bias.copy_(torch.tensor([1.0, -1.0, 0.0]))
    out, expected = norm(padded), plain(inside)
    torch.testing.assert_close(out[:, :, ring:-ring, ring:-ring], expected)
    torch.testing.assert_close(norm.norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.norm.running_var, plain.running_var)
    assert norm.norm.num_batches_tracked == plain.num_batches_tracked == 1
    # The ring holds what a zero becomes under those statistics.
    mean, deviation = inside.mean((0, 2, 3)), inside.var((0, 2, 3), correction=0).add(plain.eps).sqrt()
    torch.testing.assert_close(out[0, :, 0, 0], plain.bias - mean / deviation * plain.weight)


def test_inside_norm_is_the_plain_norm_in_evaluation_mode_and_when_frozen() -> None:
    norm = randomised(InsideBatchNorm2d(3))
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    expected = norm.norm.eval()(x)
    assert norm.training
    assert torch.equal(norm(x), expected)
    assert torch.equal(norm.eval()(x), expected)
    assert norm.norm.num_batches_tracked == 0


def test_inside_norm_has_the_right_gradient() -> None:
    torch.manual_seed(0)
    norm = randomised(InsideBatchNorm2d(3)).train()
    x = (torch.randn(2, 3, 5, 4, dtype=torch.float64) + 1).requires_grad_()

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(norm, {"norm.weight": weight, "norm.bias": bias}, (x,))

    assert torch.autograd.gradcheck(run, (x, norm.norm.weight, norm.norm.bias))


def test_inside_norm_keeps_its_statistics_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    norm = InsideBatchNorm2d(3)
    x = (torch.randn(8, 3, 6, 6) + 10).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out = norm(x.bfloat16())
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert torch.isfinite(x.grad).all()
    inside = x.detach().bfloat16().float()[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(norm.norm.running_mean, 0.1 * inside.mean((0, 2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("momentum", [0.3, None])
def test_inside_norm_moves_its_statistics_as_the_plain_norm_does(momentum: float | None) -> None:
    torch.manual_seed(0)
    norm, plain = InsideBatchNorm2d(2), nn.BatchNorm2d(2, momentum=momentum)
    norm.norm.momentum = momentum
    for _ in range(3):
        x = torch.randn(3, 2, 6, 6) * 2 + 1
        norm(F.pad(x, (1, 1, 1, 1)))
        plain(x)
    torch.testing.assert_close(norm.norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.norm.running_var, plain.running_var)


@pytest.mark.parametrize("block", [FusibleBlock, BasicBlock, Bottleneck])
@pytest.mark.parametrize(("into", "out", "stride"), [(8, 8, 1), (8, 16, 2), (8, 8, 2), (8, 12, 1)])
def test_blocks_change_shape_as_told_and_learn_in_all_parts(
    block: type[nn.Module], into: int, out: int, stride: int
) -> None:
    torch.manual_seed(0)
    made = block(into, out, stride)
    result = made(torch.randn(2, into, 7, 6))
    assert result.shape == (2, out, -(-7 // stride), 3 if stride == 2 else 6)
    (result * torch.randn(result.shape)).sum().backward()
    assert all(bool(weight.grad.abs().sum() > 0) for weight in made.parameters())
    assert (made.shortcut is None) == (into == out and stride == 1)
