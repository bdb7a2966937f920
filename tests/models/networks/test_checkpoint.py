"""Checkpoints: one file, whole or not at all, and never one that is not ours."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from juggler import models
from juggler.digest import tensors_sha256
from juggler.errors import ArtefactError, ConfigError
from juggler.models.networks import checkpoint


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    made = models.create("juggler_tabular", widths=(4, 6), blocks=(1, 1), image_size=(6, 5))
    made(torch.randn(8, 1, 6, 5))  # move the statistics away from 0 and 1
    return made.eval()


def test_comes_back_as_it_was(network: nn.Module, tmp_path: Path) -> None:
    extra = {"classes": ["normal", "dos"], "threshold": 0.25, "nested": {"a": [1, 2]}}
    models.save(tmp_path / "deep" / "net.safetensors", network, extra)
    before = torch.get_rng_state()
    loaded, found = models.load(tmp_path / "deep" / "net.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    assert found == extra
    assert not loaded.training
    assert models.weights_sha256(loaded) == models.weights_sha256(network)
    x = torch.randn(3, 1, 6, 5)
    assert torch.equal(loaded(x), network(x))
    assert all(weight.requires_grad for weight in loaded.parameters())
    assert loaded.network_name == "juggler_tabular"
    # And once more: what was loaded can be saved.
    models.save(tmp_path / "again", loaded, found)
    assert models.weights_sha256(models.load(tmp_path / "again")[0]) == models.weights_sha256(network)


def test_leaves_no_other_file_and_replaces_the_old_one(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    models.save(path, network, {"run": 1})
    models.save(path, network, {"run": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
    assert models.load(path)[1] == {"run": 2}


def test_a_write_that_fails_leaves_the_old_file(
    network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.safetensors"
    models.save(path, network, {"run": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space"):
        models.save(path, network, {"run": 2})
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]
    assert models.load(path)[1] == {"run": 1}


def test_refuses_to_save_what_could_not_be_loaded(network: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"models\.create"):
        models.save(tmp_path / "x", nn.Linear(1, 1))
    with pytest.raises(ConfigError, match="JSON"):
        models.save(tmp_path / "x", network, {"array": np.zeros(3)})
    with pytest.raises(ConfigError, match="JSON"):
        models.save(tmp_path / "x", network, {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_names_every_kind_of_damage(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(ArtefactError, match="no such file"):
        models.load(path)
    models.save(path, network)
    whole = path.read_bytes()
    for length in (0, 4, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtefactError, match="no whole safetensors file"):
            models.load(path)
    path.write_bytes(whole[:-7] + bytes([whole[-7] ^ 1]) + whole[-6:])
    with pytest.raises(ArtefactError, match="not the ones that were written"):
        models.load(path)
    path.write_bytes(b"PK\x03\x04" + bytes(range(200)))
    with pytest.raises(ArtefactError, match="no whole safetensors file"):
        models.load(path)
    with pytest.raises(ArtefactError):
        models.load(tmp_path)


def rewrite_header(path: Path, **changes: object) -> None:
    tensors, header = checkpoint.read_tensors(path, "network")
    text = json.dumps({**header, **changes})
    safetensors.torch.save_file(tensors, path, metadata={checkpoint.KEY: text})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 99}, "format version is 99"),
        ({"kind": "training"}, "it is a 'training' file"),
        ({"network": "resnet19"}, "no such network"),
        ({"options": {"widths": [4, 7], "blocks": [1, 1], "image_size": [6, 5]}}, "no such network"),
        ({"options": {"colour": 3}}, "no such network"),
        ({"options": None}, "no such network"),
    ],
)
def test_refuses_what_this_release_does_not_know(
    network: nn.Module, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    path = tmp_path / "net.safetensors"
    models.save(path, network)
    rewrite_header(path, **changes)
    with pytest.raises(ArtefactError, match=message):
        models.load(path)


@pytest.mark.parametrize("metadata", [None, {"other": "x"}, {checkpoint.KEY: "{"}, {checkpoint.KEY: "[1]"}])
def test_refuses_files_of_others(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "x", metadata=metadata)
    with pytest.raises(ArtefactError):
        models.load(tmp_path / "x")


def test_digest_sees_names_types_shapes_and_bytes_but_not_layout() -> None:
    def digest(**tensors: torch.Tensor) -> str:
        return tensors_sha256(tensors)

    base = torch.arange(6.0).reshape(1, 2, 1, 3)
    known = digest(w=base)
    assert digest(w=base.clone().to(memory_format=torch.channels_last)) == known
    others = [
        digest(v=base),
        digest(w=base.reshape(2, 3)),
        digest(w=base.double()),
        digest(w=base.view(torch.int32)),
        digest(w=base + torch.eye(1)),
        digest(w=base, v=base),
    ]
    assert len({known, *others}) == 7
    assert digest(a=torch.tensor(1), b=torch.ones(2, dtype=torch.bfloat16)) != known
