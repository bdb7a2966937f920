"""Novelty raises the alarm where features are unlike normal ones, in a chain that flattens like any other."""

from pathlib import Path

import pytest
import torch
from torch import nn

from contracts_rules import randomised
from juggler.errors import ConfigError, DataError
from juggler.models import create, load, save
from juggler.models.detector.ensemble import join
from juggler.models.detector.ood_score import with_ood_score
from juggler.transform import flatten

SHAPE = {
    "in_channels": 3,
    "image_size": (4, 5),
    "widths": [4],
    "blocks": [1],
    "strides": [1],
    "mix": [2, 2, 3],
}


def network(seed: int = 0, **options: object) -> nn.Module:
    return randomised(create("juggler_tabular", **SHAPE, **options), seed)


def images(count: int, scale: float = 0.3) -> torch.Tensor:
    return scale * torch.randn(count, 3, 4, 5, generator=torch.Generator().manual_seed(count))


def log_odds(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        logits = module(x)
    return torch.logsumexp(logits[:, 1:], 1) - logits[:, 0]


def test_only_what_no_normal_record_has_raises_the_alarm() -> None:
    plain, normals = network(), images(2000)
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    guarded = with_ood_score(plain, normals, 2.0)
    raised = log_odds(guarded, normals) - log_odds(plain, normals)
    assert float(raised.min()) > -1e-3
    # Of 1,000 normal records one has a novelty above 1, which is worth a weight.
    assert float((raised > 2.0).float().mean()) == pytest.approx(0.001, abs=6e-4)
    strange = images(200, scale=3.0)
    assert float((log_odds(guarded, strange) - log_odds(plain, strange)).median()) > 10
    with torch.no_grad():
        attacks = [module(strange)[:, 1:] for module in (plain, guarded)]
    assert torch.allclose(*attacks, rtol=1e-4, atol=1e-3)
    assert all(torch.equal(before[key], value) for key, value in plain.state_dict().items())


def test_it_doubles_with_its_weight_and_is_nothing_without() -> None:
    plain, normals, strange = network(), images(2000), images(50, scale=3.0)
    none, one, two = (
        log_odds(with_ood_score(plain, normals, w), strange) - log_odds(plain, strange) for w in (0, 1, 2)
    )
    assert float(none.abs().max()) < 1e-2
    assert torch.allclose(two, 2 * one, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("members", [1, 3])
def test_flat_it_is_a_chain_and_it_can_be_kept(members: int, tmp_path: Path) -> None:
    joined = join([network(seed) for seed in range(members)])
    guarded, x = with_ood_score(joined, images(2000), 1.0), images(8)
    flattened = flatten(guarded, x[:1].clone(), inputs=x)
    assert flattened.certificate.passed
    nodes = [node for node in flattened.model.graph.nodes if node.op not in ("placeholder", "output")]
    assert all(len(node.all_input_nodes) == len(node.users) == 1 for node in nodes)
    save(tmp_path / "guarded.safetensors", guarded)
    again, _ = load(tmp_path / "guarded.safetensors")
    with torch.no_grad():
        assert torch.equal(again(x), guarded(x))


def test_refuses_what_it_cannot_be_added_to() -> None:
    guarded = with_ood_score(network(), images(2000), 1.0)
    for wrong in (guarded, create("plain18", width=0.1)):
        with pytest.raises(ConfigError, match="takes none, or has it"):
            with_ood_score(wrong, images(2000), 1.0)
    with pytest.raises(DataError, match="5 normal records"):
        with_ood_score(network(), images(5), 1.0)
