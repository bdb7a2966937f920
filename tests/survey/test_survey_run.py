"""Whole surveys of small networks: counts by hand, pictures made here, weights trained here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from onnxruntime.quantization import quantize_dynamic
from PIL import Image
from torch import nn

from juggler.data.standard import Standard
from juggler.errors import ArtefactError, ConfigError, Unavailable
from juggler.models import create
from juggler.models.networks import checkpoint
from juggler.runtime.deploy import CLASSIFIER
from juggler.runtime.export import draft
from juggler.runtime.sources.picture_folder import IMAGENET, picture_folder
from juggler.survey import CATALOGUE, ORIGINS, Options, Survey, candidates, survey, to_csv, write_survey
from juggler.survey.opening import graph_of, opened, weights_of
from juggler.survey.store import COLUMNS

MODULE = """
from torch import nn

def small(width=4):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3),
    )

def no_layers():
    return nn.Sequential(nn.ReLU())

class Block(nn.Module):
    def __init__(self, shared=False):
        super().__init__()
        parts = [
            nn.ModuleDict(
                {
                    "qkv": nn.Linear(64, 192), "out": nn.Linear(64, 64),
                    "mlp": nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64)),
                }
            )
            for _ in range(2)
        ]
        self.blocks = nn.ModuleList([parts[0], parts[0]] if shared else parts)

    def forward(self, x):
        for block in self.blocks:
            q, k, v = block["qkv"](x).view(*x.shape[:2], 3, 4, 16).permute(2, 0, 3, 1, 4).unbind(0)
            y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
            x = x + block["out"](y)
            x = x + block["mlp"](x)
        return x
