"""Programs of torch.export as graphs: equal to the program's own module in float64, in torch's modules."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram, export
from torch.nn import functional

from juggler.errors import Refused
from juggler.transform.tracing.exported import from_exported


class Gated(nn.Module):
    """A convolution, batch norm in place, squeeze and excitation, pools, a concatenation, a slice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(True)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.SiLU(True), nn.Conv2d(2, 8, 1), nn.Sigmoid()
        )
        self.drop, self.head = nn.Dropout(), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.conv(x)))
        y = functional.max_pool2d(x * self.gate(x) + x, 2)
        y = torch.cat([y, functional.avg_pool2d(functional.relu6(y), 3, 1, 1)], 1)[:, 2:10]
        return self.head(self.drop(functional.pad(y, (1, 0, 0, 2))).mean((2, 3)))


class Attending(nn.Module):
    """What transformers are made of: patches, tokens, attention by hand and by torch, layer norms."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.place = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 4, 8))
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 8)
        self.mix, self.head = nn.Linear(8, 24), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2) + self.place
        q, k, v = self.mix(self.norm(x)).chunk(3, dim=-1)
        one = torch.softmax(q @ k.transpose(1, 2) / 8**0.5, -1) @ v
        x = x + self.out(one + functional.scaled_dot_product_attention(q, k, v))
        return self.head(functional.gelu(x)[:, 0])


class Rare(nn.Module):
    """Transposed and one-dimensional convolutions, other norms and activations, views by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.group = nn.ConvTranspose2d(3, 4, 3, 2, 1, 1, groups=1), nn.GroupNorm(2, 4)
        self.line, self.norm, self.slope = nn.Conv1d(4, 6, 3, padding=1), nn.BatchNorm1d(6), nn.PReLU(6)
        self.last = nn.Linear(12, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(functional.hardswish(self.group(self.up(x))), 0.2)
        x = self.slope(self.norm(self.line(x.mean(3))))
        x = functional.adaptive_avg_pool1d(functional.elu(x).clamp(0, 6), 2)
        return self.last(x.view(x.size(0), -1)) - 1.5


class Weighted(nn.Module):
    """A kernel that is computed from weights, as weight norm and DiracNet have it."""

    def __init__(self) -> None:
        super().__init__()
        self.direction, self.norm = nn.Parameter(torch.randn(4, 3, 3, 3)), nn.Parameter(torch.rand(4))
        self.register_buffer("shift", torch.randn(1, 4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel = self.direction / self.direction.square().sum((1, 2, 3), keepdim=True).sqrt()
        return functional.conv2d(x, kernel * self.norm[:, None, None, None], padding=1) + self.shift


class Shuffled(nn.Module):
    """A channel shuffle, and an addition in place on a view that is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        n, c, h, w = x.shape
        y = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        x[:, :2] += 1.0
        return x * y


NETWORKS = [Gated, Attending, Rare, Weighted, Shuffled]


def randomised(make: Callable[[], nn.Module]) -> nn.Module:
    """Return the network in float64, every batch-norm statistic drawn."""
    torch.manual_seed(0)
    network = make().double().eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.normal_(part.running_mean)
    return network


def captured(network: nn.Module, *, free: bool = True) -> ExportedProgram:
    example = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    return export(network, (example,), dynamic_shapes=({0: Dim("batch")},) if free else None)


@pytest.mark.parametrize("make", NETWORKS)
def test_the_graph_computes_what_the_program_computes(make: Callable[[], nn.Module]) -> None:
    network = randomised(make)
    graph = from_exported(captured(network))
    assert not graph.training
    for batch in (2, 5):
        x = torch.randn(batch, 3, 8, 8, dtype=torch.float64)
        torch.testing.assert_close(graph(x), network(x), rtol=0, atol=1e-14)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch's own, while it decomposes
@pytest.mark.parametrize("make", [Gated, Attending, Rare])
def test_a_program_in_core_operators_is_read_as_well(make: Callable[[], nn.Module]) -> None:
    network = randomised(make)
    graph = from_exported(captured(network).run_decompositions())
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(graph(x), network(x), rtol=0, atol=1e-13)
    kinds = {type(part) for part in graph.modules()}
    assert kinds & {nn.Conv2d, nn.ConvTranspose2d} and nn.Linear in kinds


def test_modules_come_back_under_their_names() -> None:
    graph = from_exported(captured(randomised(Gated)))
    kinds = {
        str(n.target): type(graph.get_submodule(str(n.target)))
        for n in graph.graph.find_nodes(op="call_module")
    }
    assert {
        "conv": nn.Conv2d,
        "norm": nn.BatchNorm2d,
        "act": nn.ReLU,
        "head": nn.Linear,
    }.items() <= kinds.items()
    assert [kinds[f"gate.{i}"] for i in range(5)] == [
        nn.AdaptiveAvgPool2d, nn.Conv2d, nn.SiLU, nn.Conv2d, nn.Sigmoid,
    ]  # fmt: skip
    assert nn.Dropout not in kinds.values()
    targets = {n.target for n in graph.graph.find_nodes(op="call_function", target=torch.cat)}
    assert targets == {torch.cat}
    assert {operator.mul, operator.add} <= {n.target for n in graph.graph.nodes}


def test_nodes_carry_what_trace_sets() -> None:
    for node in from_exported(captured(randomised(Gated))).graph.nodes:
        assert node.meta["stands_for"] == node.name
        assert node.meta["paths"] == ((node.target,) if node.op == "call_module" else ())


def test_what_weights_alone_give_is_computed_once() -> None:
    graph = from_exported(captured(randomised(Weighted)))
    assert [n.op for n in graph.graph.nodes] == [
        "placeholder",
        "call_module",
        "get_attr",
        "call_function",
        "output",
    ]
    assert [type(part) for part in graph.children()] == [nn.Conv2d]


def test_a_batch_that_the_program_fixes_is_free_where_views_keep_it() -> None:
    network = randomised(Rare)
    graph = from_exported(captured(network, free=False))
    x = torch.randn(7, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(graph(x), network(x), rtol=0, atol=1e-14)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.twice = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.two.weight = self.one.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.twice(self.two(self.twice(self.one(x))))


def test_shared_weights_and_shared_modules_stay_shared() -> None:
    network = randomised(Tied)
    graph = from_exported(captured(network))
    calls = [graph.get_submodule(str(n.target)) for n in graph.graph.find_nodes(op="call_module")]
    assert calls[1] is calls[3]
    assert calls[0] is not calls[2] and calls[0].weight is calls[2].weight
    assert calls[0].bias is not calls[2].bias


def test_the_program_and_its_network_are_not_touched() -> None:
    network = randomised(Gated)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    program = captured(network)
    graph = from_exported(program)
    with torch.no_grad():
        for value in graph.state_dict().values():
            value.zero_()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(torch.equal(before[name], value) for name, value in program.state_dict.items())


class Other(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"cosine": torch.cos(x), "both": torch.special.i0(x)}


def test_operators_without_a_handle_stay_as_they_are() -> None:
    graph = from_exported(captured(Other()))
    targets = {
        str(n.target) for n in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.cos.default)
    }
    assert targets == {"aten.cos.default"}
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    found = graph(x)
    assert found.keys() == {"cosine", "both"}
    assert torch.equal(found["cosine"], torch.cos(x)) and torch.equal(found["both"], torch.special.i0(x))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * 2


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,))


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Counting(), "changes calls on every call"),
        (Branching(), "control flow"),
        (nn.Sequential(nn.Conv2d(3, 2, 1), nn.Dropout()).double().train(), "training mode"),
    ],
)
def test_what_cannot_be_read_is_refused(network: nn.Module, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        from_exported(captured(network, free=False))
