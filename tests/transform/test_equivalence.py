"""The certificate raises no false alarm, and a wrong rewrite is an alarm however small it is."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from juggler.transform import certify, flatten, trace
from juggler.transform.equivalence import map_error, randomise
from juggler.transform.tracing.casting import in_type

INF, NAN = math.inf, math.nan


class Head(nn.Module):
    """A convolution with its norm, and what a function makes of their map."""

    def __init__(self, function, **parts):
        super().__init__()
        self.conv, self.norm, self.function = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), function
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x):
        return self.function(self, self.norm(self.conv(x)))


def drawn(network):
    """Draw the statistics of the norm: those of a fresh one hide errors."""
    torch.manual_seed(0)
    network.norm.running_mean.normal_()
    network.norm.running_var.uniform_(0.5, 2.0)
    return network.eval()


def layer_norm(net, y):
    d = y - y.mean(1, keepdim=True)
    return d / torch.sqrt(d.pow(net.two).mean(1, keepdim=True) + net.eps)


def unpool(net, y):
    pooled, places = F.max_pool2d(torch.relu(y), 2, 2, return_indices=True)
    return F.max_unpool2d(pooled, places, 2, 2)


def peaks(net, y):
    heat = torch.sigmoid(y)
    return heat * (F.max_pool2d(heat, 3, 1, 1) == heat).float()


HEADS = {
    "a layer norm written out": Head(layer_norm, two=torch.tensor(2.0), eps=torch.tensor(1e-5)),
    "a pool with SAME padding": Head(lambda net, y: F.max_pool2d(F.pad(y, (0, 1, 0, 1), value=-INF), 3, 2)),
    "a mask of infinities": Head(
        lambda net, y: torch.softmax(y.flatten(2) @ y.flatten(2).mT + net.mask, -1),
        mask=torch.triu(torch.full((8, 8), -INF), 1),
    ),
    "generalised mean": Head(
        lambda net, y: F.adaptive_avg_pool2d(y.clamp(min=1e-6).pow(net.p), 1).pow(1 / net.p),
        p=nn.Parameter(torch.ones(1) * 3),
    ),
    "where": Head(lambda net, y: torch.where(y > 0, y, 0.1 * y)),
    "masked_fill": Head(lambda net, y: y.masked_fill(y < 0, 0.0)),
    "peak suppression": Head(peaks),
    "max unpooling": Head(unpool),
    "None beside a map": Head(lambda net, y: (y, None)),
    "a dict": Head(lambda net, y: {"map": y, "label": y.argmax(1), "mask": y > 3, "more": [y, None, 2]}),
    "NaN that is masked out": Head(lambda net, y: torch.where(y > 0, torch.log(y), torch.zeros(()))),
    "a spectrum": Head(lambda net, y: torch.fft.rfft2(y)),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_networks_do_with_their_maps_is_no_alarm(name):
    done = flatten(drawn(HEADS[name]), torch.randn(1, 3, 16, 16))
    assert done.certificate.passed
    assert [r.rule for r in done.rewrites] == ["fold_scale"]
    assert done.rolled_back == ()
    assert done.warning == ""


def test_inputs_are_of_the_examples_range_where_normal_ones_give_nan():
    class Decibels(nn.Module):
        def forward(self, x):
            return torch.log(x)

    network = nn.Sequential(Decibels(), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    assert flatten(network, torch.rand(1, 3, 8, 8) + 0.1).certificate.passed


def test_a_network_that_gives_nan_is_not_certified():
    done = flatten(Head(lambda net, y: torch.log(-y.abs())).eval(), torch.randn(1, 3, 8, 8))
    assert not done.certificate.passed
    assert math.isnan(done.certificate.worst("float64"))
    assert done.warning.startswith("NOT CERTIFIED")


@pytest.mark.parametrize(
    ("reference", "tensor", "error"),
    [
        ([1.0, 2.0], [1.0, 3.0], 0.5),
        ([INF, -INF, 4.0], [INF, -INF, 5.0], 0.25),
        ([INF, 1.0], [-INF, 1.0], INF),
        ([INF, 1.0], [2.0, 1.0], INF),
        ([1.0, 1.0], [INF, 1.0], INF),
        ([NAN, 2.0], [NAN, 2.0], 0.0),
        ([NAN, 2.0], [1.0, 2.0], NAN),
        ([1.0, 2.0], [1.0, NAN], NAN),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 1e-30], INF),
        ([True, False, True, True], [True, True, True, True], 0.25),
        ([1, 2], [1, 2], 0.0),
        ([1, 2], [1.0, 2.0], INF),
        ([1.0, 2.0], [1.0], INF),
        ([3 + 4j], [3 + 3j], 0.2),
        ([], [], 0.0),
    ],
)
def test_the_distance_of_two_maps(reference, tensor, error):
    assert map_error(torch.tensor(reference), torch.tensor(tensor)) == pytest.approx(error, nan_ok=True)


def test_one_wrong_place_among_millions_is_beyond_every_limit():
    mask = torch.zeros(3_000_000, dtype=torch.bool)
    wrong = mask.clone()
    wrong[7] = True
    assert map_error(mask, wrong) > 1e-7


def test_only_layers_are_drawn_anew():
    network = Head(
        layer_norm, two=torch.tensor(2.0), eps=torch.tensor(1e-5), gain=nn.Parameter(torch.ones(1))
    )
    before = network.state_dict()
    after = randomise(trace(network.eval()), torch.Generator().manual_seed(0)).state_dict()
    same = {name for name, value in after.items() if torch.equal(value, before[name])}
    assert same == {"two", "eps", "norm.num_batches_tracked"}


def normalised_rounding(net, y):
    """Normalise numbers that are nearly equal: what is left of them is what the digits hold."""
    y = 1e4 + 1e-2 * y
    y = y.flatten(2)
    return (y - y.mean(2, keepdim=True)) / y.std(2, keepdim=True)


@pytest.mark.parametrize("size", [1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("rounds_badly", [True, False])
def test_a_wrong_rewrite_fails_however_badly_the_network_rounds(rounds_badly, size):
    network = drawn(Head(normalised_rounding if rounds_badly else lambda net, y: torch.relu(y)))
    x = torch.randn(1, 3, 16, 16)
    done = flatten(network, x)
    assert done.certificate.passed
    assert (done.certificate.limits["float64"] > 1e-12) is rounds_badly
    assert done.certificate.limits["float64"] < 1e-8
    wide = trace(network, x)

    def passes(factor):
        flat = in_type(wide, torch.float64)
        next(m for m in flat.modules() if isinstance(m, nn.Conv2d)).weight.data[0, 0, 1, 1] *= factor
        return certify(wide, flat, x, reflatten=lambda net: in_type(net, torch.float64)).passed

    assert passes(1.0)
    assert not passes(1.0 + size)
