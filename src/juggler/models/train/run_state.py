"""The state of a run, random numbers included, in one file: a killed run goes on as if it had not been."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from juggler.errors import ArtefactError, ConfigError
from juggler.files import write_atomically
from juggler.models.networks.checkpoint import read_tensors, write_tensors
from juggler.models.networks.creation import defaults, names
from juggler.models.train.optimization import WeightAverage
from juggler.models.train.recipe import Recipe

STATE_FILE = "training.safetensors"
LOG_FILE = "log.csv"


@dataclass(frozen=True)
class Unfinished:
    """An epoch that was cut off.

    Attributes:
        steps: that are done.
        losses: of those steps, `[steps]`.
        duration_s: how long they took.
        generators: where torch's generators stand, by name.
        numpy_state: where numpy's stands.
    """

    steps: int
    losses: Tensor
    duration_s: float
    generators: dict[str, Tensor]
    numpy_state: dict[str, Any]


@dataclass(frozen=True)
class RunState:
    """All that a run is, kept in its folder.

    Attributes:
        folder: of the run.
        module: the network.
        optimizer: of its weights.
        average: of its weights, where there is one.
        identity: by which it is known whether two runs are the same.
    """

    folder: Path
    module: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    identity: Mapping[str, Any]

    def save(self, history: History, unfinished: Unfinished | None = None) -> None:
        """Write weights, optimizer, weight average and history, atomically; then the log."""
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": v for slot, v in slots.items() if isinstance(v, Tensor)}
        if self.average is not None:
            tensors |= {f"average.{name}": tensor for name, tensor in self.average.weights.items()}
        about: dict[str, Any] = {"identity": dict(self.identity), "history": history.to_list()}
        if unfinished is not None:
            tensors |= {f"generator.{name}": state for name, state in unfinished.generators.items()}
            tensors["losses"] = unfinished.losses
            about["unfinished"] = {
                "steps": unfinished.steps,
                "duration_s": unfinished.duration_s,
                "numpy_state": unfinished.numpy_state,
            }
        write_tensors(self.folder / STATE_FILE, "training", tensors, about)
        history.write_csv(self.folder / LOG_FILE)

    def load(self) -> tuple[History, Unfinished | None]:
        """Bring everything to where the interrupted run stood; return its epochs, none where there was none.

        Raises:
            ArtefactError: the state is damaged or of another version.
            ConfigError: it belongs to a run with another recipe, network or data.
        """
        path = self.folder / STATE_FILE
        if not path.exists():
            return History(), None
        tensors, header = read_tensors(path, "training")
        try:
            theirs, rows = header["identity"], History.from_list(header["history"])
            unfinished = _unfinished(tensors, header.get("unfinished"))
        except (KeyError, TypeError) as error:
            raise ArtefactError(f"resume from {path}", f"its header lacks {error}", "Train anew") from error
        _check_same(path, _completed(theirs), self.identity)
        self.module.load_state_dict(_under("module.", tensors))
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _under("optimizer.", tensors).items():
            index, slot = key.split(".", 1)
            state.setdefault(int(index), {})[slot] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        if self.average is not None:
            for name, tensor in _under("average.", tensors).items():
                self.average.weights[name].copy_(tensor)
        rows.write_csv(self.folder / LOG_FILE)
        return rows, unfinished


def _unfinished(tensors: Mapping[str, Tensor], about: Mapping[str, Any] | None) -> Unfinished | None:
    if about is None:
        return None
    generators = _under("generator.", tensors)
    return Unfinished(generators=generators, losses=tensors["losses"], **about)


def _completed(theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of a run with what the release that began it did not have yet: at its default."""
    network = theirs.get("network", {})
    known = defaults(network["name"]) if network.get("name") in names() else {}
    # Through JSON and back, as an identity is.
    options = json.loads(json.dumps(known, default=str))
    return {
        **theirs,
        "recipe": {**Recipe().to_dict(), **theirs.get("recipe", {})},
        "network": {**options, **network},
    }


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _check_same(path: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse to go on with a run that is not this one, and say in which fields it differs."""
    differing = [
        f"{part}.{name} was {theirs.get(part, {}).get(name)!r} and is {ours[part].get(name)!r}"
        for part in ours
        for name in sorted({*theirs.get(part, {}), *ours[part]})
        if theirs.get(part, {}).get(name) != ours[part].get(name)
    ]
    if differing:
        raise ConfigError(
            f"resume the run in {path.parent}",
            "it is another run: " + "; ".join(differing),
            "Give another folder, or what that run was given",
        )


class RngState:
    """The generators of one epoch on one rank: numpy's own, torch's global ones on the CPU and the device.

    Args:
        seed: of the run.
        epoch: counted from 1.
        rank: of the process.
        device: where the training goes on.
    """

    def __init__(self, seed: int, epoch: int, rank: int, device: torch.device) -> None:
        self._device = device
        torch.manual_seed(mixed(seed, epoch, 1 + rank))
        self.numpy = np.random.default_rng(mixed(seed, epoch, 1 + rank))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return where all generators stand: tensors of bytes by name, and plain JSON for numpy's."""
        tensors = {"torch": torch.get_rng_state()}
        if self._device.type == "cuda":
            tensors["device"] = torch.cuda.get_rng_state(self._device)
        return tensors, dict(self.numpy.bit_generator.state)

    def restore(self, tensors: dict[str, Tensor], numpy_state: dict[str, Any]) -> None:
        """Bring all generators to where `state` found them."""
        torch.set_rng_state(tensors["torch"])
        if self._device.type == "cuda" and "device" in tensors:
            torch.cuda.set_rng_state(tensors["device"], self._device)
        self.numpy.bit_generator.state = numpy_state


def mixed(*parts: int) -> int:
    """Mix numbers into one seed; near numbers give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: its number, from 1.
        loss: mean training loss over its steps.
        rate: learning rate of its last step.
        duration_s: how long it took, validation included.
        scores: what `validate` returned after it.
    """

    epoch: int
    loss: float
    rate: float
    duration_s: float
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """All epochs of a run, those before it was interrupted included."""

    epochs: tuple[EpochRecord, ...] = ()

    def best(self, score: str) -> EpochRecord:
        """Return the first epoch with the highest value of a score that `validate` returned.

        Raises:
            KeyError: no epoch has that score.
        """
        scored = [record for record in self.epochs if score in record.scores]
        if not scored:
            raise KeyError(score)
        return max(scored, key=lambda record: record.scores[score])

    def to_list(self) -> list[dict[str, Any]]:
        """Return the epochs as plain JSON."""
        return [asdict(record) for record in self.epochs]

    @classmethod
    def from_list(cls, values: Sequence[Mapping[str, Any]]) -> History:
        """Build the history from what `to_list` gave."""
        return cls(tuple(EpochRecord(**value) for value in values))

    def write_csv(self, path: Path) -> None:
        """Write the log whole and atomically, one row an epoch.

        It is written anew each epoch, not appended to: a run killed between its checkpoint and its log
        resumes without a row missing or twice.
        """
        scores = sorted({name for record in self.epochs for name in record.scores})
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["epoch", "loss", "rate", "duration_s", *scores])
        for record in self.epochs:
            row = [f"{record.loss:.6g}", f"{record.rate:.6g}", f"{record.duration_s:.3f}"]
            writer.writerow([record.epoch, *row, *(record.scores.get(name, "") for name in scores)])
        write_atomically(path, text.getvalue().encode())