"""
SHAPE, SIDE = "3,14,14", 14
NET = "nets_of_the_survey_test:small"
CLASSES = ("blue", "green", "red")


@pytest.fixture(autouse=True)
def module(elsewhere: Path) -> Path:
    (elsewhere / "nets_of_the_survey_test.py").write_text(MODULE, encoding="utf-8")
    return elsewhere


def small(width: int = 4) -> nn.Module:
    space: dict[str, object] = {}
    exec(MODULE, space)  # noqa: S102  # the very text that the survey imports
    return space["small"](width)  # type: ignore[operator,no-any-return]


def fill(root: Path, count: int = 12) -> Path:
    """Write pictures whose class is the brightest colour."""
    rng = np.random.default_rng(0)
    for channel, name in ((2, "blue"), (1, "green"), (0, "red")):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
            pixels[..., channel] += 130
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def trained(folder: Path) -> Path:
    """Train the small network for some steps to name the brightest colour; write its weights."""
    torch.manual_seed(0)
    network = small().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(60):
        labels = torch.randint(0, 3, (48,))
        images = torch.rand(48, 3, SIDE, SIDE)
        images[torch.arange(48), 2 - labels] += 1.0  # classes are sorted: blue, green, red
        optimizer.zero_grad()
        nn.functional.cross_entropy(network((images - 0.45) / 0.22), labels).backward()
        optimizer.step()
    folder.mkdir()
    safetensors.torch.save_file(network.state_dict(), folder / "small.safetensors")
    return folder


def test_counts_are_those_worked_out_by_hand():
    found = survey(candidates([NET], SHAPE), Options(budget=64, time=False)).networks[0]
    assert found.title == found.name == "small"
    conv, linear = 12 * 12 * 27 * 4, 4 * 3
    assert found.value("gflop") == pytest.approx(2 * (conv + linear) / 1e9)
    assert found.value("parameters_m") == pytest.approx((27 * 4 + 2 * 4 + 4 * 3 + 3) / 1e6)
    assert found.array.elements <= 64
    assert found.cycles_on == {"small": found.array.cycles}
    assert [at.weight_mb for at in found.precisions] == pytest.approx([120e-6, 240e-6, 480e-6])
    assert found.amounts["top1"].origin == "unavailable"
    assert found.amounts["latency_ms"].source == "no time was measured" == found.amounts["power_w"].source
    assert found.paper == {}


def test_weights_are_counted_once_and_products_of_activations_apart():
    (tied,) = survey(
        candidates(["nets_of_the_survey_test:Block"], "4096,64"), Options(64, time=False)
    ).networks
    # Four matrices a block, both blocks; the same block twice would have half.
    weights = 2 * (64 * 192 + 64 * 64 + 2 * 64 * 256)
    assert weights == 98_304
    assert [at.weight_mb for at in tied.precisions] == pytest.approx([weights * b / 1e6 for b in (1, 2, 4)])
    # Keys and values of both blocks: 4,096 tokens of 64 numbers each.
    operands = 2 * 2 * 4096 * 64
    assert [at.operand_mb for at in tied.precisions] == pytest.approx([operands * b / 1e6 for b in (1, 2, 4)])
    pruned = next(change for change in tied.what_ifs if change.name == "half of the weights pruned")
    assert pruned.weight_mb == pytest.approx(weights / 2 * (32 + 4) / 8 / 1e6)
    (once,) = survey(
        candidates(["nets_of_the_survey_test:Block(shared=True)"], "4096,64"), Options(64, time=False)
    ).networks
    assert once.precisions[0].weight_mb == pytest.approx(weights / 2 / 1e6)
    assert once.value("gflop") == tied.value("gflop")


def test_an_int8_file_is_surveyed_as_it_is(tmp_path):
    plain, narrow = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 144, 3)).eval()
    plain.write_bytes(draft(network, torch.randn(1, 3, SIDE, SIDE)))
    quantize_dynamic(plain, narrow)
    rows = survey(candidates([str(plain), str(narrow)], SHAPE), Options(budget=64, time=False)).networks
    macs, weights = 144 * 4 * 27 + 576 * 3, 4 * 27 + 576 * 3
    for row in rows:
        assert row.value("gflop") == pytest.approx(2 * macs / 1e9)
        assert row.value("parameters_m") == pytest.approx((weights + 4 + 3) / 1e6)
        assert row.at(8).weight_mb == pytest.approx(weights / 1e6)
        assert row.uncounted == ()


def test_a_network_of_what_is_not_counted_says_so(tmp_path):
    make = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Mystery", ["x"], ["y"], domain="of.mine")
    graph = onnx.helper.make_graph([node], "g", [make("x", 1, ["n", 3, 4, 4])], [make("y", 1, None)])
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in (("", 17), ("of.mine", 1))]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), tmp_path / "mine.onnx")
    with pytest.raises(ConfigError, match=r"not counted: 1 onnx\.of\.mine\.Mystery"):
        survey(candidates([str(tmp_path / "mine.onnx")], "3,4,4"), Options(time=False))


def test_time_is_measured_and_power_estimated_or_measured():
    tellings = []
    options = Options(threads=1, rounds=2)
    found = survey(candidates([NET, f"{NET}(width=6)"], SHAPE), options, progress=tellings.append)
    for one in found.networks:
        time, power, energy = (one.amounts[key] for key in ("latency_ms", "power_w", "energy_mj"))
        assert time.origin == "measured"
        assert time.low <= time.value <= time.high
        assert "2 networks in turns, 2 rounds" in time.source
        assert power.origin in ("estimated", "measured")
        assert power.value == pytest.approx(energy.value / time.value)
    assert found.backend.startswith("onnxruntime")
    assert [name for name in ("small", "small_width_6") if name in found.networks[1].cycles_on]
    assert max(each.done for each in tellings) == pytest.approx(tellings[-1].total)


def test_accuracy_and_its_losses_are_measured(tmp_path):
    pictures = picture_folder(fill(tmp_path / "pictures"))
    options = Options(time=False, pictures=pictures, weights=trained(tmp_path / "weights"), threads=1)
    whole = survey(candidates([NET], SHAPE), options)
    found = whole.networks[0]
    top1, top5 = found.amounts["top1"], found.amounts["top5"]
    assert (top1.origin, top5.origin) == ("measured", "measured")
    assert top1.value > 90, "it has learnt the colours"
    assert top5.value == 100, "of three classes the right one is always among five"
    assert top1.low <= top1.value <= top1.high
    assert whole.pictures.startswith("27 of pictures")
    assert found.at(8).loss.origin == "measured"
    assert abs(found.at(8).loss.value) < 20
    assert (found.at(32).loss.value, found.at(16).loss.origin) == (0.0, "unavailable")
    losses = {change.name: change.loss for change in found.what_ifs}
    assert losses["half of the weights pruned"].origin == "measured"
    assert "without fine-tuning" in losses["half of the weights pruned"].source
    assert losses["half of the weights pruned, zeros skipped"] == losses["half of the weights pruned"]
    assert losses["half of the channels"].origin == "unavailable"
    assert "pictures of pictures" in found.amounts["top1"].source


def test_random_weights_are_not_measured(tmp_path):
    pictures = picture_folder(fill(tmp_path / "pictures", count=4))
    found = survey(candidates(["resnet18"], "3,32,32"), Options(time=False, pictures=pictures)).networks[0]
    assert found.amounts["top1"].origin == "unavailable"
    assert "random" in found.at(8).loss.source


def test_pictures_of_other_classes_are_told(tmp_path):
    pictures = picture_folder(fill(tmp_path / "pictures"))
    (tmp_path / "pictures" / "white").mkdir()
    Image.new("RGB", (16, 16), "white").save(tmp_path / "pictures" / "white" / "0.png")
    Image.new("RGB", (16, 16), "white").save(tmp_path / "pictures" / "white" / "1.png")
    pictures = picture_folder(tmp_path / "pictures")
    found = survey(candidates([NET], SHAPE), Options(time=False, pictures=pictures)).networks[0]
    assert found.amounts["top1"].origin == "unavailable"
    assert "the pictures have 4 classes" in found.at(8).loss.source


def test_a_trained_classifier_says_how_its_pictures_become_numbers(tmp_path):
    standard = Standard((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    checkpoint.save(
        tmp_path / "mine.safetensors", create("alexnet", width=0.02), {"standard": standard.to_dict()}
    )
    found = opened(candidates([str(tmp_path / "mine.safetensors")], "3,64,64")[0], None)
    assert found.trained
    assert found.standard == standard
    one = candidates([NET], SHAPE)[0]
    assert opened(one, None).standard == IMAGENET
    path = graph_of(one, opened(one, None), tmp_path)
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {CLASSIFIER: json.dumps({"standard": standard.to_dict()})})
    onnx.save(model, str(path))
    assert opened(candidates([str(path)], SHAPE)[0], None).standard == standard


def test_weights_of_another_network_are_refused(tmp_path):
    folder = trained(tmp_path / "weights")
    one = candidates([f"{NET}(width=6)"], SHAPE)[0]
    assert weights_of(one, folder) is None
    (folder / "small.safetensors").rename(folder / "small_width_6.safetensors")
    with pytest.raises(ArtefactError, match=r"read the weights .*size mismatch"):
        survey([one], Options(time=False, weights=folder))


def test_a_network_that_fails_is_left_out_and_the_others_go_on():
    found = survey(candidates([NET, "nets_of_the_survey_test:no_layers"], SHAPE), Options(time=False))
    assert [one.title for one in found.networks] == ["small"]
    assert [(one.what, one.reason) for one in found.left_out] == [("no_layers", "it multiplies nothing")]
    with pytest.raises(ConfigError, match="neither a file nor a network's name"):
        survey(candidates(["nothing_of_the_kind"], SHAPE), Options(time=False))


def test_without_pytorchcv_its_networks_say_what_installs_it(monkeypatch):
    monkeypatch.setattr("juggler.survey.opening.is_installed", lambda package: False)
    vgg = next(one for one in CATALOGUE if one.name == "vgg16")
    with pytest.raises(Unavailable, match="pip install --no-deps pytorchcv"):
        opened(vgg, None)


def test_the_catalogue_holds_the_papers_networks_and_ours():
    names = [one.name for one in candidates([], "3,224,224")]
    assert len(names) == len(set(names)) == 12
    assert candidates(["all"], "3,8,8") == CATALOGUE
    sizes = {one.name: one.shape[1:] for one in CATALOGUE}
    assert sizes["inceptionv3"] == sizes["xception"] == (299, 299)
    assert sizes["vgg16"] == (224, 224)
    one = candidates(["pytorchcv.models.resnet:resnet50"], "3,8,8")[0]
    assert (one.name, one.shape, one.own_weights) == ("resnet50", (3, 224, 224), False)
    other = candidates(["pytorchcv.models.resnet:resnet18"], "3,8,8")[0]
    assert (other.name, other.shape, other.own_weights) == ("resnet18", (3, 8, 8), False)
    both = candidates(["a.b:make", "c.d:make", "net.onnx"], SHAPE)
    assert [one.name for one in both] == ["make", "c_d_make", "net"]


def test_files_hold_every_figure_with_its_origin(tmp_path):
    found = survey(candidates([NET], SHAPE), Options(time=False, bits=(8, 32)))
    data, table = write_survey(found, tmp_path / "out")
    assert Survey.from_json(data.read_text(encoding="utf-8")) == found
    lines = [line.split(",") for line in to_csv(found).splitlines()]
    assert table.read_text(encoding="utf-8") == to_csv(found)
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == 1 + 7 + 2 + 2 * 4 + 5 * len(found.networks[0].what_ifs)
    assert all(any(origin in line for origin in ORIGINS) for line in lines[1:])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": 0}, "a budget of 0"),
        ({"bits": ()}, "precisions"),
        ({"bits": (8, 65)}, "precisions"),
        ({"rounds": 0}, "0 rounds"),
        ({"threads": 0}, "0 threads"),
    ],
)
def test_options_that_cannot_work_are_refused(options, words):
    with pytest.raises(ConfigError, match=words):
        Options(**options)
