"""Boosted trees as a teacher: fitted on the training records, they label these and mixtures of them.

Trees rank attacks that no one has met better than a network does by itself, for outside of what they saw
they go on with what they know. A network that learns their probabilities, on records and on what lies
between, keeps that (Hinton et al. 2015 distil so from a larger network; Bucila et al. 2006 with such data).
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from juggler.checks import Range, check_ranges, check_types
from juggler.data import Records, TrainRecords
from juggler.errors import ConfigError, Unavailable
from juggler.extras import install_command
from juggler.lazy import renamed_keywords
from juggler.models.toml_file import check_fields, python_names
from juggler.nouns import Progress, ReportProgress

FILE_NAMES = {"learning_rate": "rate", "ensemble_size": "members"}
"""What plans and checkpoints call a field, where Python has the field's own word since 0.2."""
_RANGES = {
    "trees": Range(1, 100_000, "a whole number of at least 1"),
    "depth": Range(1, 30, "a whole number from 1 to 30"),
    "learning_rate": Range(1e-6, 1, "a number above 0, at most 1"),
    "record_share": Range(1e-6, 1, "a number above 0, at most 1"),
    "column_share": Range(1e-6, 1, "a number above 0, at most 1"),
    "ensemble_size": Range(1, 100, "a whole number of at least 1"),
    "mixtures": Range(0, 100_000_000, "a whole number of at least 0"),
}


@renamed_keywords({old: new for new, old in FILE_NAMES.items()})
@dataclass(frozen=True)
class Teacher:
    """Say who teaches, and on how many mixtures; checked when made.

    Attributes:
        trees: rounds of boosting; each adds one tree a class.
        depth: of a tree.
        learning_rate: share of each tree that is added.
        record_share: share of the records that a tree sees.
        column_share: share of the columns that a tree sees.
        ensemble_size: ensembles of trees that differ by their seed; their mean probabilities teach.
        mixtures: mixtures of training records that the network learns from besides the records.

    Raises:
        ConfigError: a field has a value that cannot work.
    """

    trees: int = 200
    depth: int = 6
    learning_rate: float = 0.1
    record_share: float = 0.8
    column_share: float = 0.5
    ensemble_size: int = 1
    mixtures: int = 200_000

    def __post_init__(self) -> None:
        check_types(self, "make a teacher")
        check_ranges(self, _RANGES, "make a teacher")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain numbers, by the names that files have for them."""
        return {FILE_NAMES.get(name, name): value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the plan") -> Teacher:
        """Build a teacher from some or all of its fields.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        fields = python_names(values, FILE_NAMES, source)
        check_fields(fields, [field.name for field in dataclasses.fields(cls)], source)
        return cls(**fields)


@dataclass(frozen=True, eq=False)
class Trees:
    """A fitted teacher.

    Attributes:
        columns: the columns that it sees.
        members: XGBoost's boosters.
    """

    columns: tuple[str, ...]
    members: tuple[Any, ...]

    def probabilities(self, records: Records) -> NDArray[np.float32]:
        """Return the members' mean probabilities, `[n, classes]`."""
        table = _table(records, self.columns)
        shares = [member.inplace_predict(table) for member in self.members]
        return np.asarray(np.mean(shares, axis=0), dtype=np.float32)


def fit_trees(
    teacher: Teacher,
    records: TrainRecords,
    columns: Sequence[str],
    seed: int,
    progress: ReportProgress | None = None,
) -> Trees:
    """Fit a teacher on training records and on nothing else.

    Args:
        teacher: how.
        records: the training records.
        columns: the columns to see.
        seed: of everything drawn.
        progress: told the trees done, and in detail member, members and the loss on the training records.

    Raises:
        ConfigError: the records are not TrainRecords.
        Unavailable: XGBoost is not installed.
    """
    if not isinstance(records, TrainRecords):
        raise ConfigError(
            "fit a teacher",
            f"{type(records).__name__} from {getattr(records, 'source', 'somewhere')}",
            "Fit on Split.train or DataSet.training() only, which are TrainRecords",
        )
    xgboost = _xgboost()
    names = tuple(columns)
    table = xgboost.QuantileDMatrix(_table(records, names), records.classes())
    settings = {
        "objective": "multi:softprob",
        "num_class": len(records.schema.classes),
        "tree_method": "hist",
        # The same trees whatever the machine; and on a busy one, threads that wait for each other cost most.
        "device": "cpu",
        "nthread": 1,
        "max_depth": teacher.depth,
        "eta": teacher.learning_rate,
        "subsample": teacher.record_share,
        "colsample_bytree": teacher.column_share,
    }
    members = []
    for number in range(1, teacher.ensemble_size + 1):
        seed_setting = {"seed": (seed * 100 + number) % 2**31}
        member = xgboost.Booster({**settings, **seed_setting}, [table])
        for tree in range(teacher.trees):
            member.update(table, tree)
            if progress is not None:
                loss = float(member.eval(table).rpartition(":")[2])
                done, total = (number - 1) * teacher.trees + tree + 1, teacher.ensemble_size * teacher.trees
                detail = {"member": number, "members": teacher.ensemble_size, "loss": loss}
                progress(Progress("trees", done, total, "trees", detail))
        members.append(member)
    return Trees(names, tuple(members))


def _table(records: Records, columns: Sequence[str]) -> NDArray[np.float32]:
    """Return the columns side by side, `[n, width]`: numbers as they are, words one-hot."""
    parts = []
    for name in columns:
        vocabulary = records.schema.column[name].vocabulary
        values = records[name][:, None]
        parts.append(values == np.arange(len(vocabulary)) if vocabulary else values)
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _xgboost() -> Any:
    try:
        return importlib.import_module("xgboost")
    except ImportError as error:
        raise Unavailable(
            "fit boosted trees as a teacher",
            f"XGBoost cannot be imported ({error})",
            f"{install_command('train')}, or take the [teacher] table out of the plan",
        ) from error
