"""A network's class probabilities over many inputs, batch by batch, numpy out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from juggler.data import Standard
from juggler.models.train.device_data import standardise


def probabilities(
    module: nn.Module,
    images: Tensor | NDArray[np.float32] | NDArray[np.uint8],
    batch: int = 1024,
    *,
    standard: Standard | None = None,
) -> NDArray[np.float32]:
    """Return softmax of the network's logits for images `[n, C, H, W]` as float32 `[n, classes]`.

    uint8 images are made numbers by the standard.

    The network runs in evaluation mode, where it is, and is left in the mode in which it was.
    """
    inputs = torch.as_tensor(images)
    device = next((tensor.device for tensor in module.parameters()), torch.device("cpu"))
    was_training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        with torch.inference_mode():
            parts = [
                torch.softmax(module(standardise(x.to(device), standard)).float(), dim=1).cpu()
                for x in torch.split(inputs, batch)
            ]
    finally:
        for part in was_training:
            part.training = True
    return np.asarray(torch.cat(parts).numpy(), dtype=np.float32)
