"""Gradient norms by depth while a network trains: of its convolutions, at a few steps of every epoch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from juggler.files import write_atomically
from juggler.models.train.optimization import make_optimizer
from juggler.models.train.recipe import Recipe
from juggler.nouns import Progress, ReportProgress

FILE = "gradients.jsonl"
LOOKS_AN_EPOCH = 8
DIGITS = 4
"""Significant ones of a norm in a result."""
Look = Mapping[str, Any]
"""Norms after one step, a value a convolution, in the order of the optimizer."""


class GradientLog:
    """Write the norms of a run's gradients to its folder while it trains.

    The optimizer says which weights it moves, and the run's progress how far it is; so the loop that trains
    needs to know nothing of this. A run that goes on after a kill goes on with its log.

    Args:
        folder: of the run.
        report: passed on what the run reports.
    """

    def __init__(self, folder: Path, report: ReportProgress | None = None) -> None:
        self._path, self._report = folder / FILE, report
        self._weights: list[Tensor] = []
        lines = [json.dumps(look) for look in read_looks(self._path)]
        # A kill may have left half a line, which the next one must not be joined to.
        write_atomically(self._path, "".join(f"{line}\n" for line in lines).encode())

    def __enter__(self) -> GradientLog:
        self._hook = register_optimizer_step_post_hook(self._see)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hook.remove()
        self._weights = []

    def _see(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._weights = convolutions(optimizer)

    def tell(self, progress: Progress) -> None:
        """Take what training tells after a step; the gradients are those of that step still."""
        epoch, step, steps = (int(progress.detail[name]) for name in ("epoch", "step", "steps"))
        if progress.stage == "train" and is_due(step, steps):
            gradients = [weight.grad for weight in self._weights if weight.grad is not None]
            look = {
                "epoch": epoch,
                "step": step,
                "gradient_norm": [float(gradient.norm()) for gradient in gradients],
                "weight_norm": [float(weight.detach().norm()) for weight in self._weights],
            }
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(look)}\n")
        if self._report is not None:
            self._report(progress)


def is_due(step: int, steps: int) -> bool:
    """Say whether a step, counted from 1, is one of those evenly spread over an epoch of so many."""
    return step * LOOKS_AN_EPOCH // steps > (step - 1) * LOOKS_AN_EPOCH // steps


def convolutions(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the kernels `[C', C / groups, kh, kw]` that an optimizer moves."""
    return [weight for group in optimizer.param_groups for weight in group["params"] if weight.ndim == 4]


def read_looks(path: Path) -> list[Look]:
    """Return what a log holds, in the order of its steps; of steps that were done twice the later."""
    looks: dict[tuple[int, int], Look] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                look = json.loads(line)
            except json.JSONDecodeError:  # cut off by a kill
                continue
            looks[look["epoch"], look["step"]] = look
    return [looks[place] for place in sorted(looks)]


def gradients_by_depth(folder: Path, network: nn.Module, recipe: Recipe) -> dict[str, Any]:
    """Return a run's norms, the mean of each epoch's, by the convolutions of its network.

    Args:
        folder: of the run.
        network: that was trained.
        recipe: by which it was.

    Returns:
        `layers`, names in order of depth; `gradient_norm` and `weight_norm`, `[layers][epochs]`.
    """
    names = {id(weight): name.removesuffix(".weight") for name, weight in network.named_parameters()}
    layers = [names[id(weight)] for weight in convolutions(make_optimizer(network, recipe))]
    looks = read_looks(folder / FILE)
    epochs = sorted({look["epoch"] for look in looks})
    norms = {
        kind: [
            [
                float(f"{fmean(look[kind][i] for look in looks if look['epoch'] == epoch):.{DIGITS}g}")
                for epoch in epochs
            ]
            for i in range(len(layers))
        ]
        for kind in ("gradient_norm", "weight_norm")
    }
    return {"layers": layers, "looks_an_epoch": LOOKS_AN_EPOCH, **norms}
