"""Annealed activations: ReLU at first, nothing at the end, and their share is never lost on the way."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from contracts_rules import randomised
from juggler import models
from juggler.errors import ConfigError
from juggler.models.layers.annealing import AnnealedReLU, anneal, has_annealed, taken_as_linear
from juggler.models.train.optimization import make_optimizer
from juggler.models.train.run_state import History, RunState
from juggler.transform import flatten

SMALL = {"widths": (3, 4), "blocks": (1, 1), "strides": (1, 2), "image_size": (7, 6)}


def tabular(share: float | None) -> nn.Module:
    """Return a small network, the same for every share; `None` for one without annealed activations."""
    torch.manual_seed(0)
    network = models.create("juggler_tabular", **SMALL, activations=share is not None)
    if share is not None:
        anneal(network, share)
    return randomised(network)


def shares(network: nn.Module) -> list[float]:
    return [part.share for part in network.modules() if isinstance(part, AnnealedReLU)]


@settings(deadline=None)
@given(st.floats(0, 1), st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_it_is_a_mixture_of_relu_and_its_input(share: float, values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    torch.testing.assert_close(AnnealedReLU(share)(x), (1 - share) * F.relu(x) + share * x)


def test_the_ends_are_exact() -> None:
    x = torch.tensor([-torch.inf, -1.5, -0.0, 0.0, 2.0, torch.inf])
    assert torch.equal(AnnealedReLU()(x), nn.ReLU()(x))
    assert AnnealedReLU(1.0)(x) is x


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), True, "0.5", None])
def test_a_share_is_a_number_from_0_to_1(share: object) -> None:
    network = nn.Sequential(AnnealedReLU(0.25), AnnealedReLU(0.5))
    for change in (AnnealedReLU, lambda share: anneal(network, share)):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            change(share)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        network[0].share = share
    assert shares(network) == [0.25, 0.5]


def test_all_within_are_set_and_found() -> None:
    network = tabular(0.0)
    assert has_annealed(network)
    assert not has_annealed(tabular(None))
    anneal(network, 0.75)
    assert shares(network) == [0.75, 0.75]
    with pytest.raises(RuntimeError, match="within"), taken_as_linear(network):
        assert shares(network) == [1.0, 1.0]
        raise RuntimeError("within")
    assert shares(network) == [0.75, 0.75]
    anneal(nn.ReLU(), 0.5)  # nothing to set is no error


def test_a_checkpoint_keeps_the_share(tmp_path: Path) -> None:
    network, path = tabular(0.375), tmp_path / "net.safetensors"
    models.save(path, network)
    loaded, _ = models.load(path)
    assert shares(loaded) == [0.375, 0.375]
    x = torch.randn(3, 1, 7, 6)
    assert torch.equal(loaded(x), network(x))
    assert models.weights_sha256(loaded) == models.weights_sha256(network)
    anneal(loaded, 0.5)
    assert models.weights_sha256(loaded) != models.weights_sha256(network)
    with torch.device("meta"):
        assert {str(value.device) for value in AnnealedReLU(0.5).state_dict().values()} == {"cpu"}


def test_a_share_that_is_none_is_refused_when_it_is_read() -> None:
    activation = AnnealedReLU(0.25)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        activation.load_state_dict({"_extra_state": torch.tensor(2.0)})
    with pytest.raises(RuntimeError, match="Missing key"):
        activation.load_state_dict({})
    assert activation.share == 0.25


def test_the_state_of_a_run_keeps_the_share(tmp_path: Path) -> None:
    recipe, identity = models.Recipe(epochs=2), {"recipe": models.Recipe(epochs=2).to_dict()}
    saved, resumed = tabular(0.625), tabular(0.0)
    optimizers = [make_optimizer(network, recipe) for network in (saved, resumed)]
    RunState(tmp_path, saved, optimizers[0], None, identity).save(History())
    RunState(tmp_path, resumed, optimizers[1], None, identity).load()
    assert shares(resumed) == [0.625, 0.625]


def test_a_linear_end_is_the_graph_without_activations() -> None:
    x = torch.randn(2, 1, 7, 6)
    end, never = flatten(tabular(1.0), x), flatten(tabular(None), x)
    assert end.certificate.passed
    sketches = [[(n.name, n.kind, n.inputs, n.shape) for n in done.flat_graph.nodes] for done in (end, never)]
    assert sketches[0] == sketches[1]
    kept = [(key, value.shape) for key, value in never.model.state_dict().items()]
    assert [(key, value.shape) for key, value in end.model.state_dict().items()] == kept


def test_before_the_end_flattening_leaves_the_activations_alone() -> None:
    x = torch.randn(2, 1, 7, 6)
    half, end = flatten(tabular(0.5), x), flatten(tabular(1.0), x)
    assert half.certificate.passed
    kinds = [node.kind for node in half.flat_graph.nodes]
    assert kinds.count("leaky_relu") == 4, "two in each of two blocks"
    assert kinds.count("Conv2d 1x1") > [node.kind for node in end.flat_graph.nodes].count("Conv2d 1x1")
