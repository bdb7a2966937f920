"""Every network by name: published sizes, options that are checked, graphs that torch's own tracer reads."""

from pathlib import Path

import pytest
import torch
from torch import fx, nn

import juggler
from contracts_rules import randomised
from juggler import models
from juggler.errors import ConfigError
from juggler.models.layers.annealing import anneal
from juggler.models.networks.blocks import initialise
from juggler.transform import Flattened, flatten

PUBLISHED = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "vgg16": 138_357_544,
    "alexnet": 61_100_840,
}
# All but annealed activations, which are no module of torch before they are gone.
LEVERS = {
    "expansion": 1.5,
    "branches": ("spatial", "pointwise", "horizontal", "vertical", "average"),
    "identity": "norm",
    "start": "identity",
}
# Small enough to run, each in every shape of its options.
SMALL = {
    "resnet18": {"width": 0.125, "stem": "cifar"},
    "resnet50": {"width": 0.125, "stem": "imagenet"},
    "juggler_resnet18": {"width": 0.125, "stem": "cifar", "expansion": 1.5},
    "juggler_resnet34": {"widths": (4, 6, 8, 10), "stem": "imagenet"},
    "juggler_resnet50": {"widths": (3, 4, 5, 6), "stem": "cifar", **LEVERS},
    "juggler_resnet101": {"widths": (3, 4, 5, 6), "stem": "cifar", "shrink": "pool", "blocks": (1, 2, 3, 1)},
    "resnet34": {"widths": (3, 4, 5, 6), "stem": "cifar", "inner_activations": False},
    "repvgg18": {"width": 0.125, "stem": "cifar"},
    "plain18": {"width": 0.125, "stem": "cifar"},
    "vgg16": {"width": 0.0625, "stem": "cifar", "norm": True},
    "alexnet": {"width": 0.0625, "stem": "cifar"},
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def parameters(name: str, **options: object) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in models.create(name, **options).parameters())


@pytest.mark.parametrize(("name", "published"), PUBLISHED.items())
def test_published_parameter_counts(name: str, published: int) -> None:
    assert parameters(name, classes=1000) == published


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_a_juggler_block_is_one_flat_3x3_of_the_stages_width(depth: int) -> None:
    # Flat, the Juggler-ResNet has one 3x3 a block: the very shapes of the plain stack of its depth.
    with torch.device("meta"):
        wide = models.create(f"juggler_resnet{depth}")
        plain = models.create(f"plain{depth}")
    flat = [m for m in plain.modules() if isinstance(m, nn.Conv2d)][1:]
    blocks = [block for stage in wide.stages for block in stage]
    assert len(blocks) == len(flat)
    for block, conv in zip(blocks, flat, strict=True):
        assert (block.expand.in_channels, block.reduce.out_channels) == (conv.in_channels, conv.out_channels)
        assert block.spatial.stride == conv.stride
        assert block.spatial.in_channels == 2 * conv.in_channels


@pytest.mark.parametrize("network", ["juggler_resnet18", "plain18", "repvgg18", "resnet18"])
def test_a_pooled_network_has_the_strided_ones_weights_and_halves_the_image_as_often(network: str) -> None:
    made = {
        shrink: models.create(network, width=0.0625, stem="cifar", shrink=shrink).eval()
        for shrink in ("stride", "pool")
    }
    pools = [module for module in made["pool"].modules() if isinstance(module, nn.MaxPool2d)]
    strides = [m.stride for m in made["pool"].modules() if isinstance(m, nn.Conv2d)]
    assert len(pools) == 3 and set(strides) == {(1, 1)}
    sizes = [sorted(tuple(w.shape) for w in one.parameters() if w.dim() == 4) for one in made.values()]
    assert sizes[0] == sizes[1]
    for size, left in ((32, 4), (33, 5), (7, 1), (1, 1)):
        x = torch.randn(2, 3, size, size)
        shapes = {one.stages(one.stem(x)).shape for one in made.values()}
        assert shapes == {torch.Size([2, 32, left, left])}


def test_blocks_says_how_many_each_stage_has() -> None:
    made = models.create("plain18", width=0.0625, stem="cifar", blocks=(1, 2, 3, 3))
    assert [len(stage) for stage in made.stages] == [1, 2, 3, 3]
    default = models.create("plain18", width=0.0625, stem="cifar")
    assert [len(stage) for stage in default.stages] == [2, 2, 2, 2]


