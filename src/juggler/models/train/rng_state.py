"""What a run rng by, epoch by epoch: generators that are seeded anew, and can be kept half-way through."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


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
