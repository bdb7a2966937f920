"""Boosted trees by xgboost: rounds chosen on validation, kept as bytes of its own format."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from juggler.arrays import Arrays, Floats
from juggler.errors import ArtefactError, Unavailable
from juggler.extras import install_command
from juggler.predict.learning.booster_bytes import check_booster


@dataclass(frozen=True)
class Settings:
    """Of one booster, under xgboost's names where they are not these.

    Attributes:
        depth: of its trees.
        rate: by which each tree's answer is multiplied.
        rounds: the most trees.
        rows: share of the rows that a tree sees.
        columns: share of the columns that a split chooses from.
        leaf: least weight of a leaf.
        ridge: penalty on the squares of the leaves.
        bins: into which each column is cut.
        objective: what is minimised.
    """

    depth: int = 6
    rate: float = 0.05
    rounds: int = 800
    rows: float = 0.8
    columns: float = 0.5
    leaf: float = 3.0
    ridge: float = 1.0
    bins: int = 256
    objective: str = "reg:squarederror"

    def parameters(self, seed: int) -> dict[str, Any]:
        """Return the settings as xgboost takes them; one thread, so that a fit does not vary with cores."""
        return {
            "objective": self.objective,
            "max_depth": self.depth,
            "eta": self.rate,
            "subsample": self.rows,
            "colsample_bynode": self.columns,
            "min_child_weight": self.leaf,
            "reg_lambda": self.ridge,
            "max_bin": self.bins,
            "tree_method": "hist",
            "nthread": 1,
            "seed": seed,
            "verbosity": 0,
        }


def xgboost() -> Any:
    """Import xgboost.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of other packages' releases
            import xgboost as package  # noqa: PLC0415
    except ImportError as error:
        raise Unavailable(
            "boost trees", "the package xgboost is not installed", f"Run: {install_command('train')}"
        ) from error
    return package


def boost(
    matrix: Floats,
    target: Floats,
    settings: Settings,
    *,
    seed: int,
    held: tuple[Floats, Floats] | None = None,
) -> tuple[bytes, int, float]:
    """Fit one booster; with `held` rows, stop where their mean absolute error no longer falls.

    Returns:
        the booster as bytes, its rounds, and its error on the held rows (0 without).
    """
    package = xgboost()
    rows = package.DMatrix(matrix, target, nthread=1)
    parameters = settings.parameters(seed)
    if held is None:
        booster = package.train(parameters, rows, settings.rounds)
        return bytes(booster.save_raw("ubj")), settings.rounds, 0.0
    others = package.DMatrix(*held, nthread=1)
    booster = package.train(
        {**parameters, "eval_metric": "mae"},
        rows,
        settings.rounds,
        evals=[(others, "held")],
        early_stopping_rounds=max(20, settings.rounds // 10),
        verbose_eval=False,
    )
    best = int(booster.best_iteration) + 1
    return bytes(booster[:best].save_raw("ubj")), best, float(booster.best_score)


@dataclass(frozen=True)
class Boosters:
    """Boosters whose answers are averaged."""

    contents: tuple[bytes, ...]

    def predict(self, matrix: Floats) -> Floats:
        """Return the mean answer `[n]` to rows `[n, columns]`."""
        if not len(matrix):
            return np.zeros(0)  # which xgboost refuses
        rows = xgboost().DMatrix(matrix, nthread=1)
        answers = [booster.predict(rows) for booster in self._loaded]
        return np.mean(np.asarray(answers, np.float64), axis=0)  # type: ignore[no-any-return]

    @cached_property
    def _loaded(self) -> tuple[Any, ...]:
        package = xgboost()
        return tuple(
            package.Booster({"nthread": 1}, model_file=bytearray(content)) for content in self.contents
        )

    def arrays(self) -> Arrays:
        """Return the boosters as arrays of bytes."""
        return {f"booster{i}": np.frombuffer(content, np.uint8) for i, content in enumerate(self.contents)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Boosters:
        """Return the boosters that `arrays` gave.

        Raises:
            ArtefactError: there is none, or one is damaged.
        """
        names = sorted((n for n in arrays if n.startswith("booster")), key=lambda n: int(n[7:]))
        boosters = cls(tuple(arrays[name].tobytes() for name in names))
        try:
            loaded = boosters._loaded
        except xgboost().core.XGBoostError as error:
            problem = str(error).strip().splitlines()[0]
            raise ArtefactError("read boosted trees", problem, "They are damaged: fit them again") from error
        if not loaded:
            raise ArtefactError("read boosted trees", "there is none", "Fit them again")
        return boosters


def check_boosters(arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse boosters among arrays that xgboost had better not open.

    Raises:
        ValueError: one is damaged, or was altered.
    """
    for name, array in arrays.items():
        if name.rpartition("/")[2].startswith("booster"):
            if array.dtype != np.uint8:
                raise ValueError(f"{name} is no bytes")
            check_booster(array.tobytes())


def best_settings(
    matrix: Floats,
    target: Floats,
    held: tuple[Floats, Floats],
    candidates: Sequence[Settings],
    *,
    seed: int,
) -> Settings:
    """Return the candidate of the least error on held rows, with the rounds at which it was least."""
    trials = []
    for candidate in candidates:
        _, rounds, error = boost(matrix, target, candidate, seed=seed, held=held)
        trials.append((error, rounds, candidate))
    _, rounds, best = min(trials, key=lambda entry: entry[0])
    return Settings(**{**asdict(best), "rounds": rounds})
