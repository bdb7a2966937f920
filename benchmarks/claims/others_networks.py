"""The networks of other people: at least 40 of at least 20 families, with weights and statistics drawn anew.

From pytorchcv, imported module by module, and from Hugging Face transformers, built from configurations:
nothing is downloaded. Each has the input that it was made for, or a smaller one where the network takes it;
the small kin of a family stand for the large ones.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from juggler.models import create
from juggler.models.widen import widen
from juggler.transform.equivalence import randomise

IMAGE = (3, 224, 224)
CLASSES = 1000


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes:
        name: what it is called in tables and files.
        family: whose kin it is.
        make: builds it, with the weights that its package starts from.
        shape: its input, without the batch.
    """

    name: str
    family: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = IMAGE

    def drawn(self, seed: int = 0) -> nn.Module:
        """Return the network in evaluation mode, every weight and statistic drawn by the seed."""
        torch.manual_seed(seed)
        network: Any = self.make().eval()
        return randomise(network, torch.Generator().manual_seed(seed))

    def example(self, seed: int = 0) -> torch.Tensor:
        """Return one random input, `[1, *shape]`."""
        return torch.randn(1, *self.shape, generator=torch.Generator().manual_seed(seed))


QUICK_SIDE, GLOBAL_POOL = 96, 7


def shrunk(network: Network, model: nn.Module) -> tuple[nn.Module, torch.Tensor]:
    """Return the network for a smaller image and an example of it; both unchanged where it takes no other.

    Average pooling of the last map, which fixes the size in many networks, becomes global. For a quick
    trial: the linear regions are the same.
    """
    own = copy.deepcopy(model)
    for path, module in list(own.named_modules()):
        if isinstance(module, nn.AvgPool2d) and min(_pair(module.kernel_size)) >= GLOBAL_POOL:
            parent, _, name = path.rpartition(".")
            setattr(own.get_submodule(parent), name, nn.AdaptiveAvgPool2d(1).eval())
    small = replace(network, shape=(3, *(min(side, QUICK_SIDE) for side in network.shape[1:])))
    try:
        with torch.no_grad():
            own(small.example())
    except (RuntimeError, ValueError):
        return model, network.example()
    return own, small.example()


