"""Every operator's work against integers counted by hand, factor by factor."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from juggler.count.network import count
from juggler.count.work import HANDLES, KINDS, Call, Work, all_handles

UNITS = ("macs", "additions", "multiplications", "comparisons", "functions")


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def work(network, *inputs):
    """Return the work of everything that runs, in the order of UNITS; all of it must have a handle."""
    network = network if isinstance(network, nn.Module) else Function(network)
    given = tuple(torch.empty(one, device="meta") if isinstance(one, tuple) else one for one in inputs)
    found = count(network.eval(), given)
    assert found.uncounted == ()
    assert {op.kind for op in found.ops} <= set(KINDS)
    for op in found.ops:
        assert op.geometry is None or op.geometry.macs == op.macs, op
    return tuple(sum(getattr(op, unit) for op in found.ops) for unit in UNITS)


CONVOLUTIONS = {
    "1d": (nn.Conv1d(3, 5, 4), (2, 3, 10), 2 * 5 * 7 * 3 * 4, 2 * 5 * 7),
    "2d": (nn.Conv2d(3, 8, 3, bias=False), (2, 3, 10, 12), 2 * 8 * 8 * 10 * 27, 0),
    "2d bias": (nn.Conv2d(3, 8, 3), (1, 3, 10, 12), 8 * 80 * 27, 8 * 80),
    "2d padded": (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 12), 8 * 120 * 27, 8 * 120),
    "2d same": (nn.Conv2d(3, 8, 4, padding="same", bias=False), (1, 3, 10, 12), 8 * 120 * 48, 0),
    "2d strided": (nn.Conv2d(3, 8, 3, stride=2, bias=False), (1, 3, 11, 11), 8 * 25 * 27, 0),
    "2d 1x7": (nn.Conv2d(4, 6, (1, 7), padding=(0, 3), bias=False), (1, 4, 5, 9), 6 * 45 * 28, 0),
    "2d dilated": (nn.Conv2d(3, 8, 3, dilation=2, bias=False), (1, 3, 9, 9), 8 * 25 * 27, 0),
    "2d grouped": (nn.Conv2d(6, 9, 3, groups=3, bias=False), (1, 6, 7, 7), 9 * 25 * 2 * 9, 0),
    "2d depthwise": (nn.Conv2d(6, 6, 3, groups=6, bias=False), (4, 6, 7, 7), 4 * 6 * 25 * 9, 0),
    "2d unbatched": (nn.Conv2d(3, 8, 3), (3, 10, 12), 8 * 80 * 27, 8 * 80),
    "2d reflected": (
        nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect", bias=False),
        (1, 3, 6, 6),
        8 * 36 * 27,
        0,
    ),
    "3d": (nn.Conv3d(2, 4, 3), (1, 2, 5, 6, 7), 4 * 3 * 4 * 5 * 54, 4 * 60),
    # Every pixel read is multiplied by the whole kernel; what is written has (5 - 1) 2 + 3 = 11 a side.
    "1d transposed": (nn.ConvTranspose1d(3, 5, 4, stride=2), (1, 3, 6), 18 * 5 * 4, 5 * 14),
    "2d transposed": (nn.ConvTranspose2d(3, 8, 3, stride=2), (2, 3, 5, 5), 2 * 75 * 8 * 9, 2 * 8 * 121),
    "2d transposed grouped": (
        nn.ConvTranspose2d(4, 6, 3, groups=2, output_padding=1, stride=2, bias=False),
        (1, 4, 5, 5),
        100 * 3 * 9,
        0,
    ),
    "3d transposed": (nn.ConvTranspose3d(2, 3, 2, bias=False), (1, 2, 3, 3, 3), 54 * 3 * 8, 0),
}


@pytest.mark.parametrize(("layer", "shape", "macs", "additions"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions(layer, shape, macs, additions):
    assert work(layer, shape) == (macs, additions, 0, 0, 0)


PRODUCTS = {
    "linear": (nn.Linear(6, 7), [(5, 6)], (5 * 6 * 7, 5 * 7, 0)),
    "linear without bias": (nn.Linear(6, 7, bias=False), [(5, 6)], (210, 0, 0)),
    "linear of tokens": (nn.Linear(6, 7), [(2, 5, 6)], (420, 70, 0)),
    "linear of one": (nn.Linear(6, 7), [(6,)], (42, 7, 0)),
    "matmul 2d": (torch.matmul, [(3, 4), (4, 5)], (60, 0, 0)),
    "matmul 3d by 2d": (torch.matmul, [(2, 3, 4), (4, 5)], (120, 0, 0)),
    "matmul batches": (torch.matmul, [(2, 6, 3, 4), (2, 6, 4, 5)], (12 * 60, 0, 0)),
    "matmul spread": (torch.matmul, [(2, 1, 3, 4), (6, 4, 5)], (12 * 60, 0, 0)),
    "matrix by vector": (torch.matmul, [(3, 4), (4,)], (12, 0, 0)),
    "vector by vector": (torch.matmul, [(4,), (4,)], (4, 0, 0)),
    "vdot": (torch.vdot, [(4,), (4,)], (4, 0, 0)),
    "mm": (torch.mm, [(3, 4), (4, 5)], (60, 0, 0)),
    "bmm": (torch.bmm, [(2, 3, 4), (2, 4, 5)], (120, 0, 0)),
    "addmm": (torch.addmm, [(5,), (3, 4), (4, 5)], (60, 15, 0)),
    "addmm of nothing": (lambda a, b, c: torch.addmm(a, b, c, beta=0), [(5,), (3, 4), (4, 5)], (60, 0, 0)),
    "baddbmm": (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)], (120, 30, 0)),
    "addbmm": (torch.addbmm, [(3, 5), (2, 3, 4), (2, 4, 5)], (120, 15, 0)),
    "addmv": (torch.addmv, [(3,), (3, 4), (4,)], (12, 3, 0)),
    "addr": (torch.addr, [(3, 4), (3,), (4,)], (12, 0, 0)),
    "outer": (torch.outer, [(3,), (4,)], (0, 0, 12)),
    "einsum": (lambda a, b: torch.einsum("bik,bkj->bij", a, b), [(2, 3, 4), (2, 4, 5)], (120, 0, 0)),
    "einsum of heads": (
        lambda a, b: torch.einsum("bqhd,bkhd->bhqk", a, b),
        [(2, 5, 3, 4), (2, 6, 3, 4)],
        (2 * 3 * 5 * 6 * 4, 0, 0),
    ),
    # Products of three are summed over a grid of 4 x 5 x 6 a row: twice multiplied, once added.
    "bilinear": (nn.Bilinear(5, 6, 4, bias=False), [(2, 5), (2, 6)], (240, 0, 240)),
    "nothing": (torch.mm, [(0, 4), (4, 5)], (0, 0, 0)),
}


@pytest.mark.parametrize(("network", "shapes", "wanted"), PRODUCTS.values(), ids=PRODUCTS)
def test_products(network, shapes, wanted):
    assert work(network, *shapes) == (*wanted, 0, 0)


def test_an_integer_product_counts_as_any_other():
    given = [torch.zeros(32, 16, dtype=torch.int8), torch.zeros(16, 24, dtype=torch.int8)]
    assert work(torch._int_mm, *given)[0] == 32 * 16 * 24


def test_distances_of_pairs():
    # 30 pairs of 4 features; torch takes them by differences here, for there are few.
    pairs = work(torch.ops.aten._euclidean_dist, (5, 4), (6, 4))
    assert pairs == (30 * 4, 30 * 4, 0, 0, 30)


# Two products of b h l s e and b h l s v; a softmax of b h l s scores, each scaled first.
ATTENTION = {
    "self": ([(2, 3, 10, 8)] * 3, {}, 2 * 3 * 100 * 8, 600, 0),
    "cross": ([(2, 3, 10, 8), (2, 3, 7, 8), (2, 3, 7, 8)], {}, 2 * 3 * 70 * 8, 420, 0),
    "wide values": ([(2, 3, 10, 8), (2, 3, 7, 8), (2, 3, 7, 8)], {"scale": 0.1}, 2 * 3 * 70 * 8, 420, 0),
    "unheaded": ([(2, 10, 8)] * 3, {}, 2 * 100 * 8, 200, 0),
    "masked": ([(2, 3, 10, 8)] * 3, {"attn_mask": torch.empty(10, 10, device="meta")}, 4800, 600, 600),
    "grouped": ([(2, 6, 10, 8), (2, 2, 10, 8), (2, 2, 10, 8)], {"enable_gqa": True}, 9600, 1200, 0),
}


@pytest.mark.parametrize(("shapes", "options", "macs", "scores", "masked"), ATTENTION.values(), ids=ATTENTION)
def test_attention(shapes, options, macs, scores, masked):
    found = work(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options), *shapes)
    assert found == (2 * macs, 2 * scores + masked, 2 * scores, scores, scores)


def test_attention_keeps_its_scores_to_itself():
    found = count(
        Function(F.scaled_dot_product_attention).eval(), tuple(torch.randn(1, 2, 64, 8) for _ in "qkv")
    )
    scores, values = found.ops
    assert scores.name.endswith("scores") and values.name.endswith("values")
    assert (scores.input_bytes, scores.output_bytes) == (2 * 4 * 1024, 0)
    assert (values.input_bytes, values.output_bytes) == (4 * 1024, 4 * 1024)


N = 2 * 6 * 5 * 4
NORMS = {
    "batch": (nn.BatchNorm2d(6), (2, 6, 5, 4), (N, N, 0)),
    "batch of features": (nn.BatchNorm1d(6), (2, 6), (12, 12, 0)),
    "batch by its own statistics": (
        nn.BatchNorm2d(6, track_running_stats=False),
        (2, 6, 5, 4),
        (4 * N, 2 * N, 0),
    ),
    "instance": (nn.InstanceNorm2d(6, affine=True), (2, 6, 5, 4), (4 * N, 2 * N, 0)),
    "layer": (nn.LayerNorm(4), (2, 6, 5, 4), (4 * N, 3 * N, 60)),
    "layer of two": (nn.LayerNorm([5, 4]), (2, 6, 5, 4), (4 * N, 3 * N, 12)),
    "layer bare": (nn.LayerNorm(4, elementwise_affine=False), (2, 6, 5, 4), (3 * N, 2 * N, 60)),
    "layer without shift": (nn.LayerNorm(4, bias=False), (2, 6, 5, 4), (3 * N, 3 * N, 60)),
    "group": (nn.GroupNorm(3, 6), (2, 6, 5, 4), (4 * N, 3 * N, 6)),
    "root mean square": (nn.RMSNorm(4), (2, 6, 5, 4), (N, 3 * N, 60)),
}


@pytest.mark.parametrize(("layer", "shape", "wanted"), NORMS.values(), ids=NORMS)
def test_norms(layer, shape, wanted):
    additions, multiplications, functions = wanted
    assert work(layer, shape) == (0, additions, multiplications, 0, functions)


def test_a_weight_norm_is_worked_out_at_each_call():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(6, 7, bias=False))
    # 42 squares summed to 7 roots, 7 ratios, 42 products; then the layer.
    assert work(layer, (5, 6)) == (210, 42, 42 + 42 + 7, 0, 7)


POOLS = {
    "max 1d": (nn.MaxPool1d(2), (1, 3, 9), (0, 0, 12 * 2)),
    "max 2d": (nn.MaxPool2d(3, 2), (2, 3, 9, 9), (0, 0, 2 * 3 * 16 * 9)),
    "max 2d padded": (nn.MaxPool2d(3, 2, padding=1), (1, 3, 9, 9), (0, 0, 3 * 25 * 9)),
    "max 2d with places": (nn.MaxPool2d(2, return_indices=True), (1, 3, 8, 8), (0, 0, 48 * 4)),
    "max 3d": (nn.MaxPool3d(2), (1, 2, 4, 6, 8), (0, 0, 2 * 24 * 8)),
    "average 1d": (nn.AvgPool1d(3), (1, 4, 9), (12 * 3, 12, 0)),
    "average 2d": (nn.AvgPool2d(2), (1, 3, 8, 6), (36 * 4, 36, 0)),
    "average 2d by rows": (nn.AvgPool2d((1, 3)), (1, 3, 4, 6), (24 * 3, 24, 0)),
    "average 3d": (nn.AvgPool3d(2), (1, 2, 4, 4, 4), (16 * 8, 16, 0)),
    "global average": (nn.AdaptiveAvgPool2d(1), (2, 3, 7, 7), (6 * 49, 6, 0)),
    # 7 into 3: windows of 3, 3 and 3 (they overlap); 5 into 2: windows of 3 and 3.
    "adaptive average 2d": (nn.AdaptiveAvgPool2d((3, 2)), (1, 4, 7, 5), (4 * 9 * 6, 24, 0)),
    "adaptive average 1d": (nn.AdaptiveAvgPool1d(3), (1, 4, 7), (4 * 9, 12, 0)),
    "adaptive average 3d": (nn.AdaptiveAvgPool3d(2), (1, 2, 4, 4, 5), (2 * 4 * 4 * 6, 16, 0)),
    "adaptive max 1d": (nn.AdaptiveMaxPool1d(3), (1, 4, 7), (0, 0, 4 * 9)),
    "adaptive max 2d": (nn.AdaptiveMaxPool2d((3, 2)), (1, 4, 7, 5), (0, 0, 4 * 9 * 6)),
    "adaptive max 3d": (nn.AdaptiveMaxPool3d(2), (1, 2, 4, 4, 5), (0, 0, 2 * 4 * 4 * 6)),
}


@pytest.mark.parametrize(("layer", "shape", "wanted"), POOLS.values(), ids=POOLS)
def test_pooling(layer, shape, wanted):
    assert work(layer, shape) == (0, *wanted, 0)


GRID = (1, 4, 4, 2)
RESAMPLING = {
    "nearest": (nn.Upsample(scale_factor=2), [(1, 3, 4, 4)], 0),
    "nearest exact": (nn.Upsample(scale_factor=2, mode="nearest-exact"), [(1, 3, 4, 4)], 0),
    "linear": (nn.Upsample(scale_factor=2, mode="linear"), [(1, 3, 4)], 3 * 8 * 2),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), [(1, 3, 4, 4)], 3 * 64 * 4),
    "trilinear": (nn.Upsample(scale_factor=2, mode="trilinear"), [(1, 1, 2, 2, 2)], 64 * 8),
    "bicubic": (nn.Upsample(scale_factor=2, mode="bicubic"), [(1, 3, 4, 4)], 3 * 64 * 16),
    # Four neighbours a result, and two coordinates a place.
    "grid": (lambda x, g: F.grid_sample(x, g, align_corners=False), [(1, 3, 8, 8), GRID], 48 * 4 + 32),
    "grid 3d": (
        lambda x, g: F.grid_sample(x, g, align_corners=False),
        [(1, 3, 4, 4, 4), (1, 2, 2, 2, 3)],
        24 * 8 + 24,
    ),
    "grid nearest": (
        lambda x, g: F.grid_sample(x, g, mode="nearest", align_corners=False),
        [(1, 3, 8, 8), GRID],
        32,
    ),
}


@pytest.mark.parametrize(("network", "shapes", "each"), RESAMPLING.values(), ids=RESAMPLING)
def test_resampling(network, shapes, each):
    assert work(network, *shapes) == (0, each, each, 0, 0)


# Of 2 x 3 elements each: additions, multiplications, comparisons, functions of one.
ONE = {
    **{
        name: (getattr(torch, name), (0, 0, 0, 1))
        for name in ("exp", "exp2", "expm1", "log", "log2", "log10")
    },
    **{name: (getattr(torch, name), (0, 0, 0, 1)) for name in ("log1p", "sin", "cos", "tan", "asin", "acos")},
    **{
        name: (getattr(torch, name), (0, 0, 0, 1)) for name in ("atan", "sinh", "cosh", "erf", "erfc", "sqrt")
    },
    **{name: (getattr(torch, name), (0, 0, 0, 1)) for name in ("rsqrt", "tanh")},
    **{
        name: (getattr(torch, name), (0, 0, 1, 0))
        for name in ("abs", "sign", "sgn", "floor", "ceil", "round")
    },
    **{name: (getattr(torch, name), (0, 0, 1, 0)) for name in ("trunc", "frac", "logical_not", "isnan")},
    **{name: (getattr(torch, name), (0, 1, 0, 0)) for name in ("reciprocal", "square")},
    "negative": (torch.neg, (1, 0, 0, 0)),
    "plus a number": (lambda x: x + 1.0, (1, 0, 0, 0)),
    "number minus": (lambda x: 1.0 - x, (1, 0, 0, 0)),
    "in place": (lambda x: x.mul_(2.0), (0, 1, 0, 0)),
    "by a number": (lambda x: x / 3.0, (0, 1, 0, 0)),
    "clamp": (lambda x: x.clamp(0, 1), (0, 0, 2, 0)),
    "clamp below": (lambda x: x.clamp(min=0), (0, 0, 1, 0)),
    "clamp_min": (lambda x: torch.clamp_min(x, 0), (0, 0, 1, 0)),
    "clamp_max": (lambda x: torch.clamp_max(x, 0), (0, 0, 1, 0)),
    "square by power": (lambda x: x**2, (0, 1, 0, 0)),
    "cube": (lambda x: x**3, (0, 2, 0, 0)),
    "fourth power": (lambda x: x**4, (0, 2, 0, 0)),
    "power": (lambda x: x**0.75, (0, 0, 0, 1)),
    "number to the power": (lambda x: 2.0**x, (0, 0, 0, 1)),
    "relu": (F.relu, (0, 0, 1, 0)),
    "relu in place": (lambda x: F.relu(x, inplace=True), (0, 0, 1, 0)),
    "relu6": (F.relu6, (0, 0, 2, 0)),
    "threshold": (lambda x: F.threshold(x, 0.1, 0.0), (0, 0, 1, 0)),
    "hardtanh": (F.hardtanh, (0, 0, 2, 0)),
    "leaky relu": (F.leaky_relu, (0, 1, 1, 0)),
    "elu": (F.elu, (1, 1, 1, 1)),
    "celu": (F.celu, (1, 2, 1, 1)),
    "selu": (F.selu, (1, 2, 1, 1)),
    "sigmoid": (torch.sigmoid, (1, 1, 0, 1)),
    "log of sigmoid": (F.logsigmoid, (1, 0, 0, 2)),
    "silu": (F.silu, (1, 2, 0, 1)),
    "mish": (F.mish, (1, 1, 0, 3)),
    "gelu": (F.gelu, (1, 3, 0, 1)),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), (2, 6, 0, 1)),
    "softplus": (F.softplus, (1, 0, 1, 2)),
    "softsign": (F.softsign, (1, 1, 1, 0)),
    "hardsigmoid": (F.hardsigmoid, (1, 1, 2, 0)),
    "hardswish": (F.hardswish, (1, 2, 2, 0)),
    "hardshrink": (F.hardshrink, (0, 0, 1, 0)),
    "softshrink": (F.softshrink, (1, 0, 2, 0)),
    "tanhshrink": (F.tanhshrink, (1, 0, 0, 1)),
}


@pytest.mark.parametrize(("function", "each"), ONE.values(), ids=ONE)
def test_functions_of_one(function, each):
    assert work(function, (2, 3)) == (0, *(6 * part for part in each))


TWO = {
    **{
        name: (getattr(torch, name), (0, 0, 1, 0))
        for name in ("maximum", "minimum", "fmax", "fmin", "eq", "ne")
    },
    **{name: (getattr(torch, name), (0, 0, 1, 0)) for name in ("lt", "le", "gt", "ge", "logical_and")},
    **{name: (getattr(torch, name), (0, 0, 1, 0)) for name in ("logical_or", "logical_xor", "max", "min")},
    **{name: (getattr(torch, name), (0, 0, 0, 1)) for name in ("atan2", "pow")},
    "logaddexp": (torch.logaddexp, (2, 0, 2, 2)),
    **{name: (getattr(torch, name), (1, 2, 1, 0)) for name in ("remainder", "fmod")},
    "add": (torch.add, (1, 0, 0, 0)),
    "add scaled": (lambda x, y: torch.add(x, y, alpha=2), (1, 1, 0, 0)),
    "sub": (torch.sub, (1, 0, 0, 0)),
    "rsub": (torch.rsub, (1, 0, 0, 0)),
    "mul": (torch.mul, (0, 1, 0, 0)),
    "div": (torch.div, (0, 1, 0, 0)),
    "floor of a ratio": (torch.floor_divide, (0, 1, 1, 0)),
    "where": (lambda x, y: torch.where(x > y, x, y), (0, 0, 1, 0)),
    "lerp": (lambda x, y: torch.lerp(x, y, 0.3), (2, 1, 0, 0)),
    "addcmul": (lambda x, y: torch.addcmul(x, x, y), (1, 2, 0, 0)),
    "addcdiv": (lambda x, y: torch.addcdiv(x, x, y), (1, 2, 0, 0)),
    "copied to": (lambda x, y: x.clone().copy_(y), (0, 0, 0, 0)),
}


@pytest.mark.parametrize(("function", "each"), TWO.values(), ids=TWO)
def test_functions_of_two(function, each):
    assert work(function, (2, 3), (2, 3)) == (0, *(6 * part for part in each))


def test_bits_and_finiteness():
    given = torch.zeros(2, 3, dtype=torch.bool)
    assert work(lambda x: ((x & x) | x) ^ ~x, given) == (0, 0, 0, 24, 0)
    assert work(lambda x: torch.isfinite(x) & torch.isinf(x), (2, 3))[3] >= 18


def test_a_result_is_as_large_as_what_is_spread_to_it():
    assert work(torch.mul, (4, 1), (1, 5)) == (0, 0, 20, 0, 0)
    assert work(nn.PReLU(3), (2, 3, 4)) == (0, 0, 24, 24, 0)
    assert work(nn.GLU(), (2, 8)) == (0, 8, 16, 0, 8)


# Of 2 x 3 x 4 numbers.
REDUCTIONS = {
    "sum": (lambda x: x.sum(), (24, 0, 0, 0)),
    "sum of rows": (lambda x: x.sum(dim=-1), (24, 0, 0, 0)),
    "cumulative sum": (lambda x: x.cumsum(1), (24, 0, 0, 0)),
    "mean": (lambda x: x.mean(), (24, 1, 0, 0)),
    "mean of rows": (lambda x: x.mean(dim=(1, 2)), (24, 2, 0, 0)),
    # The mean (24 additions, a division), differences, squares summed, a division.
    "variance": (lambda x: x.var(dim=(1, 2)), (72, 24 + 4, 0, 0)),
    "standard deviation": (lambda x: x.std(dim=(1, 2)), (72, 24 + 4, 0, 2)),
    "variance and mean": (lambda x: torch.var_mean(x, dim=2), (72, 24 + 12, 0, 0)),
    "largest": (lambda x: x.amax(dim=1), (0, 0, 24, 0)),
    "largest and where": (lambda x: x.max(dim=1)[0], (0, 0, 24, 0)),
    "where largest": (lambda x: x.argmax(dim=1), (0, 0, 24, 0)),
    "smallest": (lambda x: x.min(), (0, 0, 24, 0)),
    "both ends": (lambda x: torch.aminmax(x)[0], (0, 0, 48, 0)),
    "product": (lambda x: x.prod(dim=1), (0, 24, 0, 0)),
    "any": (lambda x: x.any(), (0, 0, 24, 0)),
    "norm": (lambda x: torch.linalg.vector_norm(x, dim=1), (24, 24, 0, 8)),
    "norm of one": (lambda x: torch.linalg.vector_norm(x, ord=1), (24, 0, 24, 0)),
    "largest norm": (lambda x: torch.linalg.vector_norm(x, ord=torch.inf), (0, 0, 48, 0)),
    "norm of three": (lambda x: torch.linalg.vector_norm(x, ord=3), (24, 0, 24, 25)),
    "log of summed exponentials": (lambda x: torch.logsumexp(x, dim=1), (48 + 8, 0, 24, 24 + 8)),
    "softmax": (lambda x: x.softmax(dim=1), (48, 24, 24, 24)),
    "log of softmax": (lambda x: x.log_softmax(dim=1), (72, 0, 24, 24 + 8)),
}


@pytest.mark.parametrize(("function", "wanted"), REDUCTIONS.values(), ids=REDUCTIONS)
def test_reductions(function, wanted):
    assert work(function, (2, 3, 4)) == (0, *wanted)


PLACES = torch.tensor([0, 1])
MOVES = {
    "cat": lambda x: torch.cat([x, x], dim=1),
    "stack": lambda x: torch.stack([x, x]),
    "pad": lambda x: F.pad(x, (1, 1, 2, 2)),
    "pad reflected": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "pad repeated": lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"),
    "slices": lambda x: x[:, 1:, ::2],
    "chunks": lambda x: torch.cat(x.chunk(2, dim=1)),
    "split": lambda x: x.split([1, 3], dim=1)[1],
    "views": lambda x: x.view(2, -1).unsqueeze(1).squeeze(1).t().permute(1, 0),
    "reshape that copies": lambda x: x.transpose(1, 2).reshape(2, -1),
    "flatten": lambda x: x.flatten(1),
    "expand": lambda x: x.unsqueeze(0).expand(5, -1, -1, -1, -1),
    "contiguous": lambda x: x.transpose(1, 2).contiguous(),
    "clone": lambda x: x.clone(),
    "to half": lambda x: x.half(),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "roll": lambda x: x.roll(1, dims=2),
    "flip": lambda x: x.flip(2),
    "shuffle of pixels": lambda x: F.pixel_shuffle(x, 2),
    "unshuffle of pixels": lambda x: F.pixel_unshuffle(x, 2),
    "shuffle of channels": lambda x: F.channel_shuffle(x, 2),
    "columns": lambda x: F.unfold(x, 3),
    "gathered": lambda x: x.gather(1, torch.zeros(2, 1, 6, 6, dtype=torch.int64)),
    "picked": lambda x: x.index_select(1, PLACES.to(x.device)),
    "indexed": lambda x: x[:, PLACES.to(x.device)],
    "masked": lambda x: x.masked_fill(torch.zeros(6, 6, dtype=torch.bool), 0.0),
    "triangles": lambda x: torch.cat([x.tril(), x.triu()]),
    "made up": lambda x: torch.cat([torch.zeros_like(x), x.new_ones(2, 4, 6, 6), torch.empty_like(x)]),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "detached": lambda x: x.clone().detach_(),
    "set": lambda x: x.clone().zero_(),
}


@pytest.mark.parametrize("function", MOVES.values(), ids=MOVES)
def test_moves_are_free_of_arithmetic(function):
    assert work(function, (2, 4, 6, 6)) == (0, 0, 0, 0, 0)


def test_embeddings_are_looked_up_and_bags_are_added_up():
    words = torch.zeros(2, 5, dtype=torch.int64)
    assert work(nn.Embedding(100, 8), words) == (0, 0, 0, 0, 0)
    assert work(nn.EmbeddingBag(100, 8, mode="sum"), words) == (0, 10 * 8, 0, 0, 0)


def test_what_is_scattered_is_added_once_each():
    index = torch.zeros(2, 3, dtype=torch.int64)
    assert work(lambda x: x.scatter_add(1, index.to(x.device), x), (2, 3)) == (0, 6, 0, 0, 0)
    assert work(lambda x: F.fold(x, (4, 4), 3), (1, 18, 4)) == (0, 72, 0, 0, 0)


def test_every_handle_can_be_called_by_its_own_name():
    assert len(all_handles()) == sum(len(handles) for _, handles in HANDLES)
    assert all(
        name.startswith(("aten.", "quantized.")) and callable(handle)
        for name, handle in all_handles().items()
    )
    for name in all_handles():
        library, operator = name.split(".")
        assert hasattr(getattr(torch.ops, library), operator), name


def test_a_handle_of_another_package_is_found(tmp_path, monkeypatch):
    (tmp_path / "their_handles.py").write_text(
        "from juggler.count.work import Work\n"
        "HANDLES = {'aten.special_i0': lambda call: Work('elementwise', functions=call.outputs[0].numel())}\n"
    )
    folder = tmp_path / "theirs-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[juggler.handles]\ntheirs = their_handles:HANDLES\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert work(torch.special.i0, (2, 3)) == (0, 0, 0, 0, 6)


def test_a_call_answers_for_its_arguments():
    call = Call("aten.relu", {"self": torch.empty(2, 3), "other": None}, (torch.empty(4),))
    assert (call.size("self"), call.elements("self"), call.out) == ((2, 3), 6, (4,))
    assert call.has("self") and not call.has("other") and not call.has("absent")
    assert Work("move") == Work("move", macs=0)
