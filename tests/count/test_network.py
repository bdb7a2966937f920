"""Counting whole networks: graphs, runs, names, bytes, what is not counted, what cannot be counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from juggler.count.network import Counted, count
from juggler.errors import ConfigError, Refused
from juggler.transform.tracing.graph import trace


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    ).eval()


class Function(nn.Module):
    """A function as a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def counted(function, *shapes):
    return count(Function(function).eval(), tuple(torch.empty(shape, device="meta") for shape in shapes))


def of_name(found: Counted, name: str):
    return next(op for op in found.ops if op.name == name)


def test_a_network_costs_what_its_layers_cost():
    found = count(small(), torch.randn(2, 3, 8, 8))
    assert found.macs == 2 * 4 * 64 * 27 + 2 * 4 * 5
    assert found.parameters == 4 * 27 + 8 + 4 * 5 + 5
    assert found.statistics == 8
    assert found.additions == 2 * 4 * 64 + 2 * 4 * 64 + 2 * 5  # batch norm, mean, bias
    assert found.multiplications == 2 * 4 * 64 + 2 * 4
    assert found.param_bytes == 4 * (108 + 8 + 8 + 25) + 8  # the batch norm's counter is one int64
    assert found.input_shapes == ((2, 3, 8, 8),)
    assert found.uncounted == ()
    assert sum(op.parameters for op in found.ops) == found.parameters
    assert sum(op.statistics for op in found.ops) == found.statistics


def test_each_count_of_a_run_belongs_to_its_module():
    found = count(small(), torch.randn(1, 3, 8, 8))
    assert found.how == "run" and found.note == ""
    assert [op.name for op in found.ops if op.kind != "view"] == ["0", "1", "2", "3", "5"]
    kinds = [op.kind for op in found.ops if op.kind != "view"]
    assert kinds == ["conv", "norm", "activation", "pool", "linear"]


def test_each_count_of_a_graph_belongs_to_its_node():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())

        def forward(self, x):
            return F.relu(self.body(x) + x)

    graph = trace(Residual().eval(), torch.randn(1, 4, 5, 5))
    found = count(graph, torch.randn(1, 4, 5, 5))
    assert found.how == "graph"
    assert [op.name for op in found.ops] == ["body.0", "body.1", "add", "relu"]
    assert [op.module_path for op in found.ops] == ["body.0", "body.1", "", ""]


def test_graph_and_run_agree():
    network, example = small(), torch.randn(1, 3, 16, 16)
    run, graph = count(network, example), count(network, example, trace=trace)
    assert (run.how, graph.how) == ("run", "graph")
    assert (run.macs, run.additions, run.parameters, run.moved_bytes) == (
        graph.macs,
        graph.additions,
        graph.parameters,
        graph.moved_bytes,
    )
    assert run.peak_activation_bytes == graph.peak_activation_bytes


