"""The algebra against torch's own convolutions, in float64, over geometries that hypothesis draws."""

import dataclasses

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from juggler.transform.algebra import composition
from juggler.transform.algebra import conv as algebra
from juggler.transform.algebra.conv import Conv, NotFusible

LIMIT = 1e-12
kernels = st.sampled_from([1, 2, 3])


def draw_conv(draw, in_channels, dims, groups_of=(1, 2), channels=(2, 4)):
    groups = draw(st.sampled_from([g for g in groups_of if in_channels % g == 0]))
    out = draw(st.sampled_from(channels))
    assume(out % groups == 0)
    return Conv(
        weight=torch.randn(out, in_channels // groups, *[draw(kernels) for _ in range(dims)]).double(),
        bias=torch.randn(out).double() if draw(st.booleans()) else None,
        stride=tuple(draw(st.sampled_from([1, 1, 2])) for _ in range(dims)),
        padding=tuple(draw(st.sampled_from([0, 0, 1, 2])) for _ in range(dims)),
        dilation=tuple(draw(st.sampled_from([1, 1, 2])) for _ in range(dims)),
        groups=groups,
    )


@st.composite
def chains(draw):
    torch.manual_seed(draw(st.integers(0, 2**16)))
    dims = draw(st.sampled_from([1, 2]))
    first = draw_conv(draw, 4, dims)
    return first, draw_conv(draw, first.out_channels, dims)


def image(dims, channels=4, least=13):
    return torch.randn(2, channels, *(least + i for i in range(dims))).double()


def distance(one, other):
    assert one.shape == other.shape
    return ((one - other).abs().max() / one.abs().max()).item()


@settings(max_examples=200, deadline=None)
@given(chains())
def test_compose_is_exact_wherever_it_does_not_refuse(chain):
    first, second = chain
    fused = composition.compose(first, second)
    if isinstance(fused, NotFusible):
        assert fused.reason
        assert fused.remedy
        return
    x = image(len(first.kernel))
    assert distance(second(first(x)), fused(x)) < LIMIT


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(chains())
def test_a_border_is_refused_only_where_it_would_be_wrong(chain):
    first, second = chain
    # A stride may happen to step over the ring that is wrong; the refusal does not count on it.
    second = dataclasses.replace(second, stride=(1,) * len(second.stride))
    refused = composition.compose(first, second)
    assume(isinstance(refused, NotFusible) and refused.reason.startswith("border"))
    unpadded = composition.compose(first, dataclasses.replace(second, padding=(0,) * len(second.padding)))
    assume(isinstance(unpadded, Conv))
    padding = tuple(
        p1 + s1 * p2 for p1, s1, p2 in zip(first.padding, first.stride, second.padding, strict=True)
    )
    naive = dataclasses.replace(unpadded, padding=padding)
    # Right in the middle, wrong at the edge, at one size at least: a stride may step over it at others.
    wrong = False
    for least in (12, 13, 14, 15):
        x = image(len(first.kernel), least=least)
        wanted, got = second(first(x)), naive(x)
        centre = tuple(side // 2 for side in wanted.shape[2:])
        if wanted.shape != got.shape:
            wrong = True
            continue
        assert torch.allclose(wanted[..., *centre], got[..., *centre], rtol=1e-9)
        wrong |= distance(wanted, got) > 1e-6
    assert wrong


@pytest.mark.parametrize("expansion", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_papers_block_becomes_one_convolution(expansion, stride):
    torch.manual_seed(0)
    c, e = 4, 4 * expansion

    def conv(out, inputs, k, s=1, p=0):
        weight, bias = torch.randn(out, inputs, k, k).double(), torch.randn(out).double()
        return Conv(weight, bias, (s, s), (p, p), (1, 1))

    one, two, three = conv(e, c, 1, p=1), conv(e, e, 3, stride), conv(c, e, 1)
    fused = composition.compose(composition.compose(one, two), three)
    assert (fused.kernel, fused.stride, fused.padding) == ((3, 3), (stride, stride), (1, 1))
    shortcut = conv(c, c, 1, stride) if stride == 2 else algebra.identity(c, 1, fused)
    whole = algebra.add(fused, shortcut)
    for size in ((7, 9), (8, 8), (1, 5)):
        x = torch.randn(3, c, *size).double()
        wanted = three(two(one(x))) + (shortcut(x) if stride == 2 else x)
        assert distance(wanted, whole(x)) < LIMIT


def test_padding_between_is_refused_with_the_remedy():
    first = Conv(torch.randn(4, 4, 1, 1), torch.zeros(4), (1, 1), (0, 0), (1, 1))
    second = Conv(torch.randn(4, 4, 3, 3), None, (1, 1), (1, 1), (1, 1))
    refused = composition.compose(first, second)  # the bias is zero today, but it is there
    assert isinstance(refused, NotFusible)
    assert "padding=1" in refused.remedy
    free = composition.compose(dataclasses.replace(first, bias=None), second)
    assert isinstance(free, Conv)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("groups", [1, 2])
def test_folding_agrees_with_torchs_own(affine, bias, groups):
    torch.manual_seed(1)
    conv = nn.Conv2d(4, 6, 3, padding=1, bias=bias, groups=groups).double().eval()
    norm = nn.BatchNorm2d(6, affine=affine).double().eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    if affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    value = Conv(conv.weight.detach(), conv.bias.detach() if bias else None, (1, 1), (1, 1), (1, 1), groups)
    numbers = algebra.scale_shift(norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    folded = algebra.fold_scale_shift(value, *numbers)
    x = image(2)
    assert distance(norm(conv(x)), folded(x)) < LIMIT
    if affine:  # torch's own function needs the affine parameters
        theirs = fuse_conv_bn_eval(conv, norm)
        assert distance(theirs.weight, folded.weight) < LIMIT
        assert distance(theirs.bias, folded.bias) < LIMIT


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_add_is_exact_wherever_it_does_not_refuse(data):
    torch.manual_seed(data.draw(st.integers(0, 2**16)))
    dims = data.draw(st.sampled_from([1, 2]))
    one, other = (draw_conv(data.draw, 4, dims, channels=(4,)) for _ in range(2))
    if data.draw(st.booleans()):
        other = dataclasses.replace(other, stride=one.stride)
    fused = algebra.add(one, other)
    if isinstance(fused, Conv):
        x = image(dims)
        assert distance(one(x) + other(x), fused(x)) < LIMIT


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_identity_gives_its_input_back(kernel, groups):
    weight = torch.zeros(4, 4 // groups, kernel, kernel).double()
    like = Conv(weight, None, (1, 1), (kernel // 2,) * 2, (1, 1), groups)
    x = image(2)
    assert torch.equal(algebra.identity(4, groups, like)(x), x)


def test_a_depthwise_and_a_grouped_convolution_keep_the_groups_they_share():
    point = Conv(torch.randn(8, 2, 1, 1).double(), torch.randn(8).double(), (1, 1), (1, 1), (1, 1), 2)
    depthwise = Conv(torch.randn(8, 1, 3, 3).double(), None, (1, 1), (0, 0), (1, 1), 8)
    product = composition.compose(point, depthwise)
    assert product.groups == 2
    x = image(2)
    assert distance(depthwise(point(x)), product(x)) < LIMIT


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_densify_keeps_the_function(groups):
    conv = Conv(torch.randn(8, 1, 3, 3).double(), torch.randn(8).double(), (1, 1), (1, 1), (1, 1), 4)
    dense = algebra.densify(conv, groups)
    assert dense.groups == groups
    assert dense.weight.shape == (8, 4 // groups, 3, 3)
    x = image(2)
    assert distance(conv(x), dense(x)) < LIMIT
