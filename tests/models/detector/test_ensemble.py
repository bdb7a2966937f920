"""Joined networks compute their mean, and stay what every other network here is: one chain that flattens."""

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from contracts_rules import randomised
from juggler.data import load_set
from juggler.errors import ConfigError
from juggler.models import Plan, create, load, origin, save, train_detector
from juggler.models.detector.ensemble import join, member_seeds
from juggler.models.layers.annealing import anneal
from juggler.models.networks.creation import takes
from juggler.models.train.recipe import Recipe
from juggler.transform import flatten

SHAPE = {"in_channels": 3, "image_size": (4, 5), "widths": [4], "blocks": [1], "strides": [1]}
LEVERS = {
    "branches": ["spatial", "pointwise", "horizontal", "vertical", "average"],
    "identity": "norm",
    "start": "identity",
    "expansion": 1.5,
}


def members(count: int, **options: object) -> list[nn.Module]:
    made = (create("juggler_tabular", **{**SHAPE, **options}) for _ in range(count))
    return [randomised(network, seed).double() for seed, network in enumerate(made)]


def worst(joined: nn.Module, parts: list[nn.Module], images: torch.Tensor) -> float:
    with torch.no_grad():
        mean = torch.stack([part(images) for part in parts]).mean(0)
        return float((joined(images) - mean).abs().max() / mean.abs().max())


@pytest.mark.parametrize("mix", [[], [2, 3, 4]])
@pytest.mark.parametrize("options", [{"head": "flatten"}, {"head": "pool"}, LEVERS])
@settings(max_examples=4, deadline=None)
@given(
    count=st.integers(1, 5),
    batch=st.integers(1, 3),
    stages=st.sampled_from([((4,), (1,), (1,)), ((2, 5), (1, 2), (1, 2))]),
)
def test_a_joined_network_gives_the_mean_of_its_members_logits(
    mix: list[int], options: dict[str, object], count: int, batch: int, stages: tuple[object, ...]
) -> None:
    widths, blocks, strides = stages
    parts = members(count, mix=mix, widths=widths, blocks=blocks, strides=strides, **options)
    before = copy.deepcopy([part.state_dict() for part in parts])
    joined = join(parts)
    images = torch.randn(batch, 3, 4, 5, dtype=torch.float64)
    assert not joined.training
    assert worst(joined, parts, images) < 1e-12
    for part, old in zip(parts, before, strict=True):
        assert all(torch.equal(old[key], value) for key, value in part.state_dict().items())


def test_its_probabilities_are_the_members_geometric_mean_and_not_their_mean() -> None:
    parts, images = members(3, mix=[2, 3, 4]), torch.randn(5, 3, 4, 5, dtype=torch.float64)
    with torch.no_grad():
        each = torch.stack([part(images).softmax(1) for part in parts])
        found = join(parts)(images).softmax(1)
    geometric = each.log().mean(0).exp()
    assert torch.allclose(found, geometric / geometric.sum(1, keepdim=True), atol=1e-12)
    assert not torch.allclose(found, each.mean(0), atol=1e-4)


def test_flat_it_is_a_chain_again_and_its_certificate_passes() -> None:
    joined = join(members(3, mix=[2, 3, 4])).float()
    images = torch.randn(8, 3, 4, 5)
    flattened = flatten(joined, images[:1].clone(), inputs=images)
    assert flattened.certificate.passed
    nodes = [node for node in flattened.model.graph.nodes if node.op not in ("placeholder", "output")]
    assert all(len(node.all_input_nodes) == len(node.users) == 1 for node in nodes)
    convolutions = [part for part in flattened.model.modules() if isinstance(part, nn.Conv2d)]
    assert [part.kernel_size for part in convolutions] == [(3, 3), (3, 3)]
    assert not any(isinstance(part, nn.BatchNorm2d) for part in flattened.model.modules())


def test_it_is_saved_and_loaded_as_any_other(tmp_path: Path) -> None:
    joined = join(members(2, mix=[2, 3, 4])).float()
    assert origin(joined)[1]["members"] == 2
    save(tmp_path / "joined.safetensors", joined)
    again, _ = load(tmp_path / "joined.safetensors")
    images = torch.randn(2, 3, 4, 5)
    with torch.no_grad():
        assert torch.equal(again(images), joined(images))


def test_refuses_what_cannot_be_joined() -> None:
    first, second = members(2)
    other = create("juggler_tabular", **{**SHAPE, "widths": [5]})
    annealed = [create("juggler_tabular", **SHAPE, activations=True) for _ in range(2)]
    anneal(annealed[0], 1.0)
    for networks, message in (
        ([], "there are none"),
        ([first, other], "widths"),
        ([join([first, second])] * 2, "one is of 2 members"),
        ([create("plain18", width=0.1)], "takes no members"),
        (annealed, "stand alike"),
    ):
        with pytest.raises(ConfigError, match=message):
            join(networks)
    with pytest.raises(ConfigError, match="members is 0"):
        create("juggler_tabular", members=0)


def test_networks_say_what_they_take() -> None:
    assert takes("juggler-tabular", "image_size")
    assert not takes("resnet34", "image_size")
    with pytest.raises(ConfigError, match="there is none"):
        takes("resnet35", "width")


@given(seed=st.integers(0, 2**40))
def test_members_have_seeds_of_their_own(seed: int) -> None:
    five = member_seeds(seed, 5)
    assert (five[0], len({*five})) == (seed, 5)
    assert member_seeds(seed, 3) == five[:3]
    assert not {*five[1:]} & {*member_seeds(seed + 1, 5)[1:]}
    Recipe(seed=max(five))


def test_the_protocol_trains_members_and_joins_them(tmp_path: Path) -> None:
    recipe = Recipe(
        epochs=2, batch_size=256, optimizer="adamw", learning_rate=0.01, warmup_epochs=0.5, accelerator="cpu"
    )
    options = {"mix": [4, 2, 3], "widths": [4], "blocks": [1], "strides": [1], "members": 2, "novelty": 3}
    plan = Plan(data="synthetic", options=options, recipe=recipe, choose_from=2)
    stages: list[str] = []
    detector = train_detector(
        plan, load_set("synthetic"), folder=tmp_path, progress=lambda value: stages.append(value.stage)
    )
    assert list(dict.fromkeys(stages))[-2:] == ["refit/member-1", "refit/member-2"]
    made = origin(detector.network)[1]
    assert (made["members"], made["novelty"]) == (2, 3.0)
    assert len(detector.provenance["folds"]) == 3
    assert all(fold["auc_held_out"] > 0.6 for fold in detector.provenance["folds"])
    for choose_from, wrong, message in ((1, 2, "choose_from is 1"), (2, 0, "members is 0")):
        bad = dataclasses.replace(plan, choose_from=choose_from, options={**options, "members": wrong})
        with pytest.raises(ConfigError, match=message):
            train_detector(bad, load_set("synthetic"))


def test_a_network_of_any_image_size_is_trained_by_the_same_protocol() -> None:
    recipe = Recipe(
        epochs=1, batch_size=256, optimizer="adamw", learning_rate=0.01, warmup_epochs=0.5, accelerator="cpu"
    )
    options = {"stem": "cifar", "widths": [4, 4, 4, 4]}
    plan = Plan(data="synthetic", network="resnet18", options=options, recipe=recipe)
    detector = train_detector(plan, load_set("synthetic"))
    assert origin(detector.network)[0] == "resnet18"
    assert all(0 < fold["auc_held_out"] <= 1 for fold in detector.provenance["folds"])