@pytest.mark.parametrize(("name", "options"), SMALL.items())
def test_runs_and_is_traced_to_torchs_own_leaves(name: str, options: dict[str, object]) -> None:
    network = models.create(name, classes=7, in_channels=2, **options).eval()
    x = torch.randn(2, 2, 33, 32)
    traced = fx.symbolic_trace(network)
    for node in traced.graph.nodes:
        if node.op == "call_module":
            assert type(traced.get_submodule(node.target)).__module__.startswith("torch.nn")
        else:
            assert node.op in {"placeholder", "output"} or node.target.__name__ == "add"
    assert traced(x).shape == (2, 7)
    assert torch.equal(traced(x), network(x))


@pytest.mark.parametrize("mix", [(), (2, 3, 4)])
@pytest.mark.parametrize("head", ["flatten", "pool"])
@pytest.mark.parametrize("image_size", [(11, 11), (5, 8), (1, 1)])
def test_tabular_network_takes_the_size_it_was_made_for(
    head: str, image_size: tuple[int, int], mix: tuple[int, ...]
) -> None:
    network = models.create(
        "juggler-tabular",
        in_channels=3,
        image_size=image_size,
        widths=(4, 6, 8),
        blocks=(1, 2, 1),
        strides=(1, 2, 2),
        dropout=0.5,
        head=head,
        mix=mix,
    ).eval()
    x = torch.randn(2, 3, *image_size)
    assert network(x).shape == (2, 5)
    assert torch.equal(fx.symbolic_trace(network)(x), network(x))


def test_a_mix_lets_every_value_reach_every_other() -> None:
    # Without one, the first map's corner depends on its neighbours alone.
    for mix, reached in (((), 4), ((2, 2, 2), 30)):
        network = models.create(
            "juggler_tabular", image_size=(5, 6), widths=(8,), blocks=(1,), strides=(1,), mix=mix
        )
        image = torch.randn(1, 1, 5, 6, requires_grad=True)
        network.eval().stem(image)[0, :, 0, 0].sum().backward()
        assert int((image.grad != 0).sum()) == reached


def test_wider_and_more_expanded_networks_have_more_weights() -> None:
    base = parameters("juggler_resnet18")
    assert parameters("juggler_resnet18", width=2.0) > 3 * base
    assert parameters("juggler_resnet18", expansion=4.0) > 3 * base
    assert parameters("plain18", width=0.5) < parameters("plain18")


def test_every_name_makes_a_network_with_its_defaults() -> None:
    for name in models.names():
        assert parameters(name) > 0
    assert {
        "juggler_resnet18",
        "resnet152",
        "plain50",
        "repvgg101",
        "vgg16",
        "alexnet",
        "juggler_tabular",
    } <= set(models.names())


def test_remembers_how_it_was_made_defaults_included() -> None:
    network = models.create("juggler-tabular", widths=[4], blocks=[1], strides=[1])
    name, options = models.origin(network)
    assert name == "juggler_tabular"
    assert options["widths"] == [4]
    assert options["expansion"] == 2.0
    with pytest.raises(ConfigError, match="network_name"):
        models.origin(nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("juggler_resnet51", {}, "Did you mean 'juggler_resnet50'"),
        ("juggler_resnet50", {"clases": 3}, "Did you mean 'classes'"),
        ("resnet50", {"expansion": 2.0}, "no option 'expansion'"),
        ("resnet18", {"classes": 0}, "classes is 0"),
        ("resnet18", {"classes": True}, "classes is True"),
        ("resnet18", {"in_channels": 1.5}, "in_channels is 1.5"),
        ("resnet18", {"width": float("nan")}, "width is nan"),
        ("plain18", {"stem": "mnist"}, "imagenet, cifar"),
        ("plain18", {"widths": (1, 2, 3)}, "Give 4 numbers"),
        ("plain18", {"blocks": (1, 2, 3)}, "Give 4 numbers"),
        ("juggler_resnet18", {"blocks": (1, 2, 0, 2)}, "blocks is 0"),
        ("juggler_resnet18", {"blocks": 0}, "Give 4 numbers"),
        ("repvgg18", {"shrink": "mean"}, "stride, pool"),
        ("juggler_resnet18", {"expansion": 0.0}, "expansion is 0.0"),
        ("juggler_tabular", {"widths": (4,)}, "one of each for every stage"),
        ("juggler_tabular", {"widths": ()}, "at least one number"),
        ("juggler_tabular", {"mix": (8, 4)}, "Give 3 numbers"),
        ("juggler_tabular", {"mix": (8, 0, 4)}, "mix is 0"),
        ("juggler_tabular", {"head": "mean"}, "flatten, pool"),
        ("juggler_tabular", {"dropout": 1.0}, "dropout is 1.0"),
        ("juggler_resnet18", {"branches": ("sideways",)}, "sideways"),
        ("juggler_resnet18", {"identity": "batch"}, "bare, norm"),
        ("juggler_tabular", {"start": "warm"}, "kaiming, identity"),
        ("juggler_tabular", {"activations": "yes"}, "activations is 'yes'"),
        ("juggler_tabular", {"expansion": float("inf")}, "expansion is inf"),
        ("resnet18", {"inner_activations": 0}, "inner_activations is 0"),
        ("repvgg18", {"expansion": 2.0}, "no option 'expansion'"),
        ("repvgg18", {"stem": "mnist"}, "imagenet, cifar"),
        ("alexnet", {"dropout": -0.1}, "dropout is -0.1"),
        ("vgg16", {"width": 0}, "width is 0"),
    ],
)
def test_refuses_what_it_cannot_make(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        models.create(name, **options)


def test_starts_with_the_gain_of_relu() -> None:
    network = models.create("plain18", stem="cifar")
    conv = network.stages[1][0][0]
    fan_out = conv.out_channels * 9
    assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)


