"""The networks of the survey: the seven of the analysis paper, their Juggler counterparts, the user's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from juggler.errors import JugglerError
from juggler.nouns import Noun
from juggler.runtime.onnx_graphs.structure import GraphStructure, read_structure
from juggler.runtime.sources.examples import is_graph
from juggler.runtime.sources.factory import is_factory
from juggler.runtime.sources.named import parse_shape

ALL = "all"
IMAGE, LARGE = (3, 224, 224), (3, 299, 299)
PYTORCHCV = "pytorchcv.models."


@dataclass(frozen=True)
class Candidate(Noun):
    """A network to survey.

    Attributes:
        name: in files, and what its weights are called: `NAME.safetensors` or `NAME.onnx`.
        title: in tables.
        model: what `juggler cost` takes.
        shape: of one input.
        flat: whether its flat form is meant.
        own_weights: whether the model brings weights that mean something.
        note: what must stand beside its figures.
    """

    name: str
    title: str
    model: str
    shape: tuple[int, ...] = IMAGE
    flat: bool = False
    own_weights: bool = False
    note: str = ""


def grouped_alexnet() -> nn.Module:
    """Return AlexNet as it was published: two groups, for the memory of two cards; for 227 px."""
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


def _juggler(depth: int, *, flat: bool) -> Candidate:
    form = "flat" if flat else "wide"
    return Candidate(
        f"juggler_resnet{depth}_{form}",
        f"Juggler-ResNet{depth} ({form})",
        f"juggler.models:create(name='juggler_resnet{depth}', classes=1000)",
        flat=flat,
        note="No accuracy on ImageNet has been published.",
    )


CATALOGUE = (
    Candidate("alexnet_grouped", "AlexNet", "juggler.survey.catalogue:grouped_alexnet", (3, 227, 227)),
    Candidate(
        "alexnet",
        "AlexNet (one group)",
        f"{PYTORCHCV}alexnet:alexnet",
        note="pytorchcv's: without the original's two groups, so with more work.",
    ),
    Candidate("vgg16", "VGG16", f"{PYTORCHCV}vgg:vgg16"),
    Candidate("vgg19", "VGG19", f"{PYTORCHCV}vgg:vgg19"),
    Candidate("resnet50", "ResNet50", f"{PYTORCHCV}resnet:resnet50"),
    Candidate("resnet152", "ResNet152", f"{PYTORCHCV}resnet:resnet152"),
    Candidate("inceptionv3", "Inception v3", f"{PYTORCHCV}inceptionv3:inceptionv3", LARGE),
    Candidate("xception", "Xception", f"{PYTORCHCV}xception:xception", LARGE),
    *(_juggler(depth, flat=flat) for depth in (50, 152) for flat in (False, True)),
)


def candidates(models: Sequence[str], shape: str) -> tuple[Candidate, ...]:
    """Return the networks to survey: those named, `all` standing for the catalogue; none named is all.

    Args:
        models: as `juggler cost` takes them.
        shape: of the input of those that are not in the catalogue: `channels,height,width`.

    Raises:
        ConfigError: the shape is none.
    """
    size = parse_shape(shape)
    custom: dict[str, Candidate] = {}
    for model in models or (ALL,):
        known = (
            CATALOGUE
            if model == ALL
            else [candidate for candidate in CATALOGUE if candidate.model == model and not candidate.flat]
        )
        for candidate in known or (_custom(model, size, custom),):
            custom[candidate.name] = candidate
    return tuple(custom.values())


def _own_size(graph: Path) -> tuple[int, ...]:
    """Return the input that an ONNX file fixes, without the batch; nothing of one that it leaves free."""
    try:
        sides = GraphStructure(read_structure(graph), graph.stem).input_shape[1:]
    except JugglerError:  # told where the file is opened
        return ()
    return tuple(side for side in sides if side is not None) if None not in sides else ()


def _custom(model: str, size: tuple[int, ...], taken: Mapping[str, Candidate]) -> Candidate:
    """Describe a network that the user names: shortly, or in full where the short name is taken."""
    path = Path(model)
    is_call = is_factory(model) and not path.exists()
    is_file = bool(path.suffix) and not is_call
    short = path.stem if is_file else model.partition(":")[2] or model
    for title in (short, model):
        name = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:80] or "network"
        if name not in taken or taken[name].model == model:
            break
    if is_graph(model):
        size = _own_size(path) or size
    # A factory of the user's own may load weights; pytorchcv and names of ours draw them.
    own_weights = is_file or (is_call and not model.startswith(PYTORCHCV))
    return Candidate(name, title, model, size, own_weights=own_weights)
