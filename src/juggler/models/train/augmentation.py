"""What pictures go through at random while a network trains, a batch at a time and on its device."""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor, nn

from juggler.errors import ConfigError, Unavailable
from juggler.extras import install_command
from juggler.models.train.recipe import Recipe


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