def test_a_network_that_cannot_be_traced_is_counted_by_running_it_and_says_so():
    class Depends(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(4, 4)

        def forward(self, x):
            return self.one(x) if x.sum() > 1e9 else self.one(self.one(x))

    found = count(Depends().eval(), torch.zeros(1, 4), trace=trace)
    assert found.how == "run"
    assert found.macs == 2 * 16
    assert "by running it" in found.note and "on the values given" in found.note


def test_a_refused_trace_alone_leaves_shapes_enough():
    def refuse(network, inputs):
        raise Refused("trace the network", "it is not followed", "do something")

    found = count(small(), torch.empty(1, 3, 8, 8, device="meta"), trace=refuse)
    assert found.how == "run" and "it is not followed" in found.note and "values" not in found.note


def test_bytes_of_a_layer():
    found = count(nn.Conv2d(3, 4, 3, bias=True).eval(), torch.randn(1, 3, 8, 8))
    (op,) = found.ops
    assert (op.weight_bytes, op.input_bytes, op.output_bytes) == (4 * (108 + 4), 4 * 192, 4 * 144)
    assert op.moved_bytes == 4 * (112 + 192 + 144)
    assert op.operations == 2 * 144 * 27 + 144
    assert op.intensity == op.operations / op.moved_bytes
    half = count(nn.Conv2d(3, 4, 3).half().eval(), torch.randn(1, 3, 8, 8).half())
    assert half.moved_bytes == found.moved_bytes // 2


def test_a_tensor_that_is_expanded_is_read_once():
    (_, op) = counted(lambda x, y: x + y.expand(8, 16), (8, 16), (1, 16)).ops
    assert (op.input_bytes, op.output_bytes) == (4 * (128 + 16), 4 * 128)


def test_of_a_table_the_rows_that_are_looked_up_are_read():
    found = count(nn.Embedding(1000, 8).eval(), torch.zeros(2, 3, dtype=torch.int64))
    (op,) = found.ops
    assert (op.kind, op.weight_bytes, op.output_bytes) == ("move", 4 * 48, 4 * 48)
    assert op.parameters == 8000 and found.parameters == 8000


def test_a_weight_that_two_layers_share_is_one():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Linear(4, 4, bias=False)
            self.other = nn.Linear(4, 4, bias=False)
            self.other.weight = self.one.weight

        def forward(self, x):
            return self.other(self.one(x))

    found = count(Tied().eval(), torch.randn(1, 4))
    assert found.parameters == 16 and [op.parameters for op in found.ops] == [16, 0]
    assert [op.weight_bytes for op in found.ops] == [64, 64]
    assert found.param_bytes == 64


def test_parameters_that_nothing_reads_count_too():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.idle = nn.Linear(4, 4), nn.Linear(3, 3)

        def forward(self, x):
            return self.one(x)

    found = count(Idle().eval(), torch.randn(1, 4))
    assert found.parameters == 20 + 12 and sum(op.parameters for op in found.ops) == 20


class Auxiliary(nn.Module):
    """A second head that is used in training only, as in Inception."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.auxiliary = nn.Sequential(nn.Flatten(), nn.Linear(8 * 1024, 1000))
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        y = self.body(x)
        answer = self.head(y.mean((2, 3)))
        return (answer, self.auxiliary(y)) if self.training else answer


@pytest.mark.parametrize("way", [None, lambda network, inputs: trace(network, *inputs)])
def test_a_head_that_only_training_uses_is_in_the_parameters(way):
    found = count(Auxiliary().eval(), torch.randn(1, 3, 32, 32), trace=way)
    assert found.parameters == 8 * 27 + 8 + 8192 * 1000 + 1000 + 8 * 10 + 10 == 8_193_314
    assert sum(op.parameters for op in found.ops) == 8 * 27 + 8 + 8 * 10 + 10 == 314
    assert found.macs == 1024 * 8 * 27 + 80


class Deepens(nn.Module):
    """Runs a layer until the values are small, six times at most."""

    def __init__(self):
        super().__init__()
        self.first, self.again = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 10)
        nn.init.zeros_(self.first.bias)
        nn.init.zeros_(self.again.bias)

    def forward(self, x):
        y, turns = self.first(x), 0
        while y.std() > 1e-3 and turns < 6:
            y, turns = F.relu(self.again(y)), turns + 1
        return self.head(y.mean((2, 3)))


def test_a_path_that_depends_on_values_is_counted_on_random_ones_or_on_those_given():
    torch.manual_seed(0)
    network = Deepens().eval()
    first, again, head = 1024 * 16 * 27, 1024 * 16 * 144, 160
    drawn = count(network, torch.empty(1, 3, 32, 32, device="meta"))
    assert drawn.macs == first + 6 * again + head
    assert "on random values" in drawn.note
    given = count(network, torch.zeros(1, 3, 32, 32))
    assert given.macs == first + head
    assert "on the values given" in given.note


def test_random_places_are_in_every_table():
    table = nn.Embedding(2, 4)
    found = count(
        Function(lambda x: table(x) if x.sum() >= 0 else x).eval(),
        torch.zeros(3, dtype=torch.int64).to("meta"),
    )
    assert found.ops[-1].out_shape == (3, 4)


def test_complex_numbers_are_counted_as_such():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 6, dtype=torch.complex64)

        def forward(self, x):
            return self.layer(x * x).abs()

    found = count(Complex().eval(), torch.empty(2, 8, dtype=torch.complex64, device="meta"))
    assert found.macs == 4 * 2 * 8 * 6
    assert found.parameters == 8 * 6 + 6
    assert found.param_bytes == 8 * 54
    # Squares: 4 products and 2 sums each; a bias: 2 sums; an absolute value: 2 squares, a sum, a root.
    assert found.multiplications == 4 * 16 + 2 * 12
    assert found.additions == 2 * 16 + 2 * 12 + 12
    assert sum(op.functions for op in found.ops) == 12
    (product,) = (op.geometry for op in found.ops if op.geometry)
    assert product.macs == found.macs


@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (nn.Conv2d(3, 4, 3, dtype=torch.complex64), 36 * 4 * 27),
        (nn.Conv2d(4, 4, 3, padding="same", groups=2, dtype=torch.complex64), 64 * 4 * 18),
        (nn.ConvTranspose2d(3, 2, 2, stride=2, bias=False, dtype=torch.complex64), 64 * 3 * 2 * 4),
    ],
)
def test_a_complex_convolution_is_four_real_ones(layer, macs):
    channels = layer.in_channels
    found = count(layer.eval(), torch.empty(1, channels, 8, 8, dtype=torch.complex64, device="meta"))
    assert found.macs == 4 * macs
    assert found.parameters == sum(parameter.numel() for parameter in layer.parameters())
    assert found.uncounted == ()
    assert all(op.geometry is None or op.geometry.macs == op.macs for op in found.ops)


def test_lengths_and_angles_are_counted():
    found = count(
        Function(lambda x: torch.polar(x.abs(), x.angle())).eval(),
        torch.empty(5, dtype=torch.complex64, device="meta"),
    )
    # Two squares, a sum and a root; an arc tangent; a cosine, a sine and two products.
    assert (found.multiplications, found.additions) == (5 * (2 + 2), 5)
    assert sum(op.functions for op in found.ops) == 5 * (1 + 1 + 2)
    assert found.uncounted == ()


def test_weights_of_eight_bits_in_buffers_are_parameters():
    class Narrow(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("weight", torch.ones(6, 4, dtype=torch.int8))
            self.register_buffer("scale", torch.ones(6, 1))
            self.register_buffer("places", torch.arange(4))

        def forward(self, x):
            return F.linear(x[:, self.places], self.weight * self.scale)

    found = count(Narrow().eval(), torch.empty(2, 4, device="meta"))
    assert (found.macs, found.parameters, found.statistics) == (2 * 24, 24, 6)
    assert found.param_bytes == 24 + 4 * 6 + 8 * 4


def test_a_weight_that_is_read_in_parts_is_read_once_in_all():
    weight = nn.Parameter(torch.randn(12, 4))

    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = weight

        def forward(self, x):
            return (
                F.linear(x, self.weight[:4]) + F.linear(x, self.weight[4:8]) + F.linear(x, self.weight[2:6])
            )

    found = count(Parts().eval(), torch.empty(1, 4, device="meta"))
    assert [op.parameters for op in found.ops if op.kind == "linear"] == [16, 16, 0]
    assert found.parameters == 48


def test_weights_that_are_read_again_are_shared():
    layer, experts = nn.Linear(4, 4), nn.Parameter(torch.randn(3, 4, 5))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.experts = layer, experts

        def forward(self, x):
            return torch.bmm(self.layer(self.layer(x)), self.experts)

    found = count(Network().eval(), torch.empty(3, 2, 4, device="meta"))
    products = [op for op in found.ops if op.geometry is not None]
    assert [op.shared for op in products] == [False, True, False]
    # Each expert has a matrix of its own, so these are weights and no activations.
    assert (products[2].kind, products[2].geometry.kind) == ("linear", "linear")
    assert products[2].geometry.weight_words == products[2].parameters == 60
    assert products[2].macs == 3 * 2 * 4 * 5


def test_a_sparse_matrix_does_what_it_stores():
    class Sparse(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("graph", torch.eye(10).to_sparse())

        def forward(self, x):
            return torch.sparse.mm(self.graph, x)

    assert count(Sparse().eval(), torch.randn(10, 4)).macs == 10 * 4


def test_views_cost_nothing_and_say_so():
    found = counted(lambda x: x.reshape(4, 8).t()[1:3].unsqueeze(0), (2, 16))
    assert {op.kind for op in found.ops} == {"view"}
    assert found.moved_bytes == found.operations == 0


def test_a_copy_that_is_none_is_a_view():
    found = counted(lambda x: x + F.dropout(x, training=False), (2, 3))
    assert [op.kind for op in found.ops] == ["view", "elementwise"]


def test_an_operator_without_a_handle_is_listed_with_its_place():
    found = counted(lambda x: torch.special.i0(torch.special.i0(x)) + x, (2, 3))
    (missed,) = found.uncounted
    assert (missed.operator, missed.times) == ("aten.i0", 2)
    assert found.operations == 6
    assert [op.kind for op in found.ops] == ["uncounted", "uncounted", "elementwise"]
    assert found.ops[0].moved_bytes == 2 * 24  # what it moves is known


def test_names_are_unique():
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    names = [op.name for op in counted(lambda x: F.relu(network(x) + network(x)), (2, 4)).ops]
    assert len(set(names)) == len(names)


def test_the_network_is_left_as_it_was():
    network, example = small(), torch.randn(2, 3, 8, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    wanted = network(example)
    count(network, example)
    assert torch.equal(network(example), wanted)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_multi_head_attention_is_counted_whole():
    layer = nn.MultiheadAttention(16, 4, batch_first=True, bias=False).eval()
    found = count(layer, tuple(torch.randn(2, 10, 16) for _ in range(3)))
    # Four projections of 20 tokens, then scores and values of 8 heads by 10 by 10 by 4.
    assert found.macs == 4 * 20 * 16 * 16 + 2 * 8 * 10 * 10 * 4
    assert found.uncounted == ()


@pytest.mark.parametrize("needs_values", [False, True])
def test_recurrent_networks_are_counted_step_by_step(needs_values):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 5, batch_first=True)

        def forward(self, x):
            if needs_values and bool(x.sum() > 1e9):
                return x
            return self.lstm(x)[0]

    found = count(Recurrent().eval(), torch.zeros(2, 7, 3))
    assert found.macs == 2 * 7 * (4 * 5 * 3 + 4 * 5 * 5)
    assert found.uncounted == ()


def test_counts_survive_json():
    found = count(small(), torch.randn(1, 3, 8, 8))
    assert Counted.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("network", "example", "words"),
    [
        (small(), torch.randn(1, 4, 8, 8), "[1, 4, 8, 8]"),
        (small().train(), torch.randn(1, 3, 8, 8), "training mode"),
        (nn.Sequential().eval(), torch.randn(1, 3), "no operator"),
        (small(), "image", "str"),
        (small(), (), "nothing"),
        ("resnet", torch.randn(1, 3), "str"),
        (small(), torch.zeros(1, 3, 8, 8, dtype=torch.int64), "int64"),
        (nn.LazyLinear(4).eval(), torch.randn(1, 3), "lazy"),
    ],
)
def test_bad_input_is_told(network, example, words):
    with pytest.raises(ConfigError) as told:
        count(network, example)
    assert words in str(told.value)
