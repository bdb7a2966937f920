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
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from juggler.data import Schema
from juggler.errors import ConfigError
from juggler.models.recipe import Recipe
from juggler.models.teacher import Teacher
from juggler.registry import normalise

_TABLES = ("network", "recipe", "teacher")
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
        values = self.to_dict()
        tables = [f"\n[{name}]\n{_lines(values.pop(name))}" for name in _TABLES if name in values]
        return _lines(values) + "".join(tables)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the plan") -> Plan:
        """Build a plan from some or all of its fields.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        known = {f.name for f in dataclasses.fields(cls)} - {"options"}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(
                f"read {source}", f"unknown fields {unknown}", f"Fields: {', '.join(sorted(known))}"
            )
        plain = {k: v for k, v in values.items() if k not in _TABLES}
        network = dict(values.get("network", {}))
        return cls(
            **plain,
            network=network.pop("name", cls.network),
            options=network,
            recipe=Recipe.from_dict(values.get("recipe", {}), source),
            teacher=Teacher.from_dict(values["teacher"], source) if "teacher" in values else None,
        )

    @classmethod
    def read(cls, path: str | Path) -> Plan:
        """Read a plan from a TOML file.

        Raises:
            ConfigError: the file cannot be read, is not TOML, or has a wrong field.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"read the plan {path}", str(error), "Check the path") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"read the plan {path}", f"not TOML: {error}", "Mend that line") from error
        return cls.from_dict(values, f"the plan {path}")

    @classmethod
    def shipped(cls, data: str) -> Plan:
        """Return the plan that the package ships for a data set.

        Raises:
            ConfigError: there is none.
        """
        folder = resources.files("juggler.models") / "plans"
        found = {item.name.removesuffix(".toml"): item for item in folder.iterdir()}
        if normalise(data) not in found:
            raise ConfigError(
                f"find a plan for {data!r}",
                "the package ships none",
                f"Write one and pass it with --plan. There are: {', '.join(sorted(found))}",
            )
        return cls.from_dict(tomllib.loads(found[normalise(data)].read_text(encoding="utf-8")))


def _lines(values: Mapping[str, Any]) -> str:
    # JSON's numbers, strings and lists of these are TOML's as well.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def _wrong(name: str, value: object, remedy: str) -> ConfigError:
    return ConfigError("make a plan", f"{name} is {value!r}", remedy)
