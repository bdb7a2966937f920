"""The optimizer, and its rate as a function of the step alone: a resumed run needs no scheduler's state."""

from __future__ import annotations

import math

import torch
from torch import nn

from juggler.models.train.kernel_decay import branched
from juggler.models.train.recipe import Recipe

ONE_CYCLE_RISE = 0.3
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = 1 / 250_000


def make_optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the optimizer; weight decay acts on convolution and linear weights alone.

    Where the kernels of blocks of branches are decayed as a whole, their own weights are not.
    """
    blocks = branched(module) if recipe.kernel_decay > 0 else []
    spared = {id(weight) for block in blocks for weight in block.parameters()}
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    decayed = [w for w in trained if w.ndim > 1 and id(w) not in spared]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": [w for w in trained if w.ndim <= 1 or id(w) in spared], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999))
    return torch.optim.SGD(
        groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0
    )


def rate_at(step: int, steps_per_epoch: int, recipe: Recipe) -> float:
    """Return the learning rate of a step, counted from 0 over the whole run."""
    total = recipe.epochs * steps_per_epoch
    if recipe.schedule == "one_cycle":
        rise = recipe.warmup_epochs * steps_per_epoch or ONE_CYCLE_RISE * total
        if step < rise:
            return recipe.learning_rate * _cosine(step / rise, ONE_CYCLE_START, 1.0)
        return recipe.learning_rate * _cosine((step - rise) / max(total - rise, 1), 1.0, ONE_CYCLE_END)
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    return recipe.learning_rate * _cosine((step - warmup) / max(total - warmup, 1), 1.0, 0.0)


def linear_share(step: int, steps_per_epoch: int, recipe: Recipe) -> float:
    """Return how linear annealed activations are at a step, from 0 over the whole run: 0 to 1."""
    steps = recipe.linear_by * recipe.epochs * steps_per_epoch
    return min(1.0, (step + 1) / steps)


def _cosine(share: float, start: float, end: float) -> float:
    """Go from start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2
