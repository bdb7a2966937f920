"""What a training step minimises, record by record, and what it hides from the network meanwhile."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

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
