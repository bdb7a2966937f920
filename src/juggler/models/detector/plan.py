"""How a detector is made: data set, features, network, recipe and false-alarm rate, in one TOML file.

    data = "nsl_kdd"
    features = "header"
    false_alarm_rate = 0.02

    [network]
    name = "juggler_tabular"
    widths = [32, 64]

    [recipe]
    epochs = 12

    [teacher]
    trees = 200

Without a `[teacher]` table the network learns from the records' classes alone. The plan of the detector
that ships with the package is `models/plans/nsl_kdd.toml`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from juggler.checks import bad_field
from juggler.data import Schema
from juggler.models.detector.teacher import Teacher
from juggler.models.toml_file import check_fields, read_toml, shipped_plan, table, to_toml
from juggler.models.train.recipe import Recipe
from juggler.registry import normalise

_TABLES = ("network", "recipe", "teacher")
_wrong = partial(bad_field, "make a plan")
_FEATURES = ("header", "all")


@dataclass(frozen=True)
class Plan:
    """Say how to make a detector; checked when made.

    Attributes:
        data: name of the data set.
        features: `header` (what packet headers supply) or `all` columns of the schema.
        false_alarm_rate: share of validation normals that may be alarms; sets the alarm threshold.
        choose_from: first epoch, from 1, that may be chosen; earlier ones are too rough to compare.
        network: name of the network.
        options: its keyword options; the input's shape and the classes come from the data.
        recipe: how it is trained.
        teacher: who labels what it learns from; None for the records' own classes.

    Raises:
        ConfigError: a field has a value that cannot work.
    """

    data: str = "nsl_kdd"
    features: str = "header"
    false_alarm_rate: float = 0.02
    choose_from: int = 1
    network: str = "juggler_tabular"
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", normalise(self.data))
        if self.features not in _FEATURES:
            raise _wrong("features", self.features, f"Give one of {', '.join(_FEATURES)}")
        if not 0 < self.false_alarm_rate < 1:
            raise _wrong("false_alarm_rate", self.false_alarm_rate, "Give a share between 0 and 1, like 0.02")
        if not 1 <= self.choose_from <= self.recipe.epochs:
            raise _wrong("choose_from", self.choose_from, f"Give 1 to {self.recipe.epochs} (epochs)")
        if self.recipe.tail_weight > 0 and self.teacher is None:
            raise _wrong("tail_weight", self.recipe.tail_weight, "Give 0, or a [teacher] to follow")

    def columns(self, schema: Schema) -> tuple[str, ...]:
        """Return the columns of the schema that the detector sees."""
        return schema.header_features if self.features == "header" else schema.all_features

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, in the layout of its TOML."""
        taught = {} if self.teacher is None else {"teacher": self.teacher.to_dict()}
        return {
            "data": self.data,
            "features": self.features,
            "false_alarm_rate": self.false_alarm_rate,
            "choose_from": self.choose_from,
            "network": {"name": self.network, **self.options},
            "recipe": self.recipe.to_dict(),
            **taught,
        }

    def to_toml(self) -> str:
        """Return the plan as TOML text that `Plan.read` reads back."""
        return to_toml(self.to_dict())

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the plan") -> Plan:
        """Build a plan from some or all of its fields.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        check_fields(values, {f.name for f in dataclasses.fields(cls)} - {"options"}, source)
        plain = {k: v for k, v in values.items() if k not in _TABLES}
        network = table(values, "network", source)
        taught = None
        if "teacher" in values:
            taught = Teacher.from_dict(table(values, "teacher", source), source)
        return cls(
            **plain,
            network=network.pop("name", cls.network),
            options=network,
            recipe=Recipe.from_dict(table(values, "recipe", source), source),
            teacher=taught,
        )

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """Read a plan from a TOML file.

        Raises:
            ConfigError: the file cannot be read, is not TOML, or has a wrong field.
        """
        return cls.from_dict(read_toml(path, "the plan"), f"the plan {path}")

    @classmethod
    def shipped(cls, data: str) -> Plan:
        """Return the plan that the package ships for a data set.

        Raises:
            ConfigError: there is none.
        """
        return cls.from_dict(shipped_plan(data))
