import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.cost.hardware.gemm import Gemm, Gemms, gemm_of, network_gemms, product, total
from juggler.cost.workloads import alexnet, resnet
from juggler.count.geometry import Geometry
from juggler.errors import ConfigError

sizes = st.integers(1, 9)


@st.composite
def convolutions(draw):
    dimensions = draw(st.integers(1, 3))
    each = st.tuples(*[st.integers(1, 3)] * dimensions)
    groups = draw(st.integers(1, 3))
    return Geometry.conv(
        groups * draw(sizes),
        groups * draw(sizes),
        draw(each),
        draw(st.tuples(*[st.integers(7, 12)] * dimensions)),
        stride=draw(each),
        padding=draw(st.tuples(*[st.integers(0, 2)] * dimensions)),
        dilation=draw(each),
        groups=groups,
        batch=draw(st.integers(1, 4)),
    )


@given(convolutions())
def test_a_convolution_and_its_products_do_the_same_work(conv):
    gemm = gemm_of(conv)
    assert gemm.macs == conv.macs
    assert gemm.count == conv.groups
    assert gemm.k * gemm.n * gemm.count == conv.weight_words
    assert gemm.m * gemm.n * gemm.count == conv.out_words


@given(convolutions())
def test_a_geometry_survives_json(conv):
    assert Geometry.from_json(conv.to_json()) == conv


def test_a_convolution_writes_what_torch_writes():
    torch = pytest.importorskip("torch")
    conv = torch.nn.Conv2d(6, 4, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2)
    wrote = conv(torch.zeros(1, 6, 17, 19)).shape[2:]
    geometry = Geometry.conv(6, 4, (3, 5), (17, 19), stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2)
    assert geometry.out_size == tuple(wrote)
    assert geometry.weight_words == conv.weight.numel()


def test_published_networks_do_the_work_that_is_published():
    assert [layer.macs for layer in alexnet().values()] == [
        *(105_415_200, 223_948_800, 149_520_384, 112_140_288, 74_760_192),
        *(37_748_736, 16_777_216, 4_096_000),
    ]
    assert sum(layer.macs for layer in alexnet().values()) == 724_406_816
    assert sum(layer.macs for layer in resnet(18).values()) == 1_814_073_344
    assert sum(layer.macs for layer in resnet(50).values()) == 4_089_184_256
    assert sum(layer.weight_words for layer in resnet(50).values()) == 25_502_912
    with pytest.raises(ConfigError, match="ResNet-19"):
        resnet(19)


def test_a_transposed_convolution_multiplies_what_it_reads():
    up = Geometry("transposed", 2, 8, 6, (2, 2), (2, 2), (0, 0), (1, 1), 2, (5, 7), (10, 14))
    gemm = gemm_of(up)
    assert (gemm.m, gemm.k, gemm.n, gemm.count) == (2 * 35, 4, 3 * 4, 2)
    assert gemm.macs == up.macs == 2 * 35 * 8 * 3 * 4
    assert up.out_words == 2 * 6 * 140


def test_products_of_activations_have_their_own_factors_in_each_input():
    scores = Geometry.matmul(10, 16, 10, heads=4, batch=3)
    gemm = gemm_of(scores)
    assert (gemm.m, gemm.k, gemm.n, gemm.count) == (10, 16, 10, 12)
    assert scores.macs == gemm.macs
    assert scores.weight_words == 3 * 4 * 16 * 10


def test_a_linear_layer_on_tokens():
    layer = Geometry.linear(768, 3072, positions=197, batch=2)
    assert (layer.in_words, layer.out_words) == (2 * 197 * 768, 2 * 197 * 3072)
    assert gemm_of(layer) == Gemm(394, 768, 3072)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "conv4"}, "conv, transposed, linear, matmul"),
        ({"groups": 2}, "multiples of the groups"),
        ({"batch": 0}, "batch"),
        ({"padding": (-1, 0)}, "padding"),
        ({"stride": (1,)}, "one number a dimension"),
        ({"out_size": (8, 9)}, "Geometry.conv"),
        ({"kind": "linear"}, "none of the kernel's"),
        ({"kernel": (), "stride": (), "padding": (), "dilation": ()}, "one number a dimension"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused(change, said):
    fields = Geometry.conv(3, 4, 3, (8, 8), padding=1).to_dict() | change
    with pytest.raises(ConfigError, match=said):
        Geometry(**fields)


@pytest.mark.parametrize("options", [{"stride": 0}, {"stride": (1, 1)}, {"dilation": 9}, {"kernel": 9}])
def test_a_convolution_that_writes_nothing_is_refused(options):
    given = {"kernel": 3} | options
    with pytest.raises(ConfigError, match="describe a convolution"):
        Geometry.conv(3, 4, in_size=(8,), **given)


def test_equal_layers_are_put_together():
    network = list(resnet(18).values())
    merged = network_gemms(network)
    assert len(merged) < len(network)
    assert int((merged.m * merged.k * merged.n * merged.count).sum()) == sum(g.macs for g in network)
    twice = network_gemms(network, [2] * len(network))
    assert (twice.count == 2 * merged.count).all()


@pytest.mark.parametrize(("network", "counts"), [([], None), ([1], [1, 2]), ([1], [0])])
def test_counts_that_do_not_fit_are_refused(network, counts):
    with pytest.raises(ConfigError):
        network_gemms([Geometry.linear(3, 4) for _ in network], counts)


@pytest.mark.parametrize("sizes", [(0, 1, 1, 1), (1, -2, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0)])
def test_an_empty_product_is_refused(sizes):
    with pytest.raises(ConfigError, match="1 or more"):
        Gemm(*sizes)


@given(st.lists(st.lists(st.integers(0, 2**40), min_size=3, max_size=3), min_size=1, max_size=4))
def test_a_product_is_right_or_refused(rows):
    factors = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)]
    exact = [math.prod(row) for row in rows]
    if max(exact) < 0.99 * 2**63:
        assert product("it", *factors).tolist() == exact
    elif max(exact) >= 2**63:
        with pytest.raises(ConfigError, match="beyond 64 bits"):
            product("it", *factors)


def test_a_sum_is_right_or_refused():
    assert total("it", np.array([2**61, 2**61])) == 2**62
    with pytest.raises(ConfigError, match="beyond 64 bits"):
        total("it", np.array([2**62, 2**62]))
    with pytest.raises(ConfigError, match="beyond 64 bits"):
        Gemms.of([Gemm(2**63, 1, 1)])
