"""One run of training on one rank: its epochs and steps, and its state on the way.

Everything is drawn from (seed, epoch, rank). Within an epoch the generators' states are kept with the
weights, so that a run goes on at the step where its state was last written.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from juggler.errors import ConfigError, JugglerError
from juggler.models.layers.annealing import anneal
from juggler.models.train.device_data import DeviceData, probabilities
from juggler.models.train.objective import Objective
from juggler.models.train.optimization import WeightAverage, linear_share, make_optimizer, rate_at
from juggler.models.train.run_state import EpochRecord, History, RngState, RunState, Unfinished, mixed
from juggler.models.train.task import Task, steps_an_epoch
from juggler.nouns import Progress

# Reading a loss makes a GPU wait for itself; on a CPU it costs nothing.
STEPS_BETWEEN_LOOKS = 20
SECONDS_BETWEEN_STATES = 60.0


class DivergenceError(JugglerError):
    """The training loss became infinite or not a number."""


class Run:
    """One run on one rank."""

    def __init__(self, fabric: Fabric, module: nn.Module, task: Task) -> None:
        self.fabric, self.task, self.recipe = fabric, task, task.recipe
        self.raw = module
        self.steps = steps_an_epoch(len(task.images), task.recipe.batch_size, fabric.world_size)
        self.data = DeviceData(
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
        self.objective = Objective(task.recipe, self.data, module, teacher, fabric)
        plain = make_optimizer(self.raw, task.recipe)
        self.wrapped, self.optimizer = fabric.setup(self.raw, plain)
        decay = task.recipe.ema_decay
        self.average = WeightAverage(self.raw, decay) if decay > 0 else None
        self.state: RunState | None = None
        self.history, self.unfinished = History(), None
        if task.folder is not None:
            self.state = RunState(task.folder, self.raw, plain, self.average, task.identity)
            self.history, self.unfinished = self.state.load()
        self.began = self.saved = time.monotonic()
        if len(self.history.epochs) > task.last_epoch:
            raise ConfigError(
                f"stop after epoch {task.last_epoch}",
                f"the run in {task.folder} has done {len(self.history.epochs)}",
                "Give a later stop_epoch or another folder",
            )

    def through(self) -> History:
        """Do the epochs that are left and put the final weights in place."""
        for epoch in range(len(self.history.epochs) + 1, self.task.last_epoch + 1):
            before = 0.0 if self.unfinished is None else self.unfinished.duration_s
            self.began = time.monotonic() - before
            loss, rate = self._epoch(epoch)
            scores = self._scores(epoch)
            record = EpochRecord(epoch, loss, rate, time.monotonic() - self.began, scores)
            self.history = replace(self.history, epochs=(*self.history.epochs, record))
            self._save()
            self.fabric.barrier()
        if self.average is not None:
            self.raw.load_state_dict(self._network().state_dict())
        return self.history

    def _save(self, unfinished: Unfinished | None = None) -> None:
        if self.state is not None and self.fabric.global_rank == 0:
            self.state.save(self.history, unfinished)
        self.saved = time.monotonic()

    def _epoch(self, epoch: int) -> tuple[float, float]:
        """Do one epoch, or what is left of it; return its mean loss and last learning rate."""
        rank, world = self.fabric.global_rank, self.fabric.world_size
        rng = RngState(self.recipe.seed, epoch, rank, self.fabric.device)
        order = torch.Generator().manual_seed(mixed(self.recipe.seed, epoch, 0))  # the same on all ranks
        shuffled = torch.randperm(len(self.data), generator=order).to(self.fabric.device)
        losses = torch.zeros(self.steps, device=self.fabric.device)
        look = 1 if self.fabric.device.type == "cpu" else STEPS_BETWEEN_LOOKS
        self.wrapped.train()
        rate, seen = 0.0, self._taken_up(losses, rng)
        for index, rows in [*enumerate(shuffled.tensor_split(self.steps))][seen:]:
            done = (epoch - 1) * self.steps + index
            rate = rate_at(done, self.steps, self.recipe)
            if self.recipe.linear_by > 0:
                anneal(self.raw, linear_share(done, self.steps, self.recipe))
            share = rows[: len(rows) // world * world][rank::world]
            losses[index] = self._step(share, rate, rng.numpy, done)
            if self.average is not None:
                self.average.update(self.raw, done)
            if (index + 1) % look == 0 or index + 1 == self.steps:
                last = self._look(losses, seen, index + 1, epoch)
                seen = index + 1
                self._keep(seen, losses, rng)
                if self.task.progress is not None and rank == 0:
                    self.task.progress(self._progress(epoch, seen, last))
        return float(losses.mean()), rate

    def _progress(self, epoch: int, step: int, loss: float) -> Progress:
        detail = {
            "epoch": epoch,
            "epochs": self.recipe.epochs,
            "step": step,
            "steps": self.steps,
            "loss": loss,
        }
        done = (epoch - 1) * self.steps + step
        return Progress("train", done, self.recipe.epochs * self.steps, "steps", detail)

    def _taken_up(self, losses: Tensor, rng: RngState) -> int:
        """Bring an epoch to the step at which the run was cut off; return how many steps are done."""
        unfinished, self.unfinished = self.unfinished, None
        if unfinished is None:
            return 0
        losses[: unfinished.steps] = unfinished.losses.to(losses)
        rng.restore(unfinished.generators, unfinished.numpy_state)
        return unfinished.steps

    def _keep(self, steps: int, losses: Tensor, rng: RngState) -> None:
        """Write the state within an epoch, now and then; other ranks' rng are not known here."""
        due = time.monotonic() - self.saved >= SECONDS_BETWEEN_STATES
        if self.state is not None and due and steps < self.steps and self.fabric.world_size == 1:
            duration_s = time.monotonic() - self.began
            self._save(Unfinished(steps, losses[:steps], duration_s, *rng.state()))

    def _step(self, rows: Tensor, rate: float, draw: np.random.Generator, step: int) -> Tensor:
        """Take one step on some rows; return its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        loss = self.objective.loss(self.wrapped, rows, draw, step)
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
                f"Lower the rate ({self.recipe.learning_rate:g}) or lengthen warmup_epochs "
                f"({self.recipe.warmup_epochs:g}); with bf16-mixed, try 32-true",
            )
        return float(losses[end - 1])

    def _network(self) -> nn.Module:
        """Return the network as it would come out now, in evaluation mode."""
        if self.average is None:
            return self.raw.eval()
        return self.average.network(self.raw, self.data, self.recipe.batch_size)

    def _scores(self, epoch: int) -> dict[str, float]:
        """Validate on the first rank and tell the others."""
        scores: dict[str, float] = {}
        if self.task.validate is not None and self.fabric.global_rank == 0:
            network = self._network()
            raw_scores = self.task.validate(
                lambda images: probabilities(network, images, standard=self.task.standard)
            )
            scores = {name: float(score) for name, score in raw_scores.items()}
        scores = self.fabric.broadcast(scores)
        wrong = [name for name, score in scores.items() if not np.isfinite(score)]
        if wrong:
            raise ConfigError(
                f"validate after epoch {epoch}", f"no number came back for {wrong}", "Mend `validate`"
            )
        return scores
