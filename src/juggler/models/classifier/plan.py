"""How a classifier of pictures is made: data, network, recipe and teacher, in one TOML file.

    data = "cifar10"
    validation = 5000

    [network]
    name = "juggler_resnet18"
    stem = "cifar"

    [recipe]
    epochs = 120

    [teacher.network]
    name = "resnet18"
    stem = "cifar"

    [teacher.recipe]
    epochs = 120

Without a `[teacher]` the network learns from the labels alone. A teacher is trained on the same pictures,
by a recipe of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from juggler.checks import bad_field
from juggler.models.toml_file import check_fields, read_toml, shipped_plan, table, to_toml
from juggler.models.train.recipe import Recipe
from juggler.registry import normalise

_wrong = partial(bad_field, "make a plan")
_FIELDS = ("subset", "validation", "size", "split_seed")


@dataclass(frozen=True)
class Learner:
    """A network and how it is trained.

    Attributes:
        network: name of the network.
        options: its keyword options; the channels and the classes come from the data.
        recipe: how it is trained.
    """

    network: str = "juggler_resnet18"
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)

    def to_dict(self) -> dict[str, Any]:
        """Return the learner as plain values, in the layout of its TOML."""
        return {"network": {"name": self.network, **self.options}, "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> Learner:
        """Build a learner from the tables `network` and `recipe`.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        check_fields(values, ("network", "recipe"), source)
        network = table(values, "network", source)
        return cls(
            network=normalise(str(network.pop("name", cls.network))),
            options=network,
            recipe=Recipe.from_dict(table(values, "recipe", source), source),
        )


@dataclass(frozen=True)
class ClassifierPlan:
    """Say how to make a classifier; checked when made.

    Attributes:
        data: name of the data set.
        subset: pictures of the training part to use, evenly over the classes; 0 for all.
        validation: pictures of these that are held out to choose by; below 1, their share.
        size: side in pixels that an image folder's pictures are brought to; 0 for the set's own.
        split_seed: by which subset and validation are drawn: the same for all that is to be compared.
        learner: the network and its recipe.
        teacher: a network whose answers share in the loss; None for none.

    Raises:
        ConfigError: a field has a value that cannot work.
    """

    data: str = "cifar10"
    subset: int = 0
    validation: float = 5000
    size: int = 0
    split_seed: int = 0
    learner: Learner = field(default_factory=Learner)
    teacher: Learner | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", normalise(self.data))
        for name in _FIELDS:
            value = getattr(self, name)
            is_share = name == "validation" and isinstance(value, float) and 0.0 < value < 1.0
            if isinstance(value, bool) or not (is_share or (isinstance(value, int) and value >= 0)):
                remedy = "Give a whole number of at least 0"
                raise _wrong(name, value, f"{remedy}, or a share below 1" if name == "validation" else remedy)
        if 0 < self.subset <= self.validation:
            raise _wrong("validation", self.validation, f"Give fewer than the {self.subset} of the subset")
        weight = self.learner.recipe.distill_weight
        if (self.teacher is None) != (weight == 0):
            raise _wrong(
                "distill_weight",
                weight,
                "Add a [teacher]"
                if self.teacher is None
                else "Give the teacher's share of the loss, such as 0.5",
            )
        if self.teacher is not None and self.teacher.recipe.distill_weight > 0:
            raise _wrong("the teacher's distill_weight", self.teacher.recipe.distill_weight, "Give 0")

    def held_out(self, count: int) -> int:
        """Return how many of so many training pictures are held out to choose by."""
        if self.validation < 1:
            return round(self.validation * (self.subset or count))
        return int(self.validation)

    @property
    def teacher_plan(self) -> ClassifierPlan | None:
        """Return the plan by which the teacher is made: on the same pictures; None where there is none."""
        return None if self.teacher is None else dataclasses.replace(self, learner=self.teacher, teacher=None)

    @property
    def digest(self) -> str:
        """Return a short name that only this plan has."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, in the layout of its TOML."""
        plain = {name: getattr(self, name) for name in ("data", *_FIELDS)}
        taught = {} if self.teacher is None else {"teacher": self.teacher.to_dict()}
        return {**plain, **self.learner.to_dict(), **taught}

    def to_toml(self) -> str:
        """Return the plan as TOML text that `ClassifierPlan.read` reads back."""
        return to_toml(self.to_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the plan") -> ClassifierPlan:
        """Build a plan from some or all of its fields.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        names = ("data", *_FIELDS)
        check_fields(values, (*names, "network", "recipe", "teacher"), source)
        learner = {name: values[name] for name in ("network", "recipe") if name in values}
        taught = Learner.from_dict(table(values, "teacher", source), source) if "teacher" in values else None
        return cls(
            **{name: values[name] for name in names if name in values},
            learner=Learner.from_dict(learner, source),
            teacher=taught,
        )

    @classmethod
    def read(cls, path: str | Path) -> ClassifierPlan:
        """Read a plan from a TOML file.

        Raises:
            ConfigError: the file cannot be read, is not TOML, or has a wrong field.
        """
        return cls.from_dict(read_toml(path, "the plan"), f"the plan {path}")

    @classmethod
    def shipped(cls, data: str) -> ClassifierPlan:
        """Return the plan that the package ships for pictures, with a data set's name."""
        return dataclasses.replace(cls.from_dict(shipped_plan("pictures")), data=data)

    def with_recipe(self, **changes: Any) -> ClassifierPlan:
        """Return the plan with fields of the recipe changed, and of the teacher's but for its seed.

        With fewer or more epochs the warm-up keeps its share of them.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        others = {name: value for name, value in changes.items() if name != "seed"}
        teacher = None if self.teacher is None else _changed(self.teacher, others)
        return dataclasses.replace(self, learner=_changed(self.learner, changes), teacher=teacher)


def _changed(learner: Learner, changes: Mapping[str, Any]) -> Learner:
    recipe, fields = learner.recipe, dict(changes)
    if "epochs" in fields:
        fields.setdefault("warmup_epochs", recipe.warmup_epochs * fields["epochs"] / recipe.epochs)
    return dataclasses.replace(learner, recipe=recipe.changed(fields))
