"""How a network is trained: every choice of a run as one frozen, checked record, kept as TOML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from juggler.checks import (
    ABOVE_0,
    BELOW_1,
    FINITE,
    Range,
    bad_field,
    check_choices,
    check_ranges,
    check_types,
)
from juggler.lazy import renamed_keywords
from juggler.models.toml_file import check_fields, python_names, read_toml, to_toml

FILE_NAMES = {"batch_size": "batch", "learning_rate": "rate", "random_crop": "shift"}
"""What plans, checkpoints and results call a field, where Python has the field's own word since 0.2."""
_ASKED = "make a recipe"
_wrong = partial(bad_field, _ASKED)
_CHOICES = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("cosine", "one_cycle"),
    # No 16-mixed: its loss scaler is state that would have to survive a kill as well.
    "precision": ("32-true", "bf16-mixed"),
}
_RANGES = {
    "epochs": Range(1, FINITE, "a number at least 1"),
    "batch_size": Range(2, FINITE, "a number at least 2, for batch norm needs two"),
    "learning_rate": Range(ABOVE_0, FINITE, "a number above 0"),
    "momentum": Range(0, BELOW_1, "a number in [0, 1)"),
    "weight_decay": Range(0, FINITE, "a number at least 0"),
    "warmup_epochs": Range(0, FINITE, "a number at least 0"),
    "label_smoothing": Range(0, BELOW_1, "a number in [0, 1)"),
    "class_weight_power": Range(0, 1, "a number in [0, 1]"),
    "ema_decay": Range(0, BELOW_1, "a number in [0, 1)"),
    "mixup_alpha": Range(0, FINITE, "a number at least 0"),
    "feature_dropout": Range(0, BELOW_1, "a number in [0, 1)"),
    "tail_weight": Range(0, FINITE, "a number at least 0"),
    "random_crop": Range(0, 1024, "a number of pixels, at least 0"),
    "cutout": Range(0, 1024, "a number of pixels, at least 0"),
    "linear_by": Range(0, 1, "a number in [0, 1]"),
    "kernel_decay": Range(0, FINITE, "a number at least 0"),
    "distill_weight": Range(0, 1, "a number in [0, 1]"),
    "distill_temperature": Range(ABOVE_0, FINITE, "a number above 0"),
    "seed": Range(0, 2**63 - 1, "a number in [0, 2^63)"),
    "devices": Range(-1, FINITE, "a count of at least 1, or -1 for all"),
}


@renamed_keywords({old: new for new, old in FILE_NAMES.items()})
@dataclass(frozen=True)
class Recipe:
    """Say how to train; checked when made.

    Files that 0.1.0 wrote and those of today call three fields by the names in `FILE_NAMES`; a file that is
    read may use either.

    Attributes:
        epochs: passes over the training set; the schedule is laid out over all of them.
        batch_size: records a step, over all devices together.
        optimizer: `sgd` (with Nesterov momentum) or `adamw`.
        learning_rate: the highest.
        momentum: of `sgd`; for `adamw` its first beta.
        weight_decay: on weights of two or more dimensions; biases and batch norms have none.
        warmup_epochs: linear rise to `learning_rate`; for `one_cycle` 0 means 30 % of the run.
        schedule: `cosine` (warm-up, then half a cosine to 0) or `one_cycle` (a cosine rise from 1 / 25 of
            the learning rate, then half a cosine to 1 / 250,000 of it).
        label_smoothing: share of the target spread over all classes.
        class_weight_power: p of the loss weight n_c^-p of a record of a class with n_c records, scaled to
            mean 1 over the records; 0 weighs all alike, 1 all classes alike.
        ema_decay: decay a step of the running average of the weights; 0 for none. Where there is one it is
            what is validated and what comes out, its batch-norm statistics taken anew from the training set.
        mixup_alpha: parameter of mixup's beta distribution; 0 for none.
        feature_dropout: probability that a cell of a record image is set to 0, in all channels.
        tail_weight: weight of the error in the log-odds of an alarm (`juggler.models.train.objective`), for
            shares of each class as labels; the first class must be the normal one.
        flip: turn half of the pictures left to right.
        random_crop: move pictures by up to so many pixels each way, zeros coming in (He et al. 2016, section
            4.2).
        cutout: side in pixels of a square set to zero in each picture (DeVries and Taylor 2017); 0 for none.
        linear_by: share of the run after which annealed activations between the convolutions of a block are
            linear; they get there in a straight line. 0 where the network has none.
        kernel_decay: weight decay on the kernels that blocks of branches stand for, in place of
            `weight_decay` on the branches' own weights; 0 for none (Ding et al. 2021, RepVGG, whose code
            does so).
        distill_weight: share of the loss that is the distance from a teacher's answer (Hinton et al. 2015);
            0 without a teacher.
        distill_temperature: by which both sides' logits are divided for that.
        channels_last: keep pictures and weights with channels innermost, which some devices run faster.
        seed: of everything drawn while training.
        precision: `32-true` or `bf16-mixed`.
        accelerator: lightning-fabric's: `auto`, `cpu`, `gpu`, `mps`.
        devices: number of devices; -1 for all there are.
        strategy: lightning-fabric's: `auto`, `ddp`, `ddp_spawn`.

    Raises:
        ConfigError: a field has a value that cannot work.
    """

    epochs: int = 30
    batch_size: int = 256
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    warmup_epochs: float = 1.0
    schedule: str = "cosine"
    label_smoothing: float = 0.0
    class_weight_power: float = 0.0
    ema_decay: float = 0.0
    mixup_alpha: float = 0.0
    feature_dropout: float = 0.0
    tail_weight: float = 0.0
    flip: bool = False
    random_crop: int = 0
    cutout: int = 0
    linear_by: float = 0.0
    kernel_decay: float = 0.0
    distill_weight: float = 0.0
    distill_temperature: float = 4.0
    channels_last: bool = False
    seed: int = 0
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        check_types(self, _ASKED)
        check_ranges(self, _RANGES, _ASKED)
        check_choices(self, _CHOICES, _ASKED)
        if self.devices == 0:
            raise _wrong("devices", 0, "Give a count of at least 1, or -1 for all")
        if self.tail_weight > 0 and self.mixup_alpha > 0:
            raise _wrong("mixup_alpha", self.mixup_alpha, "Give 0: it does not go together with tail_weight")
        if self.warmup_epochs >= self.epochs and self.epochs > 1:
            raise _wrong("warmup_epochs", self.warmup_epochs, f"Give fewer than the {self.epochs} epochs")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain numbers and strings, by the names that files have for them."""
        return {FILE_NAMES.get(name, name): value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the recipe") -> Recipe:
        """Build a recipe from some or all of its fields.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        fields = python_names(values, FILE_NAMES, source)
        check_fields(fields, [field.name for field in dataclasses.fields(cls)], source)
        return cls(**fields)

    def changed(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe with some of its fields changed; they may bear the names of files.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        return Recipe.from_dict({**dataclasses.asdict(self), **python_names(values, FILE_NAMES, "changes")})

    def to_toml(self) -> str:
        """Return the fields as TOML, one a line."""
        return to_toml(self.to_dict())

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """Read a recipe from a TOML file; fields that it leaves out have their defaults.

        Raises:
            ConfigError: the file cannot be read, is not TOML, or has a wrong field.
        """
        return cls.from_dict(read_toml(path, "the recipe"), f"the recipe {path}")
