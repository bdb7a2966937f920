"""The networks that no learner may see: whoever draws samples from the shapes of networks leaves these out.

Whole families are held out, not single networks: the layers of VGG-13 are those of VGG-16. ResNets are not
among them, for the networks that come with the package are ResNets; they are for training.
"""

from __future__ import annotations

from juggler.registry import normalise

PAPER = ("lenet", "alexnet", "vgg16")  # of section 6.2, over batch sizes from 1 to 64
UNSEEN = {  # by family; each is one network of pytorchcv, or of another package under the same name
    "squeezenet": "squeezenet_v1_1",
    "mobilenet": "mobilenet_w1",
    "mobilenetv2": "mobilenetv2_w1",
    "mobilenetv3": "mobilenetv3_large_w1",
    "shufflenetv2": "shufflenetv2_w1",
    "densenet": "densenet121",
    "resnext": "resnext26_32x4d",
    "wrn": "wrn50_2",
    "bninception": "bninception",
    "inceptionv3": "inceptionv3",
    "regnet": "regnetx002",
    "efficientnet": "efficientnet_b0",
    "mnasnet": "mnasnet_b1",
    "darknet53": "darknet53",
    "vovnet": "vovnet27s",
    "dla": "dla34",
    "hardnet": "hardnet39ds",
    "peleenet": "peleenet",
    "preresnet": "preresnet18",
    "seresnet": "seresnet18",
}
BATCHES = (1, 2, 4, 8, 16, 32, 64)
# How the names of all kin begin; `mobilenet` takes `mobilenetv2` with it.
STEMS = (
    *("lenet", "alexnet", "zfnet", "vgg", "bn_vgg", "repvgg", "squeezenet", "squeezeresnet", "mobilenet"),
    *("shufflenetv2", "densenet", "resnext", "seresnext", "wrn", "wide_resnet", "bninception", "inception"),
    *("googlenet", "regnet", "efficientnet", "mnasnet", "mnas", "darknet", "vovnet", "dla", "hardnet"),
    *("peleenet", "preresnet", "seresnet", "sepreresnet"),
)


def is_held_out(name: str) -> bool:
    """Say whether a network belongs to a family that is kept for tests; `bn-VGG16_BN` and `vgg11` do."""
    return normalise(name).startswith(STEMS)
