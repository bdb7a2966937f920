"""Records on the device that trains on them: all of them where they fit, batch by batch where they do not."""

from __future__ import annotations

import torch
from torch import Tensor

from juggler.data import Standard

_SHARE_OF_MEMORY = 0.5  # of what a device has free; the rest is for weights and activations


class DeviceData:
    """Hand out records by their numbers.

    Args:
        images: float32, or uint8 with a standard, `[n, C, H, W]`; where they do not fit into the device's
            memory they stay where they are, such as in a file that is mapped.
        labels: `[n]` or `[n, classes]`.
        weights: `[n]`.
        standard: how uint8 pictures become numbers around 0.
        device: where the training goes on.
        channels_last: whether batches are laid out with channels innermost.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        weights: Tensor,
        standard: Standard | None,
        device: torch.device,
        *,
        channels_last: bool = False,
    ) -> None:
        self._images = images.to(device) if _fits(images, device) else images
        self._labels, self._weights = labels.to(device), weights.to(device)
        self._standard, self._device = standard, device
        self._layout = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return len(self._images)

    def pictures(self, rows: Tensor) -> Tensor:
        """Return float32 pictures `[rows, C, H, W]` on the device."""
        images = self._images[rows.to(self._images.device)].to(self._device)
        return standardise(images, self._standard).contiguous(memory_format=self._layout)

    def targets(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return labels `[rows]` or `[rows, classes]`, and weights `[rows]`."""
        return self._labels[rows], self._weights[rows]


def standardise(images: Tensor, standard: Standard | None) -> Tensor:
    """Return pictures as float32: `(x / 255 - mean) / sd` of uint8 ones, others as they are."""
    if standard is None or images.dtype != torch.uint8:
        return images.to(torch.float32)
    mean = torch.tensor(standard.mean, device=images.device).view(1, -1, 1, 1)
    sd = torch.tensor(standard.sd, device=images.device).view(1, -1, 1, 1)
    return images.to(torch.float32).sub_(255 * mean).mul_(1 / (255 * sd))


def _fits(images: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= _SHARE_OF_MEMORY * free
