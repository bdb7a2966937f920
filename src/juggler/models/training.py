"""The one training loop of the house, on lightning-fabric.

A run draws everything from (seed, epoch, rank) and keeps its whole state after every epoch, so a run that
was killed and started again ends at the weights of an unbroken one, bit for bit, given the same machine,
releases and number of threads. The data live as tensors on the device: record images are small.
"""

from __future__ import annotations

import copy
import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from juggler.data import Standard
from juggler.errors import ConfigError, JugglerError
from juggler.models.annealing import anneal
from juggler.models.averaging import WeightAverage
from juggler.models.checkpoint import read_tensors, write_tensors
from juggler.models.feed import Feed
from juggler.models.history import EpochRecord, History
from juggler.models.inference import probabilities
from juggler.models.objective import Objective
from juggler.models.optimization import linear_share, make_optimizer, rate_at
from juggler.models.recipe import Recipe
from juggler.models.run_state import load_state, save_state
from juggler.models.task import (
    Progress,
    Task,
    Validate,
    check_levers,
    check_network,
    checked_records,
    identity,
    loss_weights,
    steps_an_epoch,
)

# Reading a loss makes a GPU wait for itself; on a CPU it costs nothing.
STEPS_BETWEEN_LOOKS = 20


class DivergenceError(JugglerError):
    """The training loss became infinite or not a number."""


def fit(
    module: nn.Module,
    images: Tensor | NDArray[np.float32] | NDArray[np.uint8],
    labels: Tensor | NDArray[np.int64] | NDArray[np.float32],
    recipe: Recipe,
    *,
    standard: Standard | None = None,
    teacher: nn.Module | None = None,
    folder: str | Path | None = None,
    validate: Validate | None = None,
    progress: Progress | None = None,
    sample_weight: Tensor | NDArray[np.float32] | None = None,
    stop_epoch: int | None = None,
) -> History:
    """Train a network in place; afterwards it is on the CPU and in evaluation mode.

    Args:
        module: returns logits `[n, classes]`.
        images: float32 `[n, C, H, W]`, or uint8 with a standard; uint8 ones may be a mapped file.
        labels: class numbers, int64 `[n]`, or a share of each class, float32 `[n, classes]`.
        recipe: how to train.
        standard: how uint8 pictures become numbers around 0, fitted on training pictures.
        teacher: a trained network on the same classes, whose answers share in the loss
            (`recipe.distill_weight`); it is not changed.
        folder: keeps the run's state (`training.safetensors`) and log (`log.csv`) after every epoch; where
            it holds the state of the same run, training goes on from there.
        validate: given a function from images to probabilities, returns scores, after every epoch.
        progress: told epoch, epochs, step, steps and loss.
        sample_weight: float32 `[n]`, multiplies each record's loss.
        stop_epoch: stop after this epoch, the schedule still laid out over `recipe.epochs`.

    Raises:
        DataError: the records cannot be trained on; before any work.
        ConfigError: network, recipe, machine or an earlier run in `folder` do not fit; before any work.
        DivergenceError: the loss is no longer a number.
        ArtefactError: the state in `folder` is damaged.
    """
    pixels, targets, given = checked_records(images, labels, sample_weight, standard)
    check_network(module, pixels, targets, standard)
    check_levers(module, recipe, teacher)
    if teacher is not None:
        check_network(teacher, pixels, targets, standard)
    last_epoch = recipe.epochs if stop_epoch is None else stop_epoch
    if not 1 <= last_epoch <= recipe.epochs:
        raise ConfigError(
            "train", f"stop_epoch is {stop_epoch}", f"Give 1 to {recipe.epochs} (recipe.epochs)"
        )
    if recipe.tail_weight > 0 and targets.ndim == 1:
        raise ConfigError(
            "train",
            f"tail_weight is {recipe.tail_weight:g} and the labels are class numbers",
            "Give a share of each class as labels, such as a teacher's probabilities, or tail_weight 0",
        )
    task = Task(
        images=pixels,
        labels=targets,
        weights=loss_weights(targets, recipe.class_weight_power, given),
        recipe=recipe,
        standard=standard,
        teacher=None if teacher is None else copy.deepcopy(teacher).eval().requires_grad_(False),
        folder=None if folder is None else Path(folder),
        validate=validate,
        progress=progress,
        last_epoch=last_epoch,
        identity={} if folder is None else identity(module, recipe, teacher, pixels, targets, given),
        process=os.getpid(),
    )
    with tempfile.TemporaryDirectory() as handover:
        # The module goes as an argument of its own: so fabric gives each spawned process its own copy.
        epochs = _fabric(recipe).launch(partial(_train, task, Path(handover)), module)
        if any(Path(handover).iterdir()):  # trained in processes of its own, such as ddp_spawn's
            module.load_state_dict(read_tensors(Path(handover) / "weights", "handover")[0])
    module.cpu().eval()
    return History.from_list(epochs)


