"""Counted work at fitted unit costs, and what trees and a Gaussian process say of the rest.

Unit costs explain most of a kernel's time by what its algorithm does, and go on beyond what was sampled.
What is left goes by how the time is made up: trees cut it at edges, the process bends over it, and the two
together serve better than either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from juggler.arrays import Arrays, Floats
from juggler.predict.kernels.spec import ACTIVATIONS
from juggler.predict.kernels.table import SIDES, KernelTable
from juggler.predict.learning.boosting import Boosters, Settings, boost
from juggler.predict.learning.features import Features
from juggler.predict.learning.gaussian import Process
from juggler.predict.learning.learner import FittedState, SampleLearner, Training
from juggler.predict.learning.state import joined, part
from juggler.predict.learning.unit_costs import UnitCosts
from juggler.predict.learning.work.algorithms import algorithms
from juggler.predict.learning.work.memory import BLOCK

MEMBERS = 3
SETTINGS = Settings(depth=5, rate=0.04, rounds=400, columns=0.3)
FEWEST_ROUNDS = 100  # and no more than kernels, up to those above: few need few
FURTHEST = 1.2  # of a log ratio: kernels further off are mistakes of the clock, or of the counts
SMOOTH = 2 / 3  # of the correction, where there is a process
FEWEST = 25  # kernels of an algorithm that are given a process of their own
SIZES = ("batch", "in_channels", "out_channels", "height", "width", "out_height", "out_width", "groups")
WORK = ("bytes", "macs", "input_bytes", "output_bytes", "weight_bytes")
WORDS = {"activation": ("none", *ACTIVATIONS), "kind": ("average", "max", "gemm", "matmul", "product")}


@dataclass(frozen=True)
class FittedCounted(FittedState):
    """What `Counted` learned.

    Attributes:
        features: columns of the trees, beside shares and latency by the unit costs.
        unit_costs: of counted work.
        boosters: of the log of the ratio to the unit costs.
        processes: of the same, by algorithm.
    """

    features: Features
    unit_costs: UnitCosts
    boosters: Boosters
    processes: Mapping[str, Process]

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        matrix = self.features.matrix(table)
        work_ms, make_up = work_columns(self.unit_costs, table)
        ratio = self.boosters.predict(np.concatenate([matrix, make_up], axis=1))
        names = algorithms(table)
        for name, process in self.processes.items():
            row_index = np.flatnonzero(names == name)
            if len(row_index):
                smooth = process.predict(smooth_columns(self.unit_costs, table.take(row_index), name))
                ratio[row_index] += SMOOTH * (smooth - ratio[row_index])
        predicted: Floats = work_ms * np.exp(np.clip(ratio, -FURTHEST, FURTHEST))
        return predicted

    apart = ("processes",)
    renamed: ClassVar[Mapping[str, str]] = {"unit_costs": "prices", "boosters": "trees"}

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays."""
        fields, arrays = super().state()
        states = {name: process.state() for name, process in self.processes.items()}
        fields["processes"] = {name: values for name, (values, _) in states.items()}
        return fields, arrays | joined({name: arrays_of for name, (_, arrays_of) in states.items()})

    @classmethod
    def restored(cls, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
        """Return the values of all fields."""
        processes = {
            name: Process.restore(values, part(arrays, name)) for name, values in fields["processes"].items()
        }
        return super().restored(fields, arrays) | {"processes": processes}


@dataclass(frozen=True)
class Counted(SampleLearner[FittedCounted]):
    """Unit costs, trees and processes; nothing is chosen, so validation is not looked at."""

    name: str = "counted"
    summary: str = "work counted by algorithm at fitted unit costs, corrected by trees and a Gaussian process"
    fitted = FittedCounted

    def learn(self, table: KernelTable, target: Floats, how: Training) -> FittedCounted:
        """Learn."""
        features, unit_costs = Features.fit("rich", table), UnitCosts.fit(table, target)
        how.step(1, MEMBERS + 2)
        work_ms, make_up = work_columns(unit_costs, table)
        goal = np.clip(np.log(target / work_ms), -FURTHEST, FURTHEST)
        matrix, contents = np.concatenate([features.matrix(table), make_up], axis=1), []
        rounds = int(np.clip(len(table), FEWEST_ROUNDS, SETTINGS.rounds))
        settings = replace(SETTINGS, rounds=rounds)
        for member in range(MEMBERS):
            contents.append(boost(matrix, goal, settings, seed=how.seed * 1000 + member)[0])
            how.step(member + 2, MEMBERS + 2)
        names, processes = algorithms(table), {}
        for name in unit_costs.ms:
            row_index = np.flatnonzero(names == name)
            if len(row_index) >= FEWEST:
                columns = smooth_columns(unit_costs, table.take(row_index), name)
                processes[name] = Process.fit(columns, goal[row_index], seed=how.seed)
        how.step(MEMBERS + 2, MEMBERS + 2)
        return FittedCounted(features, unit_costs, Boosters(tuple(contents)), processes)


def work_columns(unit_costs: UnitCosts, table: KernelTable) -> tuple[Floats, Floats]:
    """Return latency by unit costs `[n]`, and how it is made up `[n, columns]`, its own log among it."""
    work_ms, shares = unit_costs.parts(table)
    return work_ms, np.stack([*(np.sqrt(share) for share in shares.values()), np.log(work_ms)], axis=1)


def smooth_columns(unit_costs: UnitCosts, table: KernelTable, name: str) -> Floats:
    """Return what the process of one algorithm sees, `[n, columns]`: shares of unit costs, sizes, words."""
    work_ms, shares = unit_costs.parts(table)
    roots = [2.0 * np.sqrt(share) for key, share in shares.items() if key.startswith(f"{name}.")]
    sizes = [np.log(np.maximum(table[size], 1.0)) for size in (*SIZES, *SIDES[:4], *WORK)]
    filled = [np.ceil(table[size] / BLOCK) * BLOCK / table[size] for size in ("in_channels", "out_channels")]
    words = [(table[key] == word) * 1.0 for key, known in WORDS.items() for word in known]
    flags = [table[flag] for flag in ("cold", "adds", "bias")]
    pads = table["pad_top"] + table["pad_left"]
    return np.stack([*roots, *sizes, *filled, *words, *flags, pads, np.log(work_ms)], axis=1)


LEARNER = Counted()
