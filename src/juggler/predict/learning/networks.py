"""The networks that learn latencies: PerfNet's perceptron, ResPerfNet, and one for ratios to a roofline."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from juggler.errors import ArtefactError

CHANNELS = (128, 64, 32)  # ResPerfNet's three heads; the third is not given in the paper, 32 its blocks'
_HIDDEN, _DROPOUT = 128, 0.2


class Residual(nn.Module):
    """Two convolutions and a sum (Eq. 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Files of fitted networks name these: they stay `one` and `two`.
        self.one = nn.Conv1d(channels, channels, 3, padding=1)
        self.two = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return `[n, channels, columns]` from the same."""
        y: Tensor = self.two(torch.relu(self.one(x)))
        return torch.relu(y + x)


class ResPerfNet(nn.Module):
    """The 26 layers of the paper's section 3: 15 convolutions, 6 sums, 4 dense layers, 1 dropout.

    Each of three groups is a head convolution and two residual blocks; the features are the one channel's
    columns. The last dense layer has one neuron.

    Args:
        columns: of features.
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        groups: list[nn.Module] = []
        before = 1
        for channels in CHANNELS:
            head = nn.Conv1d(before, channels, 3, padding=1)
            groups += [head, nn.ReLU(), Residual(channels), Residual(channels)]
            before = channels
        self.groups = nn.Sequential(*groups)
        self.head = nn.Sequential(
            *(nn.Linear(before * columns, _HIDDEN), nn.ReLU()),
            *(nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU()),
            *(nn.Linear(_HIDDEN, _HIDDEN), nn.ReLU(), nn.Dropout(_DROPOUT)),
            nn.Linear(_HIDDEN, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return `[n]` from `[n, columns]`."""
        answer: Tensor = self.head(self.groups(x.unsqueeze(1)).flatten(1))
        return answer.squeeze(1)


class Perceptron(nn.Module):
    """Dense layers with an activation between.

    Args:
        columns: of features.
        hidden: neurons, layer by layer.
        smooth: SiLU in place of ReLU.
    """

    def __init__(self, columns: int, hidden: tuple[int, ...], *, smooth: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((columns, *hidden[:-1]), hidden, strict=True):
            layers += [nn.Linear(before, after), nn.SiLU() if smooth else nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return `[n]` from `[n, columns]`."""
        answer: Tensor = self.layers(x)
        return answer.squeeze(1)


def build(architecture: str, columns: int) -> nn.Module:
    """Return an untrained network.

    Raises:
        ArtefactError: no architecture has that name.
    """
    if architecture == "resperfnet":
        return ResPerfNet(columns)
    if architecture == "perfnet":
        # Wang et al. 2020 is quoted without its widths: a perceptron that widens, of PerfNet's depth.
        return Perceptron(columns, (32, 64, 128, 256))
    if architecture == "ratio":
        return Perceptron(columns, (192, 192, 96), smooth=True)
    raise ArtefactError(f"build the network {architecture!r}", "there is none", "Fit the learner again")
