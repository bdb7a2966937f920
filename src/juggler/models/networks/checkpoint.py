"""One network, or the state of one training run, in one safetensors file that is written whole or not at all.

The tensors' bytes are followed by nothing that runs: no pickle. The file's metadata hold one JSON object
under the key `juggler` with the format version, what the file is, the network's name and options, the
digest of the tensors and whatever the caller adds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from juggler.digest import tensors_sha256
from juggler.errors import ArtefactError, ConfigError
from juggler.files import write_atomically
from juggler.models.networks.creation import create, origin
from juggler.reading.documents import DocumentLimits, parse_object
from juggler.reading.request import Request
from juggler.reading.tensors import read_safetensors, read_tensor_header

FORMAT_VERSION = 1
KEY = "juggler"


def save(path: str | Path, module: nn.Module, extra: Mapping[str, Any] | None = None) -> None:
    """Write a network that `create` made, atomically, with JSON of the caller's own beside it.

    Raises:
        ConfigError: `create` did not make the module, or `extra` is not JSON.
    """
    name, options = origin(module)
    about = {"network": name, "options": options, "extra": dict(extra or {})}
    write_tensors(Path(path), "network", module.state_dict(), about)


def load(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a network that `save` wrote; return it, on the CPU and in evaluation mode, and the extra JSON.

    Raises:
        ArtefactError: the file is missing, damaged, not ours, of another version, or of a network that this
            release does not make.
    """
    tensors, about = read_tensors(Path(path), "network")
    try:
        # Made without memory or random draws; its tensors are then the file's own.
        with torch.device("meta"):
            module = create(about["network"], **about["options"])
        module.load_state_dict(tensors, assign=True)
    except (ConfigError, KeyError, TypeError, RuntimeError) as error:
        raise ArtefactError(
            f"load the network in {path}",
            f"this release makes no such network: {error}",
            "Read it with the release that wrote it, or train it again",
        ) from error
    extra = about.get("extra")
    return module.eval(), dict(extra) if isinstance(extra, dict) else {}


def write_tensors(path: Path, kind: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write named tensors and a JSON object as one file, atomically.

    Raises:
        ConfigError: `about` is not JSON.
    """
    # Cloned where two names share memory: safetensors refuses those, and a checkpoint needs no sharing.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    header = {"format_version": FORMAT_VERSION, "kind": kind, "sha256": tensors_sha256(plain), **about}
    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"write the {kind} file {path}", str(error), "Keep to what JSON knows: no arrays, no NaN"
        ) from error
    write_atomically(path, safetensors.torch.save(plain, metadata={KEY: text}))


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote, and check that every byte is as it was.

    Raises:
        ArtefactError: the file is missing, damaged, not ours, of another kind or version.
    """
    request = f"read the {kind} file {path}"
    # Whose it is, is known before the tensors are read.
    header = _header(request, read_tensor_header(path, Request(request, _AGAIN)).metadata.get(KEY), kind)
    tensors, _ = read_safetensors(path, Request(request, _AGAIN))
    if header.get("sha256") != tensors_sha256(tensors):
        raise ArtefactError(request, "its tensors are not the ones that were written", _AGAIN)
    return tensors, header


# The state of a random generator is a number of 128 bits.
_HEADER_LIMITS = DocumentLimits(digits=40)
_AGAIN = "Copy it again from where it is whole, or write it again"


def _header(request: str, text: str | None, kind: str) -> dict[str, Any]:
    """Return the JSON header once it is known to be ours, of this version and kind."""
    if text is None:
        raise ArtefactError(request, "juggler did not write it", "Give a file that juggler's training wrote")
    header = parse_object(text, Request(request, _AGAIN), _HEADER_LIMITS)
    if header.get("format_version") != FORMAT_VERSION:
        raise ArtefactError(
            request,
            f"its format version is {header.get('format_version')!r}, this release reads {FORMAT_VERSION}",
            "Read it with the release that wrote it, or write it again with this one",
        )
    if header.get("kind") != kind:
        raise ArtefactError(request, f"it is a {header.get('kind')!r} file", f"Give a {kind} file")
    return header
