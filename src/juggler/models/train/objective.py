"""What a training step minimises: a loss on a batch that was changed at random, and the penalties."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F

from juggler.models.branches import Branched
from juggler.models.branches.equivalent import equivalent_kernel
from juggler.models.train.device_data import DeviceData, augmentation, mix
from juggler.models.train.recipe import Recipe

TAIL_LIMIT = 9.0
"""Log-odds beyond which it no longer matters how sure the teacher is: a chance of 1 in 8,000."""


def entropy(logits: Tensor, target: Tensor, smoothing: float = 0.0) -> Tensor:
    """Return the cross entropy of each record, `[n]`.

    Args:
        logits: `[n, classes]`.
        target: class numbers `[n]`, or a share of each class `[n, classes]`.
        smoothing: share of the target that is spread over all classes.
    """
    return F.cross_entropy(logits.float(), target, reduction="none", label_smoothing=smoothing)


def distance(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """Return how far the answers of each record are from a teacher's, `[n]`.

    The divergence of Kullback and Leibler of both sides' probabilities at a temperature T, times T^2 so that
    its gradient does not shrink with T (Hinton et al. 2015, section 2).

    Args:
        logits: the network's, `[n, classes]`.
        answers: the teacher's logits, `[n, classes]`.
        temperature: T; at 4 the unlikely classes still say something.
    """
    ours = F.log_softmax(logits.float() / temperature, dim=1)
    theirs = F.log_softmax(answers.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)


def tail_error(logits: Tensor, shares: Tensor) -> Tensor:
    """Return how far the log-odds of an alarm are from the teacher's, `[n]`: squared to 1, then linear.

    An alarm threshold lies where a sure teacher gives 1 - p(normal) of a thousandth. The cross entropy does
    not feel an order of magnitude there, but the alarm depends on it. Where the teacher's log-odds lie
    beyond `TAIL_LIMIT`, going further in its direction is no error.

    Args:
        logits: `[n, classes]`, the first class the normal one.
        shares: the teacher's probabilities, `[n, classes]`.
    """
    log_odds = torch.logsumexp(logits[:, 1:].float(), 1) - logits[:, 0].float()
    # Summed, not 1 - p(normal): in float32 that would lose all but a few bits.
    attack, normal = shares[:, 1:].sum(1), shares[:, 0]
    tiny = torch.finfo(torch.float32).tiny
    goal = (attack.clamp(min=tiny).log() - normal.clamp(min=tiny).log()).clamp(-TAIL_LIMIT, TAIL_LIMIT)
    difference = log_odds - goal
    beyond = (goal.abs() >= TAIL_LIMIT) & (difference * goal > 0)
    difference = difference.masked_fill(beyond, 0.0)
    return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none")


def drop_cells(images: Tensor, probability: float) -> Tensor:
    """Set cells of images `[n, C, H, W]` to 0 at random, in all channels of the cell at once.

    What is kept is not scaled up: a cell's value has a meaning, and 0 is that of an absent one.
    """
    keep = torch.rand(len(images), 1, *images.shape[2:], device=images.device) >= probability
    return images * keep


Side = tuple[Tensor, Tensor, float]
"""Labels and weights of one side of a mixture, and its share of the loss."""


class Objective:
    """Compute the loss of a step.

    Args:
        recipe: how to train.
        data: the records.
        module: the network itself, whose kernels may be penalised.
        teacher: the network whose answers are to be met; None for none.
        fabric: for the precision of the teacher's pass.
    """

    def __init__(
        self, recipe: Recipe, data: DeviceData, module: nn.Module, teacher: nn.Module | None, fabric: Fabric
    ) -> None:
        self._recipe, self._data, self._fabric, self._teacher = recipe, data, fabric, teacher
        size = data.pictures(torch.zeros(1, dtype=torch.int64)).shape[-2:]
        self._augment = augmentation(recipe, (size[0], size[1]))
        self._blocks = branched(module) if recipe.kernel_decay > 0 else []

    def loss(self, network: nn.Module, rows: Tensor, draw: np.random.Generator, step: int) -> Tensor:
        """Return the loss on some records, `[]`, at a step, counted from 0 over the whole run.

        What is random comes from torch's generators and `draw`.
        """
        x, sides = self._changed(rows, draw)
        logits = network(x)
        loss = torch.stack([share * self._label_loss(logits, labels, w) for labels, w, share in sides]).sum()
        if self._teacher is not None:
            share = self._recipe.distill_weight
            loss = (1 - share) * loss + share * self._distillation_loss(self._teacher, logits, x, sides)
        due = in_turn(self._blocks, step)
        return loss + self._recipe.kernel_decay * TURNS * kernel_penalty(due) if due else loss

    def _changed(self, rows: Tensor, draw: np.random.Generator) -> tuple[Tensor, list[Side]]:
        """Return the batch as the network is to see it, and what its labels are then."""
        recipe = self._recipe
        x, (labels, weights) = self._augment(self._data.pictures(rows)), self._data.targets(rows)
        if recipe.feature_dropout > 0:
            x = drop_cells(x, recipe.feature_dropout)
        if recipe.mixup_alpha == 0:
            return x, [(labels, weights, 1.0)]
        share = float(draw.beta(recipe.mixup_alpha, recipe.mixup_alpha))
        partner = torch.randperm(len(rows), device=x.device)
        return mix(x, partner, share), [
            (labels, weights, share),
            (labels[partner], weights[partner], 1 - share),
        ]

    def _label_loss(self, logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        """Return the loss by the labels."""
        losses = entropy(logits, labels, self._recipe.label_smoothing)
        if self._recipe.tail_weight > 0:
            losses = losses + self._recipe.tail_weight * tail_error(logits, labels)
        return (losses * weights).mean()

    def _distillation_loss(self, teacher: nn.Module, logits: Tensor, x: Tensor, sides: list[Side]) -> Tensor:
        """Return the loss by the teacher, who sees what the network sees."""
        with torch.no_grad(), self._fabric.autocast():
            answers = teacher(x)
        weights = torch.stack([share * weights for _, weights, share in sides]).sum(0)
        return (distance(logits, answers, self._recipe.distill_temperature) * weights).mean()


# Decay of every branch punishes a kernel for how it is written down: the same kernel, spread over two
# branches, costs half as much. Decay of the equivalent kernel does not know the branches, and what is
# deployed has small weights, which int8 likes. Source: the code of Ding et al., "RepVGG" (CVPR 2021). To
# find a kernel costs a good part of a pass where maps are small, so the blocks take turns, each at every
# fourth step with four times the weight: Karras et al. (StyleGAN 2, CVPR 2020), 3.1, lazy regularisation.
TURNS = 4
"""Steps over which all blocks are decayed once."""


def in_turn(blocks: Sequence[Branched], step: int) -> Sequence[Branched]:
    """Return the blocks whose turn it is at a step; they count `TURNS` times."""
    return blocks[step % TURNS :: TURNS]


def branched(module: nn.Module) -> list[Branched]:
    """Return the blocks of branches of a network, the outermost ones."""
    if isinstance(module, Branched):
        return [module]
    return [block for child in module.children() for block in branched(child)]


def kernel_penalty(blocks: Sequence[Branched]) -> Tensor:
    """Return half the sum of squares of the blocks' equivalent kernels, `[]`, differentiable."""
    return torch.stack([equivalent_kernel(block).square().sum() for block in blocks]).sum() / 2
