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

from juggler.data import Records, TrainRecords
from juggler.errors import ConfigError, Unavailable
from juggler.extras import install_command
from juggler.models.toml_file import check_fields
from juggler.nouns import Progress, ReportProgress

_RANGES: dict[str, tuple[float, float, str]] = {
    "trees": (1, 100_000, "a whole number of at least 1"),
    "depth": (1, 30, "a whole number from 1 to 30"),
    "rate": (1e-6, 1, "a number above 0, at most 1"),
    "record_share": (1e-6, 1, "a number above 0, at most 1"),
    "column_share": (1e-6, 1, "a number above 0, at most 1"),
    "members": (1, 100, "a whole number of at least 1"),
    "mixtures": (0, 100_000_000, "a whole number of at least 0"),
}


@dataclass(frozen=True)
class Teacher:
    """Say who teaches, and on how many mixtures; checked when made.

    Attributes:
        trees: rounds of boosting; each adds one tree a class.
        depth: of a tree.
        rate: share of each tree that is added.
        record_share: share of the records that a tree sees.
        column_share: share of the columns that a tree sees.
        members: ensembles that differ by their seed; their mean probabilities teach.
        mixtures: mixtures of training records that the network learns from besides the records.

    Raises:
        ConfigError: a field has a value that cannot work.
    """

    trees: int = 200
    depth: int = 6
    rate: float = 0.1
    record_share: float = 0.8
    column_share: float = 0.5
    members: int = 1
    mixtures: int = 200_000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, (low, high, words) = getattr(self, field.name), _RANGES[field.name]
            kinds = int if isinstance(field.default, int) else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
                raise ConfigError("make a teacher", f"{field.name} is {value!r}", f"Give {words}")

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain numbers."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "the plan") -> Teacher:
        """Build a teacher from some or all of its fields.

        Raises:
            ConfigError: a field is unknown or has a value that cannot work.
        """
        check_fields(values, [field.name for field in dataclasses.fields(cls)], source)
        return cls(**values)


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
        found = [member.inplace_predict(table) for member in self.members]
        return np.asarray(np.mean(found, axis=0), dtype=np.float32)


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
        "eta": teacher.rate,
        "subsample": teacher.record_share,
        "colsample_bytree": teacher.column_share,
    }
    members = []
    for number in range(1, teacher.members + 1):
        own = {"seed": (seed * 100 + number) % 2**31}
        member = xgboost.Booster({**settings, **own}, [table])
        for tree in range(teacher.trees):
            member.update(table, tree)
            if progress is not None:
                loss = float(member.eval(table).rpartition(":")[2])
                done, total = (number - 1) * teacher.trees + tree + 1, teacher.members * teacher.trees
                detail = {"member": number, "members": teacher.members, "loss": loss}
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
