"""Any network trains wider, and comes back as the plain network that it was."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import juggler
from contracts_rules import randomised
from juggler import models
from juggler.errors import ConfigError, Refused
from juggler.models.branches import STRUCTURES, Branched, FusibleStructure, RepVGGBlock
from juggler.models.networks.blocks import BasicBlock, FusibleBlock
from juggler.models.widen import Replacement, widen
from juggler.transform import flatten

NAMES = sorted(STRUCTURES)
X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Stranger(nn.Module):
    """A network as people write them: strides, groups, dilation, padding, with norms and without."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(8, eps=1e-3)
        self.grouped = nn.Sequential(nn.Conv2d(8, 12, 3, padding=2, dilation=1, groups=4), nn.BatchNorm2d(12))
        self.depthwise = nn.Conv2d(12, 12, 5, padding="same", groups=12)
        self.point = nn.Conv2d(12, 6, 1)
        self.bare = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = F.relu(self.stem_norm(self.stem(x)))
        x = F.relu(self.grouped(x))
        x = F.relu(self.point(F.relu(self.depthwise(x))))
        return self.head(F.relu(self.bare(x)).mean((2, 3)))


def shapes(flat):
    return [(node.kind, node.shape, node.macs) for node in flat.flat_graph.nodes]


def weights(flat):
    return [tuple(value.shape) for value in flat.model.state_dict().values()]


@pytest.mark.parametrize("name", NAMES)
def test_a_widened_network_flattens_into_what_the_original_does(name):
    network = randomised(Stranger())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    wide = widen(network, name, seed=0)
    assert type(wide.model) is Stranger
    assert not wide.model.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [type(part) for part in network.modules()] == [type(part) for part in Stranger().modules()]
    assert {"stem", "bare"} <= {done.path for done in wide.replaced}
    original, flat = flatten(network, X), flatten(randomised(wide.model), X)
    assert flat.certificate.passed
    assert shapes(flat) == shapes(original)
    assert sorted(weights(flat)) == sorted(weights(original))


@pytest.mark.parametrize(
    ("network", "name"),
    [("resnet18", "juggler"), ("resnet18", "dbb"), ("vgg16", "mobileone"), ("vgg16", "expandnet")],
)
def test_networks_of_the_house_come_back_as_they_were(network, name):
    options = {"stem": "cifar"} if network == "resnet18" else {}
    plain = randomised(models.create(network, width=0.0625, **options))
    x = torch.randn(1, 3, 32, 32)
    wide = juggler.widen(plain, name, seed=1).model
    assert not hasattr(wide, "network_name"), "`create` would not make this network again"
    original, flat = flatten(plain, x), flatten(randomised(wide), x)
    assert flat.certificate.passed
    assert shapes(flat) == shapes(original)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("calibrated", [False, True])
