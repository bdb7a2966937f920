"""Hardware figures of a network that is small enough to work them out by hand."""

import numpy as np
import onnx
import pytest

from juggler.cost.hardware.hierarchy import device, parse_hierarchy
from juggler.count.geometry import Geometry
from juggler.errors import ConfigError
from juggler.survey.hardware import (
    NOT_MEASURED,
    Losses,
    array_for,
    at_precisions,
    check_device,
    cycles_on,
    kind_of,
    shares,
    what_ifs,
)
from juggler.survey.pruning import keep_largest, pruned
from juggler.survey.timing import grouped

NETWORK = (
    Geometry.conv(3, 4, 5, (8, 8)),  # 16 positions x 75 x 4: 4,800 MACs, 300 weights
    Geometry.conv(
        4, 4, 3, (4, 4), groups=4, padding=1
    ),  # 16 positions x 9 x 4 products: 576 MACs, 36 weights
    Geometry.linear(64, 10),  # 640 MACs, 640 weights
)
# Nothing but the multiplier costs: 1 pJ for 16 x 16 bits, so 1/4 for 8 x 8 and 4 for 32 x 32.
FREE = "\n".join(
    f'[[levels]]\nname = "{name}"\nwhat = "free"\nenergy = "0 pJ"'
    for name in ("dram", "buffer", "array", "register")
)
DEVICE = parse_hierarchy(
    'name = "free memory"\nsource = "made up"\norigin = "modelled"\nword_bits = 16\nrows = 4\ncolumns = 4\n'
    f'mac = "1 pJ"\n{FREE}',
    "free.toml",
)
NONE = Losses({}, {})


def test_energy_and_weights_follow_the_width():
    narrow, middle, wide = at_precisions(NETWORK, DEVICE, (32, 8, 16), NONE)
    assert [at.bits for at in (narrow, middle, wide)] == [8, 16, 32]
    macs = 4800 + 576 + 640
    assert [at.energy_mj for at in (narrow, middle, wide)] == pytest.approx(
        [macs / 4e9, macs / 1e9, 4 * macs / 1e9]
    )
    assert [at.weight_mb for at in (narrow, middle, wide)] == pytest.approx([976e-6, 1952e-6, 3904e-6])
    assert narrow.loss == NOT_MEASURED


def test_shares_are_those_of_cycles_on_the_array():
    array = array_for(NETWORK, 16)
    assert array.elements <= 16
    assert cycles_on(NETWORK, array) == array.cycles
    found = shares(NETWORK, array)
    assert {share.kind for share in found} == {
        "convolutions larger than 1 x 1",
        "depthwise convolutions",
        "linear layers",
    }
    assert sum(share.cycles for share in found) == pytest.approx(1.0)
    assert sum(share.macs for share in found) == pytest.approx(1.0)
    assert found == tuple(sorted(found, key=lambda share: -share.cycles))
    depthwise = next(share for share in found if share.kind.startswith("depthwise"))
    assert depthwise.macs == pytest.approx(576 / 6016)
    assert depthwise.cycles > depthwise.macs


def test_changes_that_change_nothing_are_left_out():
    names = [change.name for change in what_ifs(NETWORK, DEVICE, array_for(NETWORK, 16), 16, NONE)]
    assert names[0] == "as it is"
    assert any(name.startswith("5 x 5 as two") for name in names)
    assert not any(
        change.name.startswith(("5 x 5", "n x n"))
        for change in what_ifs(NETWORK[2:], DEVICE, array_for(NETWORK, 16), 16, NONE)
    )


def test_pruning_halves_work_and_saves_no_cycles():
    plain, kept, skipped = what_ifs(NETWORK, DEVICE, array_for(NETWORK, 16), 16, NONE)[:3]
    assert kept.gmac == pytest.approx(plain.gmac / 2)
    assert kept.cycles == plain.cycles
    assert kept.energy_mj == pytest.approx(plain.energy_mj), "zeros are multiplied"
    assert skipped.energy_mj == pytest.approx(plain.energy_mj / 2)
    # Half of 976 weights of 16 bits, and 4 bits each to say where they belong.
    assert kept.weight_mb == pytest.approx(488 * 20 / 8 / 1e6)


def test_a_device_without_joules_is_refused():
    check_device(device("tpu_like"))
    with pytest.raises(ConfigError, match="its energies are in MAC"):
        check_device(device("eyeriss"))


@pytest.mark.parametrize(
    ("geometry", "kind"),
    [
        (Geometry.conv(8, 8, 1, (4, 4)), "1 x 1 convolutions"),
        (Geometry.conv(8, 8, 3, (4, 4), groups=2), "grouped convolutions"),
        (Geometry.matmul(4, 4, 4), "products of activations"),
    ],
)
def test_layers_have_names_of_their_own(geometry, kind):
    assert kind_of(geometry) == kind


def test_the_largest_weights_stay():
    matrix = np.array([[4.0, -1.0], [0.5, -8.0]], np.float32)
    assert keep_largest(matrix, 0.5).tolist() == [[4.0, 0.0], [0.0, -8.0]]
    # Columns as blocks: magnitudes 4.5 and 9.
    assert keep_largest(matrix, 0.5, (2, 1)).tolist() == [[0.0, -1.0], [0.0, -8.0]]
    # Blocks larger than the matrix are filled up with nothing.
    assert keep_largest(matrix, 1.0, (3, 3)).tolist() == matrix.tolist()


def test_pruning_a_graph_keeps_the_largest_of_each_layer():
    rng = np.random.default_rng(0)
    weights = {
        "conv": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "gemm": rng.standard_normal((10, 16)).astype(np.float32),
        "bias": rng.standard_normal(10).astype(np.float32),
    }
    make = onnx.helper
    graph = make.make_graph(
        [
            make.make_node("Conv", ["x", "conv"], ["a"]),
            make.make_node("Flatten", ["a"], ["b"]),
            make.make_node("Gemm", ["b", "gemm", "bias"], ["y"], transB=1),
        ],
        "net",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 4, 4])],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 10])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    plain = make.make_model(graph).SerializeToString()
    found = {
        t.name: onnx.numpy_helper.to_array(t)
        for t in onnx.load_from_string(pruned(plain, 0.5)).graph.initializer
    }
    assert (found["bias"] == weights["bias"]).all()
    for name in ("conv", "gemm"):
        before, after = weights[name], found[name]
        kept = after != 0
        assert int(kept.sum()) == before.size / 2
        assert (after[kept] == before[kept]).all()
        assert np.abs(before[~kept]).max() <= np.abs(before[kept]).min()
    blocks = {
        t.name: onnx.numpy_helper.to_array(t)
        for t in onnx.load_from_string(pruned(plain, 0.5, (16, 5))).graph.initializer
    }
    # Two blocks of five outputs: the half with the larger sum stays whole.
    stays = np.abs(weights["gemm"]).reshape(2, 80).sum(axis=1).argmax()
    assert (blocks["gemm"].reshape(2, 80)[stays] == weights["gemm"].reshape(2, 80)[stays]).all()
    assert not blocks["gemm"].reshape(2, 80)[1 - stays].any()
    with pytest.raises(ConfigError, match="density 0"):
        pruned(plain, 0.0)


def test_networks_are_timed_together_as_far_as_memory_goes():
    assert grouped({"a": 3, "b": 4, "c": 4, "d": 20, "e": 1}, 8) == [["a", "b"], ["c"], ["d"], ["e"]]
    assert grouped({"a": 3, "b": 4}, 8) == [["a", "b"]]
