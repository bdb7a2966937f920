"""What a step minimises: weights by class, the tail of the alarm's log-odds, cells that are hidden."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from juggler import models
from juggler.models import Recipe, fit
from juggler.models.train.objective import drop_cells, tail_error
from juggler.models.train.task import loss_weights

RECIPE = Recipe(epochs=3, batch_size=32, learning_rate=0.05, warmup_epochs=0.5, accelerator="cpu")


def test_loss_weights_are_what_the_recipe_says() -> None:
    labels, ones = torch.tensor([0] * 8 + [1] * 2), torch.ones(10)
    assert torch.equal(loss_weights(labels, 0.0, ones), ones)
    alike = loss_weights(labels, 1.0, ones)
    assert alike[:8].sum().item() == pytest.approx(alike[8:].sum().item()) == pytest.approx(5.0)
    half = loss_weights(labels, 0.5, ones)
    assert (half[9] / half[0]).item() == pytest.approx(2.0)
    assert half.mean().item() == pytest.approx(1.0)
    given = loss_weights(labels, 0.0, torch.tensor([1.0] * 8 + [0.0, 4.0]))
    assert given[8] == 0
    assert (given[9] / given[0]).item() == pytest.approx(4.0)


def test_drops_whole_cells_and_keeps_the_rest_as_it_was() -> None:
    torch.manual_seed(0)
    images = torch.rand(50, 3, 6, 6) + 1
    dropped = drop_cells(images, 0.25)
    gone = dropped == 0
    assert torch.equal(gone.all(1), gone.any(1))
    assert gone[:, 0].float().mean().item() == pytest.approx(0.25, abs=0.04)
    assert torch.equal(dropped[~gone], images[~gone])


def test_tail_error_by_hand() -> None:
    shares = torch.tensor([[0.5, 0.25, 0.25], [1 - 1e-3, 1e-3, 0], [1.0, 0, 0], [1.0, 0, 0], [0, 0.5, 0.5]])
    logits = torch.tensor([[1.0, 0, 0], [3.0, 0, -99], [12.0, 0, -99], [5.0, 0, -99], [0, 7.0, 7.0]])
    away = np.array([np.log(2) - 1, -3 - np.log(1e-3 / (1 - 1e-3)), 0, 9 - 5, np.log(2) + 7 - 9])
    expected = np.where(np.abs(away) < 1, away**2 / 2, np.abs(away) - 0.5)
    np.testing.assert_allclose(tail_error(logits, shares).numpy(), expected, rtol=1e-4, atol=1e-6)


def test_the_tail_is_followed_where_cross_entropy_does_not_feel_it() -> None:
    # Two kinds of records, both all but surely normal; the teacher's chances differ by a factor of 100.
    draw = torch.Generator().manual_seed(0)
    kind = torch.arange(200) % 2
    images = torch.randn(200, 1, 5, 5, generator=draw) * 0.1
    images[:, 0, 2, 2] += kind
    attack = torch.where(kind == 1, 1e-2, 1e-4)
    shares = torch.stack([1 - attack, attack / 2, attack / 2], dim=1)
    recipe = dataclasses.replace(RECIPE, epochs=60, optimizer="adamw", weight_decay=0.0)
    errors = []
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Flatten(), nn.Linear(25, 3))
        fit(module, images, shares, dataclasses.replace(recipe, tail_weight=weight))
        found = models.probabilities(module, images)
        odds = np.log(found[:, 1:].sum(1)) - np.log(found[:, 0])
        errors.append(float(np.abs(odds - torch.logit(attack).numpy()).mean()))
    assert errors[1] < 0.5 < errors[0]
