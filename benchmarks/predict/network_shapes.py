"""Collect the shapes of layers of real networks, from which campaigns draw half of their kernels.

Run: python -m benchmarks.predict.network_shapes
Writes src/juggler/predict/network_shapes.json. Needs pytorchcv. No weight is made: all runs on the meta
device, at 224x224 and batch 1; campaigns draw batches and jitter. Networks that predictions are tested on,
and their whole families, are left out (juggler.predict.campaign.held_out).
"""

from __future__ import annotations

import importlib
import json

import torch
from torch import nn

from benchmarks.common import ROOT
from juggler.predict.campaign.held_out import is_held_out

OUT = ROOT / "src" / "juggler" / "predict" / "network_shapes.json"
SIDE_PX = 224
NETWORKS = {
    "resnet": ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    "resnetd": ("resnetd50b",),
    "resneta": ("resneta50b",),
    "senet": ("senet28", "senet40"),
    "cbamresnet": ("cbam_resnet18",),
    "bamresnet": ("bam_resnet18",),
    "diracnetv2": ("diracnet18v2",),
    "shufflenet": ("shufflenet_g1_w1", "shufflenet_g3_w1", "shufflenet_g8_w1"),
    "menet": ("menet228_12x1_g3",),
    "igcv3": ("igcv3_w1",),
    "ghostnet": ("ghostnet",),
    "fbnet": ("fbnet_cb",),
    "proxylessnas": ("proxylessnas_mobile",),
    "spnasnet": ("spnasnet",),
    "mixnet": ("mixnet_s", "mixnet_l"),
    "nasnet": ("nasnet_4a1056",),
    "dpn": ("dpn68",),
    "drn": ("drnd22",),
    "selecsls": ("selecsls42b",),
    "bagnet": ("bagnet9",),
    "airnet": ("airnet50_1x64d_r2",),
    "airnext": ("airnext50_32x4d_r2",),
    "fishnet": ("fishnet99",),
    "octresnet": ("octresnet10_ad2",),
    "channelnet": ("channelnet",),
    "ibnresnet": ("ibn_resnet50",),
    "pyramidnet": ("pyramidnet101_a360",),
    "dicenet": ("dicenet_w1",),
    "darts": ("darts",),
}


def pair(value: int | tuple[int, ...]) -> list[int]:
    """Return a size for both dimensions."""
    return [value, value] if isinstance(value, int) else list(value)


def shape_of(module: nn.Module, x: torch.Tensor) -> list[int | str] | None:
    """Return family, channels in and out, height, width, kernel, stride, dilation, pads and groups."""
    if x.ndim == 2 and isinstance(module, nn.Linear):
        return ["dense", module.in_features, module.out_features, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1]
    if x.ndim != 4:
        return None
    channels, height, width = x.shape[1:]
    if isinstance(module, nn.Conv2d) and not isinstance(module.padding, str):
        family = "depthwise" if module.groups == channels == module.out_channels > 1 else "conv"
        window = [*pair(module.kernel_size), *pair(module.stride), *pair(module.dilation)]
        pads = pair(module.padding) * 2
        return [family, channels, module.out_channels, height, width, *window, *pads, module.groups]
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d) and module.kernel_size not in (
        x.shape[2],
        (height, width),
    ):
        kind = "max" if isinstance(module, nn.MaxPool2d) else "average"
        window = [*pair(module.kernel_size), *pair(module.stride), 1, 1]
        return [f"pool {kind}", channels, channels, height, width, *window, *pair(module.padding) * 2, 1]
    if isinstance(module, nn.AdaptiveAvgPool2d | nn.AvgPool2d):
        return ["global_pool", channels, channels, height, width, *([1] * 6), 0, 0, 0, 0, 1]
    return None


def shapes(network: nn.Module) -> list[list[int | str]]:
    """Return the shapes of all layers of a network, in the order in which they run."""
    found: list[list[int | str]] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        row = shape_of(module, inputs[0])
        if row is not None:
            found.append(row)

    for module in network.modules():
        module.register_forward_pre_hook(note)
    with torch.no_grad():
        network.eval()(torch.empty(1, 3, SIDE_PX, SIDE_PX, device="meta"))
    return found


def main() -> None:
    """Write the file."""
    rows: set[tuple[int | str, ...]] = set()
    names = []
    for file, makers in NETWORKS.items():
        for name in makers:
            if is_held_out(name):
                print(f"{name}: held out")
                continue
            try:
                maker = getattr(importlib.import_module(f"pytorchcv.models.{file}"), name)
                with torch.device("meta"):
                    found = shapes(maker())
            except Exception as error:  # noqa: BLE001  # a network that does not run on meta is left out
                print(f"{name}: {type(error).__name__} {error}")
                continue
            names.append(name)
            rows |= {tuple(row) for row in found}
            print(f"{name}: {len(found)} layers, {len(rows)} shapes so far")
    ordered = sorted(rows, key=lambda row: (str(row[0]), row[1:]))
    lines = ",\n".join(json.dumps(list(row), separators=(",", ":")) for row in ordered)
    OUT.write_text(f'{{"networks":{json.dumps(names)},\n"shapes":[\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
