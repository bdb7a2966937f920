"""What is to be trained on what, checked before any work begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from juggler.data import Standard
from juggler.digest import tensors_sha256, weights_sha256
from juggler.errors import ConfigError, DataError
from juggler.models.layers.annealing import has_annealed
from juggler.models.networks.creation import origin
from juggler.models.train.device_data import standardise
from juggler.models.train.objective import branched
from juggler.models.train.recipe import Recipe
from juggler.nouns import ReportProgress

Predict = Callable[[Tensor | NDArray[np.float32] | NDArray[np.uint8]], NDArray[np.float32]]
"""Class probabilities `[n, classes]` of images `[n, C, H, W]`, by the network as it stands."""

Validate = Callable[[Predict], dict[str, float]]
"""Scores the network after an epoch."""


@dataclass(frozen=True)
class Task:
    """A checked request to train.

    Attributes:
        images: float32 or uint8 `[n, C, H, W]`.
        labels: class numbers, int64 `[n]`, or a share of each class, float32 `[n, classes]`.
        weights: float32 `[n]`, what each record's loss is multiplied by; mean 1.
        recipe: how to train.
        standard: how uint8 pictures become numbers; None for float32 images.
        teacher: whose answers are to be met; None for none.
        folder: where the run's state and log are kept; `None` keeps neither.
        validate: called after every epoch, where given.
        progress: called as steps are done, where given.
        last_epoch: the epoch to stop after, from 1.
        identity: what a resumed run must share with the one that was interrupted.
        process: identity of the process that asked.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor
    recipe: Recipe
    standard: Standard | None
    teacher: nn.Module | None
    folder: Path | None
    validate: Validate | None
    progress: ReportProgress | None
    last_epoch: int
    identity: dict[str, Any]
    process: int


