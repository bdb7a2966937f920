"""Whole networks: flat means flat, and the certificate means something."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

import juggler.nouns
import juggler.transform.algebra.conv
import juggler.transform.rewrite.rule
from contracts_rules import randomised
from juggler import models
from juggler.nouns import Certificate
from juggler.transform import certify, flatten, trace
from juggler.transform.equivalence import randomise

OLD_NAMES = [
    (juggler.transform, "Impossible", "NotFusible"),
    (juggler.transform, "sketch", "summarise"),
    (juggler.transform.algebra.conv, "Impossible", "NotFusible"),
    (juggler.transform.rewrite.rule, "made", "replacement"),
    (juggler.nouns, "GraphSketch", "GraphSummary"),
]
DEPTHS = {18: 8, 34: 16, 50: 16, 101: 33, 152: 50}


@pytest.mark.parametrize("stem", ["imagenet", "cifar"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_juggler_resnet_becomes_a_plain_chain(depth, stem):
    network = randomised(models.create(f"juggler_resnet{depth}", width=0.0625, stem=stem))
    size = 64 if stem == "imagenet" else 16
    done = flatten(network, torch.randn(1, 3, size, size), inputs=torch.randn(9, 3, size, size))
    kinds = [node.kind for node in done.flat_graph.nodes]
    blocks = DEPTHS[depth] + 1  # and the stem
    assert sum(kind.startswith("Conv2d") for kind in kinds) == blocks
    assert kinds.count("ReLU") == blocks
    # input, convolutions with their ReLUs, (max pooling,) average pooling, flatten, linear, output: no more
    assert len(kinds) == 2 * blocks + 5 + (stem == "imagenet")
    assert all(len(node.inputs) <= 1 for node in done.flat_graph.nodes), "a chain has no branches"
    assert done.refusals == ()
    certificate = done.certificate
    assert certificate.passed
    assert certificate.worst("float64") <= 1e-12
    assert certificate.worst("float32") <= 1e-5
    assert (certificate.classes_agreed, certificate.classes_compared) == (9, 9)
    assert {check.shape[0] for check in certificate.checks} == {1, 7}
    assert {check.weights for check in certificate.checks} == {"actual", "randomised"}
    assert any(check.shape[2] % 2 for check in certificate.checks)
    assert all(check.border is not None for check in certificate.checks)


def test_a_plain_resnet_keeps_its_branches_and_says_why():
    network = randomised(models.create("resnet18", width=0.0625, stem="cifar"))
    done = flatten(network, torch.randn(1, 3, 16, 16))
    assert {r.rule for r in done.rewrites} == {"fold_scale"}
    assert done.certificate.passed
    assert any("a wall" in r.reason for r in done.refusals)


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_networks_of_one_size_are_certified_at_that_size(name):
    network = randomised(models.create(name, width=0.0625))
    done = flatten(network, torch.randn(1, 3, 64, 64))
    assert done.certificate.passed


def test_the_certificate_sees_a_wrong_border():
    network = randomised(models.create("juggler_resnet18", width=0.0625, stem="cifar"))
    wide = trace(network)
    x = torch.randn(1, 3, 16, 16)
    flat = flatten(network, x).model
    wrong = copy.deepcopy(flat).double()
    conv = next(m for m in wrong.modules() if isinstance(m, nn.Conv2d) and m.padding == (1, 1))
    conv.padding_mode = "circular"
    conv._reversed_padding_repeated_twice = [1, 1, 1, 1]
    certificate = certify(wide, wrong, x, reflatten=lambda g: flatten(g, x).model.double())
    assert not certificate.passed
    first = next(c for c in certificate.checks if c.weights == "actual")
    assert first.border > 1e-3


def test_the_certificate_sees_a_disagreeing_class():
    network = randomised(models.create("juggler_resnet18", width=0.0625, stem="cifar"))
    done = flatten(network, torch.randn(1, 3, 16, 16), inputs=torch.randn(4, 3, 16, 16))
    less = dataclasses.replace(done.certificate, classes_agreed=3)
    assert done.certificate.passed
    assert not less.passed
    assert Certificate.from_json(done.certificate.to_json()) == done.certificate


def test_randomising_leaves_nothing_as_it_was():
    network = trace(models.create("juggler_resnet18", width=0.0625, stem="cifar").eval())
    drawn = randomise(network, torch.Generator().manual_seed(0))
    for (name, one), other in zip(network.state_dict().items(), drawn.state_dict().values(), strict=True):
        if one.is_floating_point():
            assert not torch.equal(one, other), name
    assert all(m.running_var.min() > 0 for m in drawn.modules() if isinstance(m, nn.BatchNorm2d))


def test_float64_networks_stay_float64():
    network = randomised(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))).double()
    done = flatten(network, torch.randn(1, 3, 5, 5).double())
    assert {p.dtype for p in done.model.parameters()} == {torch.float64}
    assert not done.model.training


def test_one_dimensional_networks_flatten_too():
    block = nn.Sequential(
        nn.Conv1d(3, 6, 1, padding=1), nn.BatchNorm1d(6), nn.Conv1d(6, 4, 3), nn.BatchNorm1d(4), nn.ReLU()
    )
    done = flatten(randomised(block), torch.randn(1, 3, 20))
    assert [n.kind for n in done.flat_graph.nodes] == ["placeholder", "Conv1d 3", "ReLU", "output"]
    assert done.certificate.passed


@pytest.mark.parametrize(("home", "old", "new"), OLD_NAMES)
def test_names_of_the_last_release_still_work_and_warn(home, old, new):
    with pytest.warns(DeprecationWarning, match=f"{old} is now .*{new}"):
        assert getattr(home, old) is getattr(home, new)


def test_attributes_of_the_last_release_still_work_and_warn():
    done = flatten(nn.Conv2d(3, 4, 1).eval(), torch.randn(1, 3, 5, 5))
    for old, new in (("wide_sketch", "wide_graph"), ("flat_sketch", "flat_graph")):
        with pytest.warns(DeprecationWarning, match=f"{old} is now Flattened.{new}"):
            assert getattr(done, old) is getattr(done, new)
