"""From a candidate to a network with its weights, and to a graph that can be run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from juggler.data.standard import Standard
from juggler.errors import ConfigError, Unavailable
from juggler.files import write_atomically
from juggler.models.networks import checkpoint
from juggler.packages import is_installed
from juggler.reading.documents import parse_object
from juggler.reading.onnx_files import read_onnx
from juggler.reading.request import Request
from juggler.reading.tensors import read_safetensors
from juggler.runtime.deploy import CLASSIFIER
from juggler.runtime.export import draft
from juggler.runtime.sources.examples import is_graph
from juggler.runtime.sources.named import open_module
from juggler.runtime.sources.picture_folder import IMAGENET
from juggler.survey.catalogue import PYTORCHCV, Candidate
from juggler.transform import flatten
from juggler.transform.equivalence import randomise

FLATTEN_PX = 64  # the flat network is the same whatever the size
INSTALL = "pip install --no-deps pytorchcv requests"


@dataclass(frozen=True, eq=False)
class Opened:
    """A network, ready to be counted and exported.

    Attributes:
        module: in evaluation mode; None where the network is an ONNX file, which is taken as it is.
        graph: its ONNX file where it came as one, or its weights did.
        trained: whether its weights mean something.
        standard: how its pictures become numbers.
    """

    module: nn.Module | None
    graph: Path | None
    trained: bool
    standard: Standard


def opened(candidate: Candidate, weights: Path | None) -> Opened:
    """Open a network, with the weights of its name where the folder has them.

    Args:
        candidate: the network.
        weights: a folder with `NAME.safetensors` (a state dict) or `NAME.onnx`.

    Raises:
        Unavailable: the package that holds it is not installed.
        ArtefactError: the model or the weights cannot be read, or the weights belong to another network.
        ConfigError: there is no such network.
        Refused: its flat form cannot be made.
    """
    if candidate.model.startswith(PYTORCHCV) and not is_installed("pytorchcv"):
        raise Unavailable(f"survey {candidate.title}", "not installed: pytorchcv", INSTALL)
    source = Path(candidate.model)
    if is_graph(candidate.model) and not candidate.flat:
        return Opened(None, source, candidate.own_weights, standard_of(source))
    module, graph = open_module(candidate.model), source if is_graph(candidate.model) else None
    trained = candidate.own_weights
    path = weights_of(candidate, weights)
    if path is not None:
        trained = True
        if path.suffix == ".onnx":
            graph = path
        else:
            _load(module, path)
    if candidate.flat:
        side = (candidate.shape[0], *(min(size, FLATTEN_PX) for size in candidate.shape[1:]))
        module = flatten(module, torch.randn(1, *side)).model
    return Opened(
        module.eval(), graph, trained, standard_of(Path(candidate.model) if graph is None else graph)
    )


def weights_of(candidate: Candidate, folder: Path | None) -> Path | None:
    """Return the file of a network's weights; a flat network takes those of its wide form too.

    Raises:
        ConfigError: there is no such folder.
    """
    if folder is None:
        return None
    if not folder.is_dir():
        raise ConfigError(f"read weights from {folder}", "there is no such folder", "Name a folder")
    names = (
        [candidate.name, candidate.name.removesuffix("_flat") + "_wide"]
        if candidate.flat
        else [candidate.name]
    )
    paths = [folder / f"{name}{ending}" for name in names for ending in (".onnx", ".safetensors")]
    return next((path for path in paths if path.is_file()), None)


def graph_of(candidate: Candidate, network: Opened, folder: Path) -> Path:
    """Return an ONNX file of the network, written where it has none; random weights are drawn anew.

    Zeros and denormals, which fresh networks have in places, would change the speed.

    Raises:
        ConfigError: it cannot be exported.
    """
    if network.graph is not None:
        return network.graph
    module = network.module
    assert module is not None  # noqa: S101  # a network without one is a graph
    if not network.trained:
        module = _drawn(module)
    return write_atomically(
        folder / f"{candidate.name}.onnx", draft(module, torch.randn(1, *candidate.shape))
    )


def standard_of(model: Path) -> Standard:
    """Return how a file wants its pictures, where it says so; ImageNet's mean and deviation elsewhere.

    Classifiers that `juggler train` makes say it, as checkpoints and as ONNX files.
    """
    standard = None
    if model.suffix == ".onnx":
        request = Request(f"read {model}", "Export it again")
        entries = read_onnx(model, request, with_external=False).metadata_props
        text = next((entry.value for entry in entries if entry.key == CLASSIFIER), None)
        standard = parse_object(text, request).get("standard") if text else None
    elif model.suffix == ".safetensors":
        standard = checkpoint.load(model)[1].get("standard")
    return IMAGENET if standard is None else Standard.from_dict(standard)


def _load(module: nn.Module, path: Path) -> None:
    remedy = "Save the network's own state dict: safetensors.torch.save_file(network.state_dict(), path)"
    request = Request(f"read the weights {path}", remedy)
    tensors, _ = read_safetensors(path, request)
    with request.refusing("the weights of this network"):
        module.load_state_dict(tensors)


def _drawn(module: nn.Module) -> nn.Module:
    """Return a copy with all weights drawn at random, at scales that keep answers finite."""
    randomised: nn.Module = randomise(module, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    return randomised.eval()