def checked_records(
    images: Tensor | NDArray[np.float32] | NDArray[np.uint8],
    labels: Tensor | NDArray[np.int64] | NDArray[np.float32],
    sample_weight: Tensor | NDArray[np.float32] | None,
    standard: Standard | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, labels and sample weights as tensors on the CPU; uint8 images stay uint8.

    Raises:
        DataError: they are empty, too few, of a wrong shape or type, or not finite.
    """
    pixels, targets = torch.as_tensor(images).cpu(), torch.as_tensor(labels).cpu()
    if pixels.ndim != 4 or not (pixels.is_floating_point() or pixels.dtype == torch.uint8):
        raise _bad(f"images are {_sketch(pixels)}", "Give floating-point or uint8 images [n, C, H, W]")
    if (pixels.dtype == torch.uint8) != (standard is not None):
        raise _bad(
            f"images are {_sketch(pixels)} and there is {'no' if standard is None else 'a'} standard",
            "Give one with uint8 images, such as Standard.fit(training pictures), and none with others",
        )
    soft = targets.ndim == 2 and targets.is_floating_point()
    if not soft and (targets.ndim != 1 or targets.is_floating_point() or targets.dtype == torch.bool):
        raise _bad(
            f"labels are {_sketch(targets)}",
            "Give whole numbers [n], one class number a record, or shares of each class [n, classes]",
        )
    if len(pixels) != len(targets):
        raise _bad(f"there are {len(pixels)} images and {len(targets)} labels", "Give one label an image")
    if len(pixels) < 2:
        raise _bad(f"there are {len(pixels)} records", "Give at least 2, for batch norm needs two")
    pixels = pixels if pixels.dtype == torch.uint8 else pixels.to(torch.float32)
    if pixels.is_floating_point() and not bool(torch.isfinite(pixels).all()):
        row = int((~torch.isfinite(pixels)).flatten(1).any(1).nonzero()[0])
        raise _bad(f"image {row} holds a NaN or an infinity", "Encode or drop that record")
    weights = (
        torch.ones(len(pixels)) if sample_weight is None else torch.as_tensor(sample_weight).cpu().float()
    )
    if soft:
        _check_shares(targets)
    if weights.shape != targets.shape[:1]:
        raise _bad(f"sample weights are {_sketch(weights)}", f"Give [{len(pixels)}], one a record")
    if not bool((torch.isfinite(weights) & (weights >= 0)).all()) or float(weights.sum()) <= 0:
        raise _bad("a sample weight is negative or not finite, or all are 0", "Give weights of at least 0")
    return pixels, targets.to(torch.float32 if soft else torch.int64), weights


def check_network(
    module: nn.Module, images: Tensor, labels: Tensor, standard: Standard | None = None
) -> None:
    """Run two records through the network, its mode and statistics untouched.

    Raises:
        ConfigError: it does not take such images, or does not return logits `[n, classes]`.
        DataError: a label is not among its classes.
    """
    device = next((weight.device for weight in module.parameters()), None)
    if device is None or not any(weight.requires_grad for weight in module.parameters()):
        raise ConfigError("train the network", "it has no weights to train", "Set requires_grad on some")
    training = {name: part.training for name, part in module.named_modules()}
    request = f"train on images {_sketch(images)}"
    try:
        with torch.no_grad():
            logits = module.eval()(standardise(images[:2].to(device), standard))
    except RuntimeError as error:
        raise ConfigError(
            request, f"the network does not take them: {error}", "Make it with matching in_channels and size"
        ) from error
    finally:
        for name, part in module.named_modules():
            part.training = training[name]
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 2:
        raise ConfigError(request, "the network returns no logits [n, classes]", "End it with a linear layer")
    classes = logits.shape[1]
    if labels.ndim == 2:
        if labels.shape[1] != classes:
            raise _bad(
                f"labels are shares of {labels.shape[1]} classes, the network has {classes}",
                f"Make the network with classes={labels.shape[1]}",
            )
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise _bad(
            f"labels run from {low} to {high}, the network has {classes} classes",
            f"Number the classes from 0 to {classes - 1}, or make the network with classes={high + 1}",
        )


def check_levers(module: nn.Module, recipe: Recipe, teacher: nn.Module | None) -> None:
    """Refuse a recipe whose levers have nothing to act on, and a network that would never become linear.

    Raises:
        ConfigError: names the field.
    """
    annealed = has_annealed(module)
    if annealed and recipe.linear_by == 0:
        raise ConfigError(
            "train the network",
            "it has annealed activations between its convolutions, and linear_by is 0",
            "Give the share of the run after which they are linear, such as 0.8, or make it without them",
        )
    levers = (
        ("linear_by", recipe.linear_by > 0 and not annealed, "Make the network with activations=True"),
        ("kernel_decay", recipe.kernel_decay > 0 and not branched(module), "Give weight_decay alone"),
        ("distill_weight", recipe.distill_weight > 0 and teacher is None, "Give a teacher"),
    )
    for name, idle, remedy in levers:
        if idle:
            raise ConfigError(
                "train the network",
                f"{name} is {getattr(recipe, name):g}, and there is nothing that it could act on",
                f"{remedy}, or 0",
            )
    if teacher is not None and recipe.distill_weight == 0:
        raise ConfigError(
            "train with a teacher", "distill_weight is 0", "Give its share of the loss, such as 0.5"
        )


def loss_weights(labels: Tensor, power: float, sample_weight: Tensor) -> Tensor:
    """Return what each record's loss is multiplied by: `n_c^-power` times its own weight, mean 1.

    `n_c` counts records, so that a weight given twice does not count twice; where labels are shares, a
    record counts for its likeliest class. Records of weight 0 stay at 0.
    """
    labels = labels.argmax(1) if labels.ndim == 2 else labels
    records = torch.bincount(labels).to(torch.float64)
    weights = sample_weight.to(torch.float64) * records[labels].pow(-power)
    return (weights / weights.mean()).to(torch.float32)


def steps_an_epoch(records: int, batch: int, world: int) -> int:
    """Return the steps of an epoch: every record is in one, and each rank has at least two in each.

    Raises:
        ConfigError: there are more ranks than that allows.
    """
    if min(records, batch) < 2 * world:
        raise ConfigError(
            f"train on {world} devices",
            f"there are {records} records in batches of {batch}",
            f"Give at least {2 * world} of both, or fewer devices",
        )
    return min(-(-records // batch), records // (2 * world))


def identity(module: nn.Module, recipe: Recipe, teacher: nn.Module | None, *data: Tensor) -> dict[str, Any]:
    """Return what tells one run from another: recipe, network, shapes of its weights, digest of the data."""
    try:
        name, options = origin(module)
    except ConfigError:  # a network of the user's own: its class and shapes must do
        name, options = type(module).__qualname__, {}
    shapes = [f"{key} {_sketch(tensor)}" for key, tensor in module.state_dict().items()]
    facts = {
        "recipe": recipe.to_dict(),
        "network": {"name": name, **options},
        "weights": {"shapes": hashlib.sha256("\n".join(shapes).encode()).hexdigest()},
        "data": {"sha256": tensors_sha256({str(i): tensor for i, tensor in enumerate(data)})},
    }
    if teacher is not None:
        facts["teacher"] = {"sha256": weights_sha256(teacher)}
    # Through JSON and back, so that a tuple given and a list read are the same.
    return cast(dict[str, Any], json.loads(json.dumps(facts, default=str)))


def _check_shares(shares: Tensor) -> None:
    """Raise a DataError where a row of `[n, classes]` is not shares that sum to 1."""
    wrong = ~((shares >= 0).all(1) & ((shares.sum(1) - 1).abs() <= 1e-3))  # true of a NaN, too
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise _bad(f"the labels of record {row} are no shares of a whole", "Give probabilities, not logits")


def _bad(fault: str, remedy: str) -> DataError:
    return DataError("train on these records", fault, remedy)


def _sketch(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
