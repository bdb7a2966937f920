"""Records on the device that trains on them: all of them where they fit, batch by batch where they do not."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from juggler.data import Standard
from juggler.errors import ConfigError, Unavailable
from juggler.extras import install_command
from juggler.models.train.recipe import Recipe

_SHARE_OF_MEMORY = 0.5  # of what a device has free; the rest is for weights and activations


class DeviceData:
    """Hand out records by their numbers.

    Args:
        images: float32, or uint8 with a standard, `[n, C, H, W]`; where they do not fit into the device's
            memory they stay where they are, such as in a file that is mapped.
        labels: `[n]` or `[n, classes]`.
        weights: `[n]`.
        standard: how uint8 pictures become numbers around 0.
        device: where the training goes on.
        channels_last: whether batches are laid out with channels innermost.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        weights: Tensor,
        standard: Standard | None,
        device: torch.device,
        *,
        channels_last: bool = False,
    ) -> None:
        self._images = images.to(device) if _fits(images, device) else images
        self._labels, self._weights = labels.to(device), weights.to(device)
        self._standard, self._device = standard, device
        self._layout = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return len(self._images)

    def pictures(self, rows: Tensor) -> Tensor:
        """Return float32 pictures `[rows, C, H, W]` on the device."""
        images = self._images[rows.to(self._images.device)].to(self._device)
        return standardise(images, self._standard).contiguous(memory_format=self._layout)

    def targets(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels `[rows]` or `[rows, classes]`, and weights `[rows]`."""
        return self._labels[rows], self._weights[rows]


def standardise(images: Tensor, standard: Standard | None) -> Tensor:
    """Return pictures as float32: `(x / 255 - mean) / sd` of uint8 ones, others as they are."""
    if standard is None or images.dtype != torch.uint8:
        return images.to(torch.float32)
    mean = torch.tensor(standard.mean, device=images.device).view(1, -1, 1, 1)
    sd = torch.tensor(standard.sd, device=images.device).view(1, -1, 1, 1)
    return images.to(torch.float32).sub_(255 * mean).mul_(1 / (255 * sd))


def _fits(images: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= _SHARE_OF_MEMORY * free


def probabilities(
    module: nn.Module,
    images: Tensor | NDArray[np.float32] | NDArray[np.uint8],
    batch: int = 1024,
    *,
    standard: Standard | None = None,
) -> NDArray[np.float32]:
    """Return softmax of the network's logits for images `[n, C, H, W]` as float32 `[n, classes]`.

    uint8 images are made numbers by the standard.

    The network runs in evaluation mode, where it is, and is left in the mode in which it was.
    """
    inputs = torch.as_tensor(images)
    device = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
    was_training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.inference_mode():
            parts = [
                torch.softmax(module(standardise(x.to(device), standard)).float(), dim=1).cpu()
                for x in torch.split(inputs, batch)
            ]
    finally:
        for part in was_training:
            part.training = True
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)


def augmentation(recipe: Recipe, size: tuple[int, int]) -> nn.Module:
    """Return the recipe's flip, random crop and cutout, in this order, for pictures `[n, C, H, W]`.

    The draws come from torch's global generators. Where the recipe has none of these it is the identity.

    Args:
        recipe: how to train.
        size: height and width of the pictures.

    Raises:
        ConfigError: a crop or a square is as large as the pictures.
        Unavailable: kornia is not installed.
    """
    if not (recipe.flip or recipe.random_crop or recipe.cutout):
        return nn.Identity()
    for name in ("random_crop", "cutout"):
        if getattr(recipe, name) >= min(size):
            raise ConfigError(
                f"train on pictures of {size[0]} x {size[1]}",
                f"{name} is {getattr(recipe, name)} pixels",
                f"Give fewer than {min(size)}",
            )
    kornia = _kornia()
    steps: list[nn.Module] = []
    if recipe.flip:
        steps.append(kornia.RandomHorizontalFlip(p=0.5))
    if recipe.random_crop:
        steps.append(kornia.RandomCrop(size, padding=recipe.random_crop, cropping_mode="slice", p=1.0))
    if recipe.cutout:
        share = recipe.cutout**2 / (size[0] * size[1])
        steps.append(kornia.RandomErasing(scale=(share, share), ratio=(1.0, 1.0), value=0.0, p=1.0))
    return nn.Sequential(*steps)


def mix(x: Tensor, partner: Tensor, share: float) -> Tensor:
    """Return each picture's share `kept` and the rest of another's (mixup, Zhang et al. 2018, Eq. 1)."""
    return x.lerp(x[partner], 1 - share)


def _kornia() -> Any:
    try:
        return importlib.import_module("kornia.augmentation")
    except ImportError as error:
        raise Unavailable(
            "flip, crop or cut pictures while training",
            f"kornia cannot be imported ({error})",
            f"{install_command('train')}, or take flip, random_crop and cutout out of the recipe",
        ) from error