def _pair(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else size


class Logits(nn.Module):
    """A classifier of transformers that gives its logits alone, as every other network does."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return `[batch, classes]`."""
        logits: torch.Tensor = self.classifier(image).logits
        return logits


def cv(module: str, name: str, family: str, shape: tuple[int, ...] = IMAGE, **options: Any) -> Network:
    """Return a network of pytorchcv."""

    def make() -> nn.Module:
        network: nn.Module = getattr(importlib.import_module(f"pytorchcv.models.{module}"), name)(**options)
        return network

    return Network(name, family, make, shape)


def hf(kind: str, family: str, shape: tuple[int, ...] = IMAGE, **options: Any) -> Network:
    """Return a classifier of transformers, by the first part of its class's name."""

    def make() -> nn.Module:
        transformers = importlib.import_module("transformers")
        config = getattr(transformers, f"{kind}Config")(num_labels=CLASSES, **options)
        return Logits(getattr(transformers, f"{kind}ForImageClassification")(config))

    return Network(f"hf_{kind.lower()}", family, make, shape)


def wide(family: str, structure: str, base: str = "resnet18", **options: Any) -> Network:
    """Return a network of ours with its convolutions replaced by a structure of the literature."""

    def make() -> nn.Module:
        return widen(create(base, classes=CLASSES, **options).eval(), structure).model

    return Network(f"{structure}_{base}", family, make)


def networks() -> tuple[Network, ...]:
    """Return all of them."""
    return (
        *_chains(),
        *_residual(),
        *_branched(),
        *_mobile(),
        *_searched(),
        *_transformers(),
        *_literature(),
    )


def named(names: Sequence[str]) -> tuple[Network, ...]:
    """Return those of these names or families; all for none.

    Raises:
        KeyError: there is no such name or family.
    """
    every = networks()
    unknown = set(names) - {one.name for one in every} - {one.family for one in every}
    if unknown:
        raise KeyError(f"no network or family {sorted(unknown)}; there are {[one.name for one in every]}")
    return tuple(one for one in every if not names or one.name in names or one.family in names)


def _chains() -> tuple[Network, ...]:
    return (
        cv("alexnet", "alexnet", "AlexNet"),
        cv("zfnet", "zfnet", "ZFNet"),
        cv("vgg", "bn_vgg11", "VGG"),
        cv("vgg", "vgg11", "VGG"),
        cv("nin_cifar", "nin_cifar10", "NiN", (3, 32, 32)),
        cv("darknet", "darknet_tiny", "DarkNet"),
        cv("darknet53", "darknet53", "DarkNet"),
        cv("diracnetv2", "diracnet18v2", "DiracNet"),
        cv("squeezenet", "squeezenet_v1_1", "SqueezeNet"),
    )


def _residual() -> tuple[Network, ...]:
    return (
        cv("resnet", "resnet18", "ResNet"),
        cv("resnet", "resnet50", "ResNet"),
        cv("resnet_cifar", "resnet20_cifar10", "ResNet", (3, 32, 32)),
        cv("seresnet", "seresnet18", "SE-ResNet"),
        cv("preresnet", "preresnet18", "PreResNet"),
        cv("resneta", "resneta18", "ResNet-D"),
        cv("resnext", "resnext26_32x4d", "ResNeXt"),
        cv("seresnext", "seresnext50_32x4d", "ResNeXt"),
        cv("senet", "senet16", "SENet"),
        cv("wrn", "wrn50_2", "WideResNet"),
        cv("wrn_cifar", "wrn16_10_cifar10", "WideResNet", (3, 32, 32)),
        cv("bagnet", "bagnet9", "BagNet"),
        cv("regnet", "regnetx002", "RegNet"),
        cv("regnet", "regnety002", "RegNet"),
        cv("cbamresnet", "cbam_resnet18", "CBAM-ResNet"),
        cv("ibnresnet", "ibn_resnet50", "IBN-ResNet"),
        cv("sepreresnet", "sepreresnet18", "SE-ResNet"),
        cv("dpn", "dpn68", "DPN"),
        cv("drn", "drnd22", "DRN"),
        cv("dla", "dla34", "DLA"),
    )


def _branched() -> tuple[Network, ...]:
    return (
        cv("densenet", "densenet121", "DenseNet"),
        cv("peleenet", "peleenet", "PeleeNet"),
        cv("vovnet", "vovnet27s", "VoVNet"),
        cv("hardnet", "hardnet39ds", "HarDNet"),
        cv("bninception", "bninception", "Inception"),
        cv("inceptionv3", "inceptionv3", "Inception", (3, 299, 299)),
        cv("inceptionv4", "inceptionv4", "Inception", (3, 299, 299)),
        cv("inceptionresnetv2", "inceptionresnetv2", "Inception-ResNet", (3, 299, 299)),
        cv("xception", "xception", "Xception", (3, 299, 299)),
        cv("hrnet", "hrnet_w18_small_v1", "HRNet"),
        cv("condensenet", "condensenet74_c4_g4", "CondenseNet"),
    )


def _mobile() -> tuple[Network, ...]:
    return (
        cv("mobilenet", "mobilenet_w1", "MobileNet"),
        cv("mobilenetv2", "mobilenetv2_w1", "MobileNetV2"),
        cv("mobilenetv3", "mobilenetv3_large_w1", "MobileNetV3"),
        cv("shufflenet", "shufflenet_g3_w1", "ShuffleNet"),
        cv("shufflenetv2", "shufflenetv2_w1", "ShuffleNetV2"),
        cv("ghostnet", "ghostnet", "GhostNet"),
        cv("igcv3", "igcv3_w1", "IGCV3"),
    )


def _searched() -> tuple[Network, ...]:
    return (
        cv("efficientnet", "efficientnet_b0", "EfficientNet"),
        cv("mnasnet", "mnasnet_b1", "MnasNet"),
        cv("fbnet", "fbnet_cb", "FBNet"),
        cv("mixnet", "mixnet_s", "MixNet"),
        cv("proxylessnas", "proxylessnas_cpu", "ProxylessNAS"),
        cv("nasnet", "nasnet_4a1056", "NASNet"),
    )


def _transformers() -> tuple[Network, ...]:
    small: dict[str, Any] = {
        "hidden_size": 192,
        "num_hidden_layers": 12,
        "num_attention_heads": 3,
        "intermediate_size": 768,
    }
    return (
        hf("ResNet", "ResNet", layer_type="basic", depths=[2, 2, 2, 2], hidden_sizes=[64, 128, 256, 512]),
        hf("RegNet", "RegNet", hidden_sizes=[24, 56, 152, 368], depths=[1, 1, 4, 7], groups_width=8),
        hf("MobileNetV1", "MobileNet"),
        hf("MobileNetV2", "MobileNetV2"),
        hf("EfficientNet", "EfficientNet", width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280),
        hf("ConvNext", "ConvNeXt"),
        hf("PoolFormer", "PoolFormer"),
        hf("ViT", "ViT", **small),
        hf("DeiT", "ViT", **small),
        hf("Swin", "Swin"),
        hf("Levit", "LeViT"),
        hf("MobileViT", "MobileViT", (3, 256, 256)),
        hf("Bit", "BiT", depths=[2, 2, 2, 2], hidden_sizes=[128, 256, 512, 1024], layer_type="preactivation"),
    )


def _literature() -> tuple[Network, ...]:
    return (
        wide("RepVGG", "repvgg"),
        wide("ACNet", "acnet"),
        wide("DBB", "dbb"),
        wide("MobileOne", "mobileone", width=0.5),
        wide("ExpandNet", "expandnet", width=0.25),
        Network("juggler_resnet18", "Juggler-ResNet", lambda: create("juggler_resnet18", classes=CLASSES)),
    )