def test_the_function_is_kept(name, calibrated):
    network = randomised(Stranger()).double()
    inputs = torch.randn(8, 3, 16, 16, dtype=torch.float64)
    wide = widen(network, name, keep_function=True, inputs=inputs if calibrated else None, seed=0)
    assert all(done.keeps_function for done in wide.replaced)
    assert wide.replaced
    with torch.no_grad():
        expected, found = network(X.double()), wide.model(X.double())
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_fine_tuning_goes_on_from_the_function_that_was_kept(name):
    """While training, norms see the batch: a structure must then be near to what the network was, too."""
    torch.manual_seed(0)
    stage = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    head = (nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    plain = nn.Sequential(*stage, *head)
    inputs = 2 * torch.randn(64, 3, 12, 12) + 1
    with torch.no_grad():
        for _ in range(60):
            plain(inputs)  # its norms know the inputs, as a trained network's do
        plain.eval()
        expected = plain(inputs)
        wide = widen(plain, name, keep_function=True, inputs=inputs, seed=0)
        assert {done.path for done in wide.replaced} == {"0", "3"}
        found = wide.model.train()(inputs)
    assert float((found - expected).abs().max() / expected.abs().max()) < 0.02


def test_a_widened_network_learns_in_every_branch():
    torch.manual_seed(0)
    wide = widen(Stranger().double(), "dbb", keep_function=True).model.train()
    optimizer = torch.optim.SGD(wide.parameters(), lr=0.05)
    before = copy.deepcopy(wide.state_dict())
    labels = torch.arange(16) % 4
    x = torch.randn(16, 3, 16, 16, dtype=torch.float64) + labels[:, None, None, None]
    losses = []
    for _ in range(6):
        loss = F.cross_entropy(wide(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    moved = {key for key, value in wide.named_parameters() if not torch.equal(value, before[key])}
    assert {key for key, value in wide.named_parameters() if value.ndim > 1} - moved == set()


def test_residual_blocks_become_fusible_blocks():
    plain = models.create("resnet18", width=0.0625, stem="cifar")
    wide = widen(plain, blocks=BasicBlock, seed=0)
    assert [done.structure for done in wide.replaced] == ["juggler"] * 8
    assert sum(isinstance(part, FusibleBlock) for part in wide.model.modules()) == 8
    paper = randomised(models.create("juggler_resnet18", width=0.0625, stem="cifar"))
    x = torch.randn(1, 3, 16, 16)
    assert shapes(flatten(randomised(wide.model), x)) == shapes(flatten(paper, x))
    by_predicate = widen(plain, "repvgg", blocks=lambda path, part: isinstance(part, BasicBlock))
    stages = by_predicate.model.stages
    assert all(
        [type(part) for part in block] == [RepVGGBlock, nn.ReLU] for stage in stages for block in stage
    )
    assert [block[0].geometry.stride for stage in stages for block in stage] == [(1, 1)] * 2 + [
        (2, 2),
        (1, 1),
    ] * 3


def test_the_seed_is_all_that_fresh_weights_depend_on():
    network = Stranger()
    state = torch.get_rng_state()
    one, two = (widen(network, "repvgg", seed=7).model.state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, two[key]) for key, value in one.items())
    other = widen(network, "repvgg", seed=8).model.state_dict()
    assert not torch.equal(one["stem.spatial.0.weight"], other["stem.spatial.0.weight"])


def test_what_was_replaced_is_told():
    wide = widen(Stranger(), "repvgg")
    stem = wide.replaced[0]
    assert (stem.path, stem.structure, stem.norm) == ("stem", "repvgg", "stem_norm")
    assert (stem.parameters_before, stem.parameters_after) == (3 * 8 * 9 + 16, 3 * 8 * 10 + 32)
    assert not stem.keeps_function
    assert Replacement.from_json(stem.to_json()) == stem
    assert [refusal.nodes for refusal in wide.left] == [("point",)]
    assert "1x1" in wide.left[0].reason
    assert [done.path for done in widen(Stranger(), "mobileone").replaced][3:] == ["point", "bare"]
    assert {done.path for done in widen(Stranger(), only=lambda path, conv: path == "bare").replaced} == {
        "bare"
    }


def test_modes_types_and_frozen_norms_stay():
    network = Stranger().double().train()
    network.stem_norm.eval()
    wide = widen(network).model
    assert wide.training
    assert {value.dtype for value in wide.parameters()} == {torch.float64}
    norms = [part for part in wide.stem.modules() if isinstance(part, nn.BatchNorm2d)]
    assert norms
    assert not any(part.training for part in norms)
    assert {part.eps for part in norms} == {1e-3}
    assert isinstance(wide.grouped[0], FusibleStructure)
    assert all(part.training for part in wide.grouped[0].modules())


def test_a_structure_is_not_widened_from_within():
    with pytest.raises(Refused, match="already"):
        widen(RepVGGBlock(4, 4))


def test_a_bare_convolution_is_a_network_too():
    wide = widen(nn.Conv2d(3, 4, 3, padding=1), "repvgg")
    assert isinstance(wide.model, RepVGGBlock)
    assert wide.replaced[0].path == ""


class Custom(nn.Conv2d):
    pass


class Reads(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(x) + self.conv.weight.sum()


class Idle(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.idle = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


def tied():
    one, two = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
    two.weight = one.weight
    return nn.Sequential(one, nn.ReLU(), two)


def hooked():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    conv.register_forward_hook(lambda *_: None)
    return conv


def frozen():
    conv = nn.Conv2d(3, 3, 3, padding=1)
    conv.weight.requires_grad_(False)
    return conv


SHARED = nn.Conv2d(3, 3, 3, padding=1)
SHARED_NORM = nn.BatchNorm2d(3)
LEFT = {
    "shared:": lambda: nn.Sequential(SHARED, nn.ReLU(), SHARED),
    "another module has": tied,
    "is a Custom": lambda: Custom(3, 3, 3, padding=1),
    "is a Conv1d": lambda: nn.Conv1d(3, 3, 3, padding=1),
    "is a ConvTranspose2d": lambda: nn.ConvTranspose2d(3, 3, 3, padding=1),
    "ParametrizedConv2d": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 3, padding=1)),
    "hooks": hooked,
    "frozen": frozen,
    "'reflect'": lambda: nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"),
    "more on one side": lambda: nn.Conv2d(3, 3, 4, padding="same"),
    "has no centre": lambda: nn.Conv2d(3, 3, 2, padding=1),
    "crop the map": lambda: nn.Conv2d(3, 3, 3),
    "1x1": lambda: nn.Conv2d(3, 3, 1),
    "reads its weights itself": Reads,
    "does not call it": Idle,
    "SyncBatchNorm": lambda: nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.SyncBatchNorm(3)),
    "no running statistics": lambda: nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3, track_running_stats=False)
    ),
    "its norm is shared": lambda: nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1), SHARED_NORM, nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1), SHARED_NORM
    ),
    "its norm's weights are frozen": lambda: nn.Sequential(
        nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3).requires_grad_(False)
    ),
    "its norm carries hooks": lambda: nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), hooked_norm()),
}