def test_the_face_lists_what_it_offers_and_nothing_else() -> None:
    assert set(models.__all__) <= set(dir(models))
    for name in models.__all__:
        assert getattr(models, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = models.nothing


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("juggler_resnet18", {}),
        ("juggler_resnet18", {**LEVERS, "activations": True}),
        ("repvgg18", {}),
    ],
)
@pytest.mark.parametrize("layout", [{}, {"shrink": "pool", "blocks": (1, 2, 3, 1)}])
def test_whatever_it_trains_with_the_flat_network_is_the_plain_one(
    name: str, options: dict[str, object], layout: dict[str, object]
) -> None:
    shape = {"widths": (3, 4, 5, 6), "stem": "cifar", "classes": 4, **layout}
    wide, plain = models.create(name, **shape, **options), models.create("plain18", **shape)
    anneal(wide, 1.0)
    x = torch.randn(1, 3, 17, 18)
    done, expected = (flatten(randomised(network), x) for network in (wide, plain))
    assert done.certificate.passed

    def told(flat: Flattened) -> list[tuple[object, ...]]:
        ops = [(node.kind, node.shape, node.macs) for node in flat.flat_graph.nodes]
        return ops + [tuple(value.shape) for value in flat.model.state_dict().values()]

    assert told(done) == told(expected)


@pytest.mark.parametrize(("name", "relus", "left"), [("resnet18", 17, 9), ("resnet50", 49, 17)])
def test_a_resnet_without_inner_activations_differs_in_nothing_else(name: str, relus: int, left: int) -> None:
    with_them, without = (models.create(name, width=0.0625, inner_activations=on) for on in (True, False))
    without.load_state_dict(with_them.state_dict())
    counts = []
    for network in (with_them, without):
        traced = fx.symbolic_trace(network.eval())
        called = [node for node in traced.graph.nodes if node.op == "call_module"]
        counts.append(sum(isinstance(traced.get_submodule(node.target), nn.ReLU) for node in called))
    assert counts == [relus, left]


def test_a_start_at_the_identity_outlives_the_draw_of_all_weights() -> None:
    network = models.create("juggler_resnet18", widths=(3, 4, 5, 6), start="identity")
    initialise(network)
    block = network.stages[1][0]
    assert torch.equal(block.reduce.weight[:, :4, 0, 0], torch.eye(4))
    assert torch.equal(block.expand.weight[:3, :, 0, 0], torch.eye(3))


def test_the_shipped_detector_is_made_by_this_release_with_all_levers_off() -> None:
    network, _ = models.load(Path(juggler.__file__).parent / "shipped" / "nsl_kdd.safetensors")
    _, options = models.origin(network)
    assert (options["branches"], options["identity"], options["activations"]) == ((), "bare", False)


@pytest.mark.parametrize(("name", "options"), [("vgg16", {"norm": True}), ("vgg16", {}), ("alexnet", {})])
def test_table_v_has_its_other_networks_at_32_pixels_and_any_width(
    name: str, options: dict[str, object]
) -> None:
    network = models.create(name, width=0.0625, stem="cifar", **options)
    labels = torch.arange(8) % 4
    images = torch.randn(8, 3, 32, 32) + labels[:, None, None, None]
    nn.functional.cross_entropy(network(images), labels).backward()
    assert all(bool(torch.isfinite(weight.grad).all()) for weight in network.parameters())
    assert parameters(name, width=0.25, stem="cifar", **options) < 0.1 * parameters(name, stem="cifar") + 1e4