def _fabric(recipe: Recipe) -> Fabric:
    try:
        return Fabric(
            accelerator=recipe.accelerator,
            devices=recipe.devices,
            strategy=recipe.strategy,
            precision=recipe.precision,
        )
    except (ValueError, RuntimeError, ImportError) as error:
        raise ConfigError(
            f"train on {recipe.accelerator!r} with {recipe.devices} devices, strategy {recipe.strategy!r}",
            str(error).rstrip("."),
            "Choose others in the recipe: accelerator, devices, strategy, precision",
        ) from error


def _train(task: Task, handover: Path, fabric: Fabric, module: nn.Module) -> list[dict[str, Any]]:
    """Train in this process, one of as many as there are ranks."""
    cuda = [fabric.device] if fabric.device.type == "cuda" else []
    deterministic = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with torch.random.fork_rng(devices=cuda), deterministic:
        history = _Run(fabric, module, task).through()
    if os.getpid() != task.process and fabric.global_rank == 0:
        write_tensors(handover / "weights", "handover", module.state_dict(), {})
    return (
        history.to_list()
    )  # plain, for fabric rebuilds what comes back from a process, and cannot if frozen


class _Run:
    """One run on one rank."""

    def __init__(self, fabric: Fabric, module: nn.Module, task: Task) -> None:
        self.fabric, self.task, self.recipe = fabric, task, task.recipe
        self.raw = module
        self.steps = steps_an_epoch(len(task.images), task.recipe.batch, fabric.world_size)
        self.feed = Feed(
            task.images,
            task.labels,
            task.weights,
            task.standard,
            fabric.device,
            channels_last=task.recipe.channels_last,
        )
        if task.recipe.channels_last:
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        teacher = None if task.teacher is None else task.teacher.to(fabric.device)
        self.objective = Objective(task.recipe, self.feed, module, teacher, fabric)
        plain = make_optimizer(self.raw, task.recipe)
        self.wrapped, self.optimizer = fabric.setup(self.raw, plain)
        decay = task.recipe.ema_decay
        self.average = WeightAverage(self.raw, decay) if decay > 0 else None
        self.history = History()
        if task.folder is not None:
            self.history = load_state(task.folder, self.raw, plain, self.average, identity=task.identity)
        if len(self.history.epochs) > task.last_epoch:
            raise ConfigError(
                f"stop after epoch {task.last_epoch}",
                f"the run in {task.folder} has done {len(self.history.epochs)}",
                "Give a later stop_epoch or another folder",
            )
        self.plain = plain

    def through(self) -> History:
        """Do the epochs that are left and put the final weights in place."""
        for epoch in range(len(self.history.epochs) + 1, self.task.last_epoch + 1):
            began = time.monotonic()
            loss, rate = self._epoch(epoch)
            scores = self._scores(epoch)
            record = EpochRecord(epoch, loss, rate, time.monotonic() - began, scores)
            self.history = replace(self.history, epochs=(*self.history.epochs, record))
            if self.task.folder is not None and self.fabric.global_rank == 0:
                self._save(self.task.folder)
            self.fabric.barrier()
        if self.average is not None:
            self.raw.load_state_dict(self._network().state_dict())
        return self.history

    def _save(self, folder: Path) -> None:
        parts = (self.raw, self.plain, self.average)
        save_state(folder, *parts, history=self.history, identity=self.task.identity)

    def _epoch(self, epoch: int) -> tuple[float, float]:
        """Do one epoch; return its mean loss and last learning rate."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        torch.manual_seed(_seed(self.recipe.seed, epoch, 1 + rank))
        draw = np.random.default_rng(_seed(self.recipe.seed, epoch, 1 + rank))
        order = torch.Generator().manual_seed(_seed(self.recipe.seed, epoch, 0))  # the same on all ranks
        shuffled = torch.randperm(len(self.feed), generator=order).to(self.fabric.device)
        losses = torch.zeros(self.steps, device=self.fabric.device)
        look = 1 if self.fabric.device.type == "cpu" else STEPS_BETWEEN_LOOKS
        self.wrapped.train()
        rate, seen = 0.0, 0
        for index, rows in enumerate(shuffled.tensor_split(self.steps)):
            done = (epoch - 1) * self.steps + index
            rate = rate_at(done, self.steps, self.recipe)
            if self.recipe.linear_by > 0:
                anneal(self.raw, linear_share(done, self.steps, self.recipe))
            share = rows[: len(rows) // world * world][rank::world]
            losses[index] = self._step(share, rate, draw)
            if self.average is not None:
                self.average.update(self.raw, done)
            if (index + 1) % look == 0 or index + 1 == self.steps:
                last = self._look(losses, seen, index + 1, epoch)
                seen = index + 1
                if self.task.progress is not None and rank == 0:
                    self.task.progress(epoch, self.recipe.epochs, seen, self.steps, last)
        return float(losses.mean()), rate

    def _step(self, rows: Tensor, rate: float, draw: np.random.Generator) -> Tensor:
        """Take one step on some rows; return its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = self.objective.loss(self.wrapped, rows, draw)
        self.fabric.backward(loss)
        self.optimizer.step()
        return loss.detach()

    def _look(self, losses: Tensor, first: int, end: int, epoch: int) -> float:
        """Average new losses over the ranks, in place, and return the last; every rank sees the same.

        Raises:
            DivergenceError: one of them is not finite.
        """
        losses[first:end] = self.fabric.all_reduce(losses[first:end], reduce_op="mean")
        wrong = (~torch.isfinite(losses[first:end])).nonzero()
        if len(wrong):
            step = first + int(wrong[0])
            raise DivergenceError(
                f"train {type(self.raw).__name__}",
                f"the loss is {float(losses[step])} at epoch {epoch}, step {step + 1} of {self.steps}",
                f"Lower the rate ({self.recipe.rate:g}) or lengthen warmup_epochs "
                f"({self.recipe.warmup_epochs:g}); with bf16-mixed, try 32-true",
            )
        return float(losses[end - 1])

    def _network(self) -> nn.Module:
        """Return the network as it would come out now, in evaluation mode."""
        if self.average is None:
            return self.raw.eval()
        return self.average.network(self.raw, self.feed, self.recipe.batch)

    def _scores(self, epoch: int) -> dict[str, float]:
        """Validate on the first rank and tell the others."""
        scores: dict[str, float] = {}
        if self.task.validate is not None and self.fabric.global_rank == 0:
            network = self._network()
            found = self.task.validate(
                lambda images: probabilities(network, images, standard=self.task.standard)
            )
            scores = {name: float(score) for name, score in found.items()}
        scores = self.fabric.broadcast(scores)
        wrong = [name for name, score in scores.items() if not np.isfinite(score)]
        if wrong:
            raise ConfigError(
                f"validate after epoch {epoch}", f"no number came back for {wrong}", "Mend `validate`"
            )
        return scores


def _seed(*parts: int) -> int:
    """Mix numbers into one seed; near numbers give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
