"""The networks whose counts are compared: one of each family in pytorchcv, transformers, Table I's seven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from benchmarks.claims.others_networks import Network, cv, hf

SMALL, LARGE = (3, 32, 32), (3, 299, 299)
STREET = (3, 256, 512)
_LARGEST = {"pnasnet": "pnasnet5large", "polynet": "polynet"}


def families() -> tuple[Network, ...]:
    """Return one network of each family, and kin where a family has two kinds of operators."""
    return (*_classifiers(), *_more_classifiers(), *_small(), *_dense(), *_transformers())


def _classifiers() -> tuple[Network, ...]:
    names = {
        "airnet": "airnet50_1x64d_r16",
        "airnext": "airnext50_32x4d_r2",
        "alexnet": "alexnet",
        "bagnet": "bagnet9",
        "bamresnet": "bam_resnet18",
        "bninception": "bninception",
        "cbamresnet": "cbam_resnet18",
        "channelnet": "channelnet",
        "condensenet": "condensenet74_c4_g4",
        "darknet": "darknet_tiny",
        "darknet53": "darknet53",
        "darts": "darts",
        "densenet": "densenet121",
        "diapreresnet": "diapreresnet10",
        "diaresnet": "diaresnet10",
        "dicenet": "dicenet_w1",
        "diracnetv2": "diracnet18v2",
        "dla": "dla34",
        "dpn": "dpn68",
        "drn": "drnd22",
        "efficientnet": "efficientnet_b0",
        "efficientnetedge": "efficientnet_edge_small_b",
        "espnetv2": "espnetv2_w1",
        "fbnet": "fbnet_cb",
        "fdmobilenet": "fdmobilenet_w1",
        "fishnet": "fishnet99",
        "ghostnet": "ghostnet",
        "hardnet": "hardnet39ds",
        "hrnet": "hrnet_w18_small_v1",
        "ibnbresnet": "ibnb_resnet50",
        "ibndensenet": "ibn_densenet121",
        "ibnresnet": "ibn_resnet50",
        "ibnresnext": "ibn_resnext50_32x4d",
        "igcv3": "igcv3_w1",
    }
    return tuple(cv(module, name, module) for module, name in names.items())


def _more_classifiers() -> tuple[Network, ...]:
    names = {
        "irevnet": "irevnet301",
        "isqrtcovresnet": "isqrtcovresnet18",
        "menet": "menet108_8x1_g3",
        "mixnet": "mixnet_s",
        "mnasnet": "mnasnet_b1",
        "mobilenet": "mobilenet_w1",
        "mobilenetb": "mobilenetb_w1",
        "mobilenetv2": "mobilenetv2_w1",
        "mobilenetv3": "mobilenetv3_large_w1",
        "nasnet": "nasnet_4a1056",
        "octresnet": "octresnet10_ad2",
        "peleenet": "peleenet",
        "preresnet": "preresnet18",
        "proxylessnas": "proxylessnas_cpu",
        "regnet": "regnety002",
        "resattnet": "resattnet56",
        "resnesta": "resnestabc14",
        "resnet": "resnet18",
        "resneta": "resneta18",
        "resnetd": "resnetd50b",
        "resnext": "resnext26_32x4d",
        "scnet": "scnet50",
        "selecsls": "selecsls42",
        "senet": "senet16",
        "sepreresnet": "sepreresnet18",
        "seresnet": "seresnet18",
        "seresnext": "seresnext50_32x4d",
        "sharesnet": "sharesnet18",
        "shufflenet": "shufflenet_g3_w1",
        "shufflenetv2": "shufflenetv2_w1",
        "shufflenetv2b": "shufflenetv2b_w1",
        "sknet": "sknet50",
        "sparsenet": "sparsenet121",
        "spnasnet": "spnasnet",
        "squeezenet": "squeezenet_v1_1",
        "squeezenext": "sqnxt23_w1",
        "tresnet": "tresnet_m",
        "vgg": "bn_vgg11",
        "vovnet": "vovnet27s",
        "wrn": "wrn50_2",
        "xdensenet": "xdensenet121_2",
        "zfnet": "zfnet",
    }
    big = {
        "inceptionresnetv1": "inceptionresnetv1",
        "inceptionresnetv2": "inceptionresnetv2",
        "inceptionv3": "inceptionv3",
        "inceptionv4": "inceptionv4",
        "xception": "xception",
    }
    return (
        *(cv(module, name, module) for module, name in names.items()),
        *(cv(module, name, module, LARGE) for module, name in big.items()),
        *(cv(module, name, module, (3, 331, 331)) for module, name in _LARGEST.items()),
    )


def _small() -> tuple[Network, ...]:
    names = {
        "msdnet_cifar10": "msdnet22_cifar10",
        "nin_cifar": "nin_cifar10",
        "pyramidnet_cifar": "pyramidnet110_a48_cifar10",
        "resdropresnet_cifar": "resdropresnet20_cifar10",
        "rir_cifar": "rir_cifar10",
        "ror_cifar": "ror3_56_cifar10",
        "shakedropresnet_cifar": "shakedropresnet20_cifar10",
        "shakeshakeresnet_cifar": "shakeshakeresnet20_2x16d_cifar10",
        "wrn1bit_cifar": "wrn20_10_1bit_cifar10",
        "wrn_cifar": "wrn16_10_cifar10",
    }
    return tuple(cv(module, name, module, SMALL) for module, name in names.items())


def _dense() -> tuple[Network, ...]:
    """Return networks for whole scenes, poses and speech: transposed, resampling and 1d operators."""
    return (
        cv("unet", "unet_cityscapes", "unet", STREET, in_size=STREET[1:]),
        cv("segnet", "segnet_cityscapes", "segnet", STREET, in_size=STREET[1:]),
        cv("erfnet", "erfnet_cityscapes", "erfnet", STREET, in_size=STREET[1:]),
        cv("linknet", "linknet_cityscapes", "linknet", STREET, in_size=STREET[1:]),
        cv("fcn8sd", "fcn8sd_resnetd50b_voc", "fcn8sd", (3, 240, 240), in_size=(240, 240), aux=False),
        cv("pspnet", "pspnet_resnetd50b_voc", "pspnet", (3, 240, 240), in_size=(240, 240), aux=False),
        cv(
            "deeplabv3", "deeplabv3_resnetd50b_voc", "deeplabv3", (3, 240, 240), in_size=(240, 240), aux=False
        ),
        cv("simplepose_coco", "simplepose_resnet18_coco", "simplepose", (3, 256, 192)),
    )


def _transformers() -> tuple[Network, ...]:
    small: dict[str, Any] = {
        "hidden_size": 192,
        "num_hidden_layers": 12,
        "num_attention_heads": 3,
        "intermediate_size": 768,
    }
    return (
        hf("ViT", "transformers", **small),
        hf("Swin", "transformers"),
        hf("ConvNext", "transformers"),
        hf("Levit", "transformers"),
        hf("MobileViT", "transformers", (3, 256, 256)),
        hf("PoolFormer", "transformers"),
    )


@dataclass(frozen=True)
class Quoted:
    """A row of Table I of the analysis paper: 10^6 parameters, 10^9 floating-point operations."""

    network: Network
    parameters_m: float
    gflop: float


def table_one() -> tuple[Quoted, ...]:
    """Return the paper's networks with its figures; its ResNets halve the map in their 1x1 convolutions."""
    return (
        Quoted(Network("alexnet_grouped", "AlexNet", grouped_alexnet, (3, 227, 227)), 60.96, 1.27),
        Quoted(cv("vgg", "vgg16", "VGG16"), 138.36, 31.06),
        Quoted(cv("vgg", "vgg19", "VGG19"), 143.67, 39.40),
        Quoted(cv("resnet", "resnet50", "ResNet50"), 25.64, 7.80),
        Quoted(cv("resnet", "resnet152", "ResNet152"), 60.50, 22.83),
        Quoted(cv("inceptionv3", "inceptionv3", "Inception III", LARGE), 23.85, 11.51),
        Quoted(cv("xception", "xception", "Xception", LARGE), 22.91, 16.87),
    )


def grouped_alexnet() -> nn.Module:
    """Return AlexNet as it was published: two halves, for the memory of two cards."""
    norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 2.0)
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), norm, nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), norm, nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
        *(nn.Flatten(), nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, 1000),
    )
