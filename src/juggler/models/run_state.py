"""The state of a training run between two epochs, in one file: a killed run goes on as if it had not been."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from juggler.errors import ArtefactError, ConfigError
from juggler.models.averaging import WeightAverage
from juggler.models.checkpoint import read_tensors, write_tensors
from juggler.models.creation import defaults, names
from juggler.models.history import History
from juggler.models.recipe import Recipe

STATE_FILE = "training.safetensors"
LOG_FILE = "log.csv"


def save_state(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    *,
    history: History,
    identity: Mapping[str, Any],
) -> None:
    """Write weights, optimizer, weight average and history after an epoch, atomically; then the log."""
    tensors = {f"module.{name}": tensor for name, tensor in module.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": v for slot, v in slots.items() if isinstance(v, Tensor)}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.weights.items()}
    about = {"identity": dict(identity), "history": history.to_list()}
    write_tensors(folder / STATE_FILE, "training", tensors, about)
    history.write_csv(folder / LOG_FILE)


def load_state(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    *,
    identity: Mapping[str, Any],
) -> History:
    """Bring everything to where the interrupted run stood; return its history, empty where there was none.

    Raises:
        ArtefactError: the state is damaged or of another version.
        ConfigError: it belongs to a run with another recipe, network or data.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return History()
    tensors, header = read_tensors(path, "training")
    try:
        theirs, rows = header["identity"], History.from_list(header["history"])
    except (KeyError, TypeError) as error:
        raise ArtefactError(f"resume from {path}", f"its header lacks {error}", "Train anew") from error
    _check_same(path, _completed(theirs), identity)
    module.load_state_dict(_under("module.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _under("optimizer.", tensors).items():
        index, slot = key.split(".", 1)
        state.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    if average is not None:
        for name, tensor in _under("average.", tensors).items():
            average.weights[name].copy_(tensor)
    rows.write_csv(folder / LOG_FILE)
    return rows


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
