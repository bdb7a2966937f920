"""The optimizer, its rate as a function of the step alone, and the average of the weights on the way."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from juggler.models.train.device_data import DeviceData
from juggler.models.train.objective import branched
from juggler.models.train.recipe import Recipe

REFRESH_ROWS = 16_384


class WeightAverage:
    """Keep an exponential moving average of a network's parameters.

    The decay starts low and rises to the one given, `min(decay, (1 + t) / (10 + t))` after t steps, or a
    short run would end near the weights that it began with.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: weight.detach().clone() for name, weight in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 0 over the whole run."""
        decay = min(self.decay, (1 + step) / (10 + step))
        average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        average(list(self.weights.values()), [weight.detach() for weight in module.parameters()], None)

    @torch.no_grad()
    def network(self, module: nn.Module, data: DeviceData, batch: int) -> nn.Module:
        """Return a copy of the module with the averaged weights and statistics that belong to them."""
        averaged = copy.deepcopy(module)
        for name, weight in averaged.named_parameters():
            weight.copy_(self.weights[name])
        refresh_statistics(averaged, data, batch)
        return averaged.eval()


@torch.no_grad()
def refresh_statistics(module: nn.Module, data: DeviceData, batch: int) -> None:
    """Take batch-norm statistics anew, in place, as the mean over batches of the data's pictures.

    Statistics gathered under other weights do not fit averaged ones. Only the batch norms are put in
    training mode, so dropout stays out. At most `REFRESH_ROWS` rows are used, evenly spread. The result
    depends on the weights and the images alone.
    """
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    if not norms:
        return
    module.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the plain mean over all batches
        norm.train()
    rows = torch.linspace(0, len(data) - 1, min(len(data), REFRESH_ROWS), dtype=torch.float64).long()
    for part in rows.tensor_split(-(-len(rows) // batch)):
        module(data.pictures(part))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


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
