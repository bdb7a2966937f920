"""Networks that other people wrote, small ones of many families: followed, flattened, certified."""

import dataclasses

import pytest

from benchmarks.claims import others_networks as others
from juggler.transform import flatten

SMALL = {
    "nin_cifar10": 32,
    "resnet20_cifar10": 32,
    "efficientnet_b0": 64,
    "hf_resnet": 64,
    "hf_regnet": 64,
    "hf_mobilenetv1": 64,
    "repvgg_resnet18": 64,
    "dbb_resnet18": 64,
}


@pytest.mark.parametrize(("name", "side"), SMALL.items())
def test_a_strangers_network_is_flattened_and_certified(name, side):
    network = dataclasses.replace(others.named([name])[0], shape=(3, side, side))
    done = flatten(network.drawn(), network.example())
    assert done.certificate.passed
    assert done.certificate.worst("float64") <= 1e-10
    assert all(refusal.reason and refusal.remedy for refusal in done.refusals)


def test_an_attention_network_is_read_from_torch_export():
    swin = others.hf(
        "Swin",
        "Swin",
        (3, 32, 32),
        image_size=32,
        embed_dim=16,
        depths=[1, 2],
        num_heads=[1, 2],
        window_size=4,
    )
    done = flatten(swin.drawn(), swin.example())
    assert done.certificate.passed
    assert done.certificate.worst("float64") <= 1e-10


def test_there_are_enough_networks_and_families():
    every = others.networks()
    assert len(every) >= 40
    assert len({one.family for one in every}) >= 20
    assert len({one.name for one in every}) == len(every)
    assert {one.name for one in others.named(["Inception"])} == {"bninception", "inceptionv3", "inceptionv4"}
    with pytest.raises(KeyError, match="no network or family"):
        others.named(["resnet18", "resnot"])
