"""The one training loop of the house, on lightning-fabric.

A run keeps its whole state after every epoch, and every minute within one, so a run that was killed and
started again ends at the weights of an unbroken one, bit for bit, given the same machine, releases and
number of threads. The data live as tensors on the device: record images are small.
"""

from __future__ import annotations

import copy
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn

from juggler.data import Standard
from juggler.errors import ConfigError
from juggler.models.networks.checkpoint import read_tensors, write_tensors
from juggler.models.train.recipe import Recipe
from juggler.models.train.run import Run
from juggler.models.train.run_state import History
from juggler.models.train.task import (
    Task,
    Validate,
    check_levers,
    check_network,
    checked_records,
    identity,
    loss_weights,
)
from juggler.nouns import ReportProgress


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
    progress: ReportProgress | None = None,
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
        folder: keeps the run's state (`training.safetensors`) every minute, and its log (`log.csv`) after
            every epoch; where it holds the state of the same run, training goes on from there.
        validate: given a function from images to probabilities, returns scores, after every epoch.
        progress: told the steps done, and in detail epoch, epochs, step, steps (all from 1) and loss.
        sample_weight: float32 `[n]`, multiplies each record's loss.
        stop_epoch: stop after this epoch, the schedule still laid out over `recipe.epochs`.

    Raises:
        DataError: the records cannot be trained on; before any work.
        ConfigError: network, recipe, machine or an earlier run in `folder` do not fit; before any work.
        DivergenceError: the loss is no longer a number.
        ArtefactError: the state in `folder` is damaged.
    """
    pixels, targets, record_weights = checked_records(images, labels, sample_weight, standard)
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
        weights=loss_weights(targets, recipe.class_weight_power, record_weights),
        recipe=recipe,
        standard=standard,
        teacher=None if teacher is None else copy.deepcopy(teacher).eval().requires_grad_(False),
        folder=None if folder is None else Path(folder),
        validate=validate,
        progress=progress,
        last_epoch=last_epoch,
        identity={} if folder is None else identity(module, recipe, teacher, pixels, targets, record_weights),
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
        history = Run(fabric, module, task).through()
    if os.getpid() != task.process and fabric.global_rank == 0:
        write_tensors(handover / "weights", "handover", module.state_dict(), {})
    return (
        history.to_list()
    )  # plain, for fabric rebuilds what comes back from a process, and cannot if frozen
