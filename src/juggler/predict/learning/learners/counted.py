"""Counted work at fitted prices, and what trees and a Gaussian process say of the rest.

Prices explain most of a kernel's time by what its algorithm does, and go on beyond what was sampled. What is
left goes by how the time is made up: trees cut it at edges, the process bends over it, and the two together
serve better than either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.boosting import Boosters, Settings, boost
from juggler.predict.learning.features import Features
from juggler.predict.learning.gaussian import Process
from juggler.predict.learning.learner import Arrays, Epoch, Progress, Validation, checked_target, joined, part
from juggler.predict.learning.unit_costs import UnitCosts
from juggler.predict.learning.work.algorithms import algorithms
from juggler.predict.learning.work.memory import ACTIVATIONS, BLOCK

Floats = npt.NDArray[np.float64]

MEMBERS = 3
SETTINGS = Settings(depth=5, rate=0.04, rounds=400, columns=0.3)
FEWEST_ROUNDS = 100  # and no more than kernels, up to those above: few need few
FURTHEST = 1.2  # of a log ratio: kernels further off are mistakes of the clock, or of the counts
SMOOTH = 2 / 3  # of the correction, where there is a process
FEWEST = 25  # kernels of an algorithm that are given a process of their own
SIZES = (
    *("batch", "in_channels", "out_channels", "height", "width", "out_height", "out_width", "groups"),
    *("kernel_height", "kernel_width", "stride_height", "stride_width"),
)
WORK = ("bytes", "macs", "input_bytes", "output_bytes", "weight_bytes")
WORDS = {"activation": ("none", *ACTIVATIONS), "kind": ("average", "max", "gemm", "matmul", "product")}


@dataclass(frozen=True)
class FittedCounted:
    """What `Counted` learned.

    Attributes:
        features: columns of the trees, beside shares and latency by the prices.
        prices: of counted work.
        boosters: of the log of the ratio to the prices.
        processes: of the same, by algorithm.
        history: empty.
    """

    features: Features
    prices: UnitCosts
    boosters: Boosters
    processes: Mapping[str, Process]
    history: tuple[Epoch, ...] = ()

    def predict(self, table: KernelTable) -> Floats:
        """Return milliseconds `[n]`."""
        matrix = self.features.matrix(table)
        priced, made_up = priced_columns(self.prices, table)
        ratio = self.boosters.predict(np.concatenate([matrix, made_up], axis=1))
        names = algorithms(table)
        for name, process in self.processes.items():
            own = np.flatnonzero(names == name)
            if len(own):
                smooth = process.predict(smooth_columns(self.prices, table.take(own), name))
                ratio[own] += SMOOTH * (smooth - ratio[own])
        predicted: Floats = priced * np.exp(np.clip(ratio, -FURTHEST, FURTHEST))
        return predicted

    def state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays."""
        states = {name: process.state() for name, process in self.processes.items()}
        fields = {"features": self.features.to_dict(), "prices": self.prices.to_dict()}
        arrays = {"trees": self.boosters.arrays()} | {name: own for name, (_, own) in states.items()}
        return fields | {"processes": {name: own for name, (own, _) in states.items()}}, joined(arrays)


@dataclass(frozen=True)
class Counted:
    """Prices, trees and processes; nothing is chosen, so validation is not looked at."""

    name: str = "counted"
    summary: str = "work counted by algorithm at fitted prices, corrected by trees and a Gaussian process"

    def fit(
        self,
        table: KernelTable,
        target_ms: Floats,
        *,
        seed: int = 0,
        progress: Progress | None = None,
        validation: Validation | None = None,
    ) -> FittedCounted:
        """Learn; see `juggler.predict.learning.learner.Learner.fit`."""
        target = checked_target(table, target_ms)
        tell = progress or (lambda done, total: None)
        features, prices = Features.fit("rich", table), UnitCosts.fit(table, target)
        tell(1, MEMBERS + 2)
        priced, made_up = priced_columns(prices, table)
        goal = np.clip(np.log(target / priced), -FURTHEST, FURTHEST)
        matrix, contents = np.concatenate([features.matrix(table), made_up], axis=1), []
        rounds = int(np.clip(len(table), FEWEST_ROUNDS, SETTINGS.rounds))
        settings = replace(SETTINGS, rounds=rounds)
        for member in range(MEMBERS):
            contents.append(boost(matrix, goal, settings, seed=seed * 1000 + member)[0])
            tell(member + 2, MEMBERS + 2)
        names, processes = algorithms(table), {}
        for name in prices.ms:
            own = np.flatnonzero(names == name)
            if len(own) >= FEWEST:
                columns = smooth_columns(prices, table.take(own), name)
                processes[name] = Process.fit(columns, goal[own], seed=seed)
        tell(MEMBERS + 2, MEMBERS + 2)
        return FittedCounted(features, prices, Boosters(tuple(contents)), processes)

    def restore(self, fields: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> FittedCounted:
        """Return what was fitted from its state."""
        return FittedCounted(
            Features.from_dict(fields["features"]),
            UnitCosts.from_dict(fields["prices"]),
            Boosters.from_arrays(part(arrays, "trees")),
            {name: Process.restore(own, part(arrays, name)) for name, own in fields["processes"].items()},
        )


def priced_columns(prices: UnitCosts, table: KernelTable) -> tuple[Floats, Floats]:
    """Return latency by the prices `[n]`, and how it is made up `[n, columns]`, itself in logs among it."""
    priced, shares = prices.parts(table)
    return priced, np.stack([*(np.sqrt(share) for share in shares.values()), np.log(priced)], axis=1)


def smooth_columns(prices: UnitCosts, table: KernelTable, name: str) -> Floats:
    """Return what the process of one algorithm sees, `[n, columns]`: shares of prices, sizes, words."""
    priced, shares = prices.parts(table)
    own = [2.0 * np.sqrt(share) for key, share in shares.items() if key.startswith(f"{name}.")]
    sizes = [np.log(np.maximum(table[size], 1.0)) for size in (*SIZES, *WORK)]
    filled = [np.ceil(table[size] / BLOCK) * BLOCK / table[size] for size in ("in_channels", "out_channels")]
    words = [(table[key] == word) * 1.0 for key, known in WORDS.items() for word in known]
    flags = [table[flag] for flag in ("cold", "adds", "bias")]
    pads = table["pad_top"] + table["pad_left"]
    return np.stack([*own, *sizes, *filled, *words, *flags, pads, np.log(priced)], axis=1)


LEARNER = Counted()