def hooked_norm():
    norm = nn.BatchNorm2d(3)
    norm.register_forward_pre_hook(lambda *_: None)
    return norm


@pytest.mark.parametrize("reason", LEFT)
def test_what_stays_is_named_with_its_reason(reason):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = LEFT[reason]()
            self.good = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.good(self.part(x))

    wide = widen(Network())
    assert "good" in {done.path for done in wide.replaced}
    assert wide.left
    assert all(reason in refusal.reason and refusal.remedy for refusal in wide.left), wide.left
    assert not any(
        isinstance(part, Branched) for part in wide.model.part.modules() if reason != "does not call it"
    )


def test_a_network_is_not_widened_twice():
    once = widen(Stranger(), "repvgg")
    with pytest.raises(Refused, match="already"):
        widen(once.model, only=lambda path, conv: path.startswith("stem"))
    again = widen(once.model, "mobileone")
    assert [done.path for done in again.replaced] == ["point"]


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("error", "arguments", "options"),
    [
        (ConfigError, (Stranger(), "vgg"), {}),
        (ConfigError, ("a name",), {}),
        (ConfigError, (Stranger(),), {"copies": 3}),
        (ConfigError, (Stranger(),), {"expansion": -1}),
        (ConfigError, (Stranger(), "mobileone"), {"copies": 0}),
        (ConfigError, (Stranger(),), {"blocks": BasicBlock, "keep_function": True}),
        (ConfigError, (Stranger(),), {"inputs": X}),
        (Refused, (Stranger(),), {"blocks": BasicBlock}),
        (Refused, (nn.Linear(3, 3),), {}),
        (Refused, (nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()),), {}),
        (Refused, (Branching(),), {}),
    ],
)
def test_what_cannot_be_widened_is_refused(error, arguments, options):
    with pytest.raises(error, match=r"widen the network|build a"):
        widen(*arguments, **options)


class Strange(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv

    def forward(self, x):
        return self.conv(x)


@pytest.mark.parametrize(
    ("conv", "reason"),
    [
        (nn.Conv2d(3, 3, 3), "no 3x3 convolution"),
        (nn.Linear(3, 3), "no two-dimensional"),
        (nn.Sequential(nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1)), "does not run"),
    ],
)
def test_a_block_of_no_known_shape_stays(conv, reason):
    network = nn.Sequential(Strange(conv), BasicBlock(3, 3))
    wide = widen(network, blocks=(Strange, BasicBlock))
    assert [refusal.nodes for refusal in wide.left] == [("0",)]
    assert reason in wide.left[0].reason
    assert [done.path for done in wide.replaced] == ["1"]
