"""What is held out is named once, and the names that come with the package are sorted by it."""

from __future__ import annotations

import pytest

from juggler.models import names
from juggler.predict.campaign.held_out import PAPER, UNSEEN, is_held_out


def test_every_test_network_is_held_out():
    assert len(set(UNSEEN.values())) == 20
    assert all(is_held_out(name) for name in (*PAPER, *UNSEEN.values()))


@pytest.mark.parametrize(
    "name", ["BN-VGG16", "mobilenet_wd2", "Inception_v4", "regnety002", "wide_resnet50_2"]
)
def test_kin_are_held_out_too(name):
    assert is_held_out(name)


def test_resnets_are_for_training():
    left = [name for name in names() if not is_held_out(name)]
    assert {"resnet18", "resnet50", "juggler_resnet50"} <= set(left)
    assert {"alexnet", "vgg16", "repvgg18"}.isdisjoint(left)
