"""Int8 modules: packed weights and their work, against integers counted by hand and the float network."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.ao.quantization as ao
from torch import nn

from juggler.count.network import count
from juggler.count.packed import packed_in, unpacked, window_of


class Tail(nn.Module):
    """The last state of a recurrent network."""

    def __init__(self, recurrent):
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x):
        return self.recurrent(x)[0][:, -1]


def dynamic(network, *kinds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ao.quantize_dynamic(network.eval(), set(kinds), dtype=torch.qint8).eval()


def static(*layers):
    network = nn.Sequential(ao.QuantStub(), *layers, ao.DeQuantStub()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.qconfig = ao.get_default_qconfig("qnnpack")
        prepared = ao.prepare(network)
        prepared(torch.randn(1, 4, 8, 8))
        return ao.convert(prepared).eval()


DYNAMIC = {
    # layers, shape, MACs, parameters, bytes of int8 weights and float32 biases
    "linear": (lambda: nn.Sequential(nn.Linear(32, 16)), (3, 32), 3 * 32 * 16, 32 * 16 + 16, 512 + 64),
    "two linear": (
        lambda: nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)),
        (5, 8),
        5 * (8 * 6 + 6 * 4),
        8 * 6 + 6 + 6 * 4 + 4,
        48 + 24 + 4 * 10,
    ),
    # Seven steps of two members, four gates of six states; two biases a gate.
    "lstm": (lambda: Tail(nn.LSTM(5, 6, batch_first=True)), (2, 7, 5), 14 * 24 * 11, 24 * 11 + 48, 264 + 192),
    "two-way gru": (
        lambda: Tail(nn.GRU(5, 6, batch_first=True, bidirectional=True)),
        (2, 7, 5),
        2 * 14 * 18 * 11,
        2 * (18 * 11 + 36),
        2 * (198 + 144),
    ),
}


@pytest.mark.parametrize(("make", "shape", "macs", "parameters", "held_bytes"), DYNAMIC.values(), ids=DYNAMIC)
def test_weights_packed_for_int8_are_counted(make, shape, macs, parameters, held_bytes):
    counted = count(dynamic(make(), nn.Linear, nn.LSTM, nn.GRU), torch.randn(shape))
    assert (counted.macs, counted.parameters, counted.param_bytes) == (macs, parameters, held_bytes)
    assert sum(op.parameters for op in counted.ops) == parameters
    assert counted.uncounted == ()
    original = count(make().eval(), torch.empty(shape, device="meta"))
    assert (original.macs, original.parameters) == (macs, parameters)


def test_a_recurrent_layer_does_the_same_in_int8_and_taken_apart():
    for recurrent in (nn.LSTM(5, 6, batch_first=True), nn.GRU(5, 6, batch_first=True)):
        original = count(Tail(recurrent).eval(), torch.empty(2, 7, 5, device="meta"))
        packed = count(dynamic(Tail(recurrent), nn.LSTM, nn.GRU), torch.randn(2, 7, 5))
        (cell,) = (op for op in packed.ops if "quantized" in op.operator)
        assert cell.functions == original_of(original, "functions")
        assert cell.multiplications == original_of(original, "multiplications")
        assert cell.additions == original_of(original, "additions")


def original_of(counted, unit):
    return sum(getattr(op, unit) for op in counted.ops)


def test_convolutions_in_int8_have_their_windows():
    network = static(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), nn.ReLU(), nn.ConvTranspose2d(6, 5, 2)
    )
    counted = count(network, torch.randn(2, 4, 8, 8))
    first, second = 2 * 16 * 6 * 2 * 9, 2 * 16 * 6 * 5 * 4
    assert counted.macs == first + second
    assert counted.parameters == 6 * 2 * 9 + 6 + 6 * 5 * 4 + 5
    geometries = [op.geometry for op in counted.ops if op.geometry is not None]
    assert [(g.kind, g.groups, g.macs) for g in geometries] == [("conv", 2, first), ("transposed", 1, second)]
    assert counted.uncounted == ()
    windows = [window_of(packed) for packed in packed_in(network)]
    assert [window["transposed"] for window in windows] == [False, True]


def test_two_layers_of_one_packed_weight_read_it_once():
    layer = dynamic(nn.Sequential(nn.Linear(8, 8)), nn.Linear)[0]
    counted = count(nn.Sequential(layer, nn.ReLU(), layer).eval(), torch.randn(1, 8))
    assert counted.macs == 2 * 64
    assert counted.parameters == sum(op.parameters for op in counted.ops) == 72


def test_a_packed_table_is_unpacked():
    table = nn.Sequential(nn.Embedding(10, 4))
    table.qconfig = ao.float_qparams_weight_only_qconfig
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = ao.convert(ao.prepare(table)).eval()
    assert [unpacked(packed)["weight"].shape for packed in packed_in(network)] == [(10, 4)]
    assert count(network, torch.tensor([1, 2])).parameters == 40
