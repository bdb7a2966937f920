"""Counterfeits: records that no one sent, to teach a detector doubt about what it never met.

A counterfeit takes some cells of one normal record's image and the rest of another's: each cell is an
ordinary one, their combination is not. Trained towards half normal and half attack, they pull the score of
strange combinations away from zero, where a network that saw only normal records and known attacks puts
them. The idea is outlier exposure (Hendrycks et al. 2019) with outliers made as CutMix makes images (Yun et
al. 2019); shares and weight were chosen on held-out attack types.
"""

from __future__ import annotations

import torch
from torch import Tensor

COUNTERFEIT_WEIGHT = 0.5  # of a counterfeit's loss, against a mean of 1 for a record's
_ATTACK_SHARE = 0.5
_LEAST_SWAPPED, _MOST_SWAPPED = 0.1, 0.5


def forge(normals: Tensor, count: int) -> Tensor:
    """Return `count` counterfeits of normal record images `[n, C, H, W]`; none where there are no normals.

    Drawn by torch's global generator. Between a tenth and a half of the cells come from the other record.
    """
    if not len(normals):
        return normals
    first, second = (torch.randint(len(normals), (count,), device=normals.device) for _ in range(2))
    share = torch.rand(count, 1, 1, 1, device=normals.device).mul(_MOST_SWAPPED).clamp(min=_LEAST_SWAPPED)
    swapped = torch.rand(count, 1, *normals.shape[2:], device=normals.device) < share
    return torch.where(swapped, normals[second], normals[first])


def counterfeit_target(count: int, classes: int, device: torch.device) -> Tensor:
    """Return what a counterfeit is, `[count, classes]`: as likely normal (class 0) as any attack together."""
    target = torch.full((count, classes), _ATTACK_SHARE / (classes - 1), device=device)
    target[:, 0] = 1 - _ATTACK_SHARE
    return target
