"""A running average of the weights, and batch-norm statistics that belong to it."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from juggler.models.train.device_data import DeviceData

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
