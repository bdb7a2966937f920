"""Networks of the published reports as sizes alone, by layer: no torch, and nothing to run.

Any other network is counted from its graph. These stand here because the reports that the models are checked
against name them: the AlexNet of Eyeriss has two groups, as its authors' had, and no library ships that one.
"""

from __future__ import annotations

from juggler.count.geometry import Geometry
from juggler.errors import ConfigError

Workload = dict[str, Geometry]
_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def alexnet(batch: int = 1) -> Workload:
    """Return AlexNet as published, with two groups, on 227 px (Krizhevsky et al., 2012)."""
    return {
        "conv1": Geometry.conv(3, 96, 11, (227, 227), stride=4, batch=batch),
        "conv2": Geometry.conv(96, 256, 5, (27, 27), padding=2, groups=2, batch=batch),
        "conv3": Geometry.conv(256, 384, 3, (13, 13), padding=1, batch=batch),
        "conv4": Geometry.conv(384, 384, 3, (13, 13), padding=1, groups=2, batch=batch),
        "conv5": Geometry.conv(384, 256, 3, (13, 13), padding=1, groups=2, batch=batch),
        "fc1": Geometry.linear(9216, 4096, batch=batch),
        "fc2": Geometry.linear(4096, 4096, batch=batch),
        "fc3": Geometry.linear(4096, 1000, batch=batch),
    }


def resnet(depth: int, batch: int = 1) -> Workload:
    """Return a ResNet on 224 px (He et al., 2016), the stride in the 3x3 as today's libraries have it.

    Raises:
        ConfigError: there is no ResNet of that depth.
    """
    if depth not in _BLOCKS:
        raise ConfigError(f"describe a ResNet-{depth}", "there is none", f"Depths: {sorted(_BLOCKS)}")
    layers = {"conv1": Geometry.conv(3, 64, 7, (224, 224), stride=2, padding=3, batch=batch)}
    channels, side = 64, 56
    for stage, blocks in enumerate(_BLOCKS[depth], start=1):
        width = 32 * 2**stage
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            block_layers = (_bottleneck if depth >= 50 else _basic)(channels, width, side, stride, batch)
            layers |= {f"stage{stage}.block{block}.{name}": layer for name, layer in block_layers.items()}
            channels, side = width * (4 if depth >= 50 else 1), side // stride
    layers["fc"] = Geometry.linear(channels, 1000, batch=batch)
    return layers


def _basic(channels: int, width: int, side: int, stride: int, batch: int) -> Workload:
    small = side // stride
    layers = {
        "conv1": Geometry.conv(channels, width, 3, (side, side), stride=stride, padding=1, batch=batch),
        "conv2": Geometry.conv(width, width, 3, (small, small), padding=1, batch=batch),
    }
    if stride > 1:
        layers["shortcut"] = Geometry.conv(channels, width, 1, (side, side), stride=stride, batch=batch)
    return layers


def _bottleneck(channels: int, width: int, side: int, stride: int, batch: int) -> Workload:
    small = side // stride
    layers = {
        "conv1": Geometry.conv(channels, width, 1, (side, side), batch=batch),
        "conv2": Geometry.conv(width, width, 3, (side, side), stride=stride, padding=1, batch=batch),
        "conv3": Geometry.conv(width, 4 * width, 1, (small, small), batch=batch),
    }
    if channels != 4 * width:
        layers["shortcut"] = Geometry.conv(channels, 4 * width, 1, (side, side), stride=stride, batch=batch)
    return layers
