import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggler.cost.factorise import asymmetric, merged, stacked_3x3
from juggler.cost.hardware.gemm import gemm_of
from juggler.cost.hardware.hierarchy import device
from juggler.cost.hardware.systolic import cycles
from juggler.cost.whatif import (
    Variant,
    account,
    array_cycles,
    energy,
    narrow,
    prune_blocks,
    prune_channels,
    prune_weights,
    quantise,
    what_if,
)
from juggler.cost.workloads import alexnet, resnet
from juggler.count.geometry import Geometry
from juggler.errors import ConfigError

ALEXNET = tuple(alexnet().values())
CONV = Geometry.conv(64, 128, 3, (14, 14), padding=1)
EYERISS = device("eyeriss")


def test_a_network_as_it_is():
    counted = [account(op) for op in what_if(ALEXNET)]
    assert sum(one.macs for one in counted) == 724_406_816
    assert sum(one.weight_bytes for one in counted) == 4 * sum(layer.weight_words for layer in ALEXNET)


def test_second_factors_of_activations_are_no_weights():
    product = Geometry.matmul(50, 16, 50, heads=4)
    (op,) = what_if([product], quantise(4, 8))
    assert (account(op).weights, account(op).weight_bytes) == (0, 0)
    assert account(op).operand_bytes == 4 * 16 * 50
    assert account(Variant(CONV)).operand_bytes == 0


def test_weights_that_an_op_before_has_read_are_not_counted_again():
    (op,) = what_if([Variant(CONV, shared=True)], quantise(8, 8), prune_weights(0.5))
    assert (account(op).weights, account(op).weight_bytes) == (0, 0)
    assert account(op).dense_macs == CONV.macs


def test_fewer_bits_keep_the_work_and_shrink_the_bytes():
    (op,) = what_if([CONV], quantise(4, 8, 16))
    plain, slim = account(Variant(CONV)), account(op)
    assert slim.macs == plain.macs
    assert slim.weight_bytes * 8 == plain.weight_bytes
    assert slim.output_bytes * 4 == plain.output_bytes
    assert array_cycles(op, 8, 8, "weight_stationary") == array_cycles(
        Variant(CONV), 8, 8, "weight_stationary"
    )
    before, after = energy(Variant(CONV), EYERISS), energy(op, EYERISS)
    assert after.mac_energy == before.mac_energy * (4 * 8) / (16 * 16)
    assert after.energy < before.energy


def test_scattered_zeros_save_bytes_and_only_where_skipped_work():
    (kept,) = what_if([CONV], prune_weights(0.25, index_bits=4))
    (skipped,) = what_if([CONV], prune_weights(0.25, index_bits=4, skips_zeros=True))
    weights = 64 * 128 * 9
    counted = account(kept)
    assert counted.weights == weights // 4
    assert counted.weight_bytes == weights // 4 * 36 // 8
    assert counted.macs * 4 == counted.dense_macs == CONV.macs
    assert energy(kept, EYERISS).mac_energy == CONV.macs
    assert energy(skipped, EYERISS).mac_energy == CONV.macs / 4
    assert energy(kept, EYERISS).at("dram").weight_words == pytest.approx(
        energy(Variant(CONV), EYERISS).at("dram").weight_words * 0.25 * 20 / 16
    )
    dense = int(cycles(gemm_of(CONV), 8, 8, "weight_stationary"))
    assert array_cycles(skipped, 8, 8, "weight_stationary") == dense


def test_an_index_can_cost_more_than_pruning_saves():
    (op,) = what_if([CONV], quantise(8, 8), prune_weights(0.9, index_bits=4))
    assert account(op).weight_bytes > account(what_if([CONV], quantise(8, 8))[0]).weight_bytes


def test_whole_blocks_leave_out_folds():
    (op,) = what_if([CONV], prune_blocks(0.5, (32, 32), index_bits=16))
    dense = int(cycles(gemm_of(CONV), 32, 32, "weight_stationary"))
    assert array_cycles(op, 32, 32, "weight_stationary") == dense // 2
    assert (
        array_cycles(op, 16, 32, "weight_stationary")
        == int(cycles(gemm_of(CONV), 16, 32, "weight_stationary")) // 2
    )
    for rows, columns, dataflow in ((64, 32, "weight_stationary"), (32, 32, "output_stationary")):
        whole = int(cycles(gemm_of(CONV), rows, columns, dataflow))
        assert array_cycles(op, rows, columns, dataflow) == whole
    assert op.index_bits == 16 / 1024
    (scattered,) = what_if([CONV], prune_weights(0.5), prune_blocks(0.5, (32, 32)))
    assert (scattered.density, scattered.block) == (0.25, (1, 1))


def test_channels_take_work_from_both_sides():
    (op,) = what_if([CONV], prune_channels(0.5))
    assert account(op).macs * 4 == CONV.macs
    (outputs,) = what_if([CONV], prune_channels(0.5, inputs=False))
    assert (outputs.geometry.in_channels, outputs.geometry.out_channels) == (64, 64)
    assert array_cycles(op, 8, 8, "weight_stationary") < array_cycles(
        Variant(CONV), 8, 8, "weight_stationary"
    )


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6), st.floats(0.01, 1))
def test_pruned_channels_make_a_layer_that_can_be(per_in, per_out, groups, density):
    layer = Geometry.conv(groups * per_in, groups * per_out, 3, (5, 5), groups=groups)
    (op,) = prune_channels(density)(Variant(layer))
    assert op.geometry.out_size == layer.out_size
    assert op.geometry.macs <= layer.macs
    assert min(op.geometry.in_channels, op.geometry.out_channels) >= 1


def test_depthwise_layers_have_the_channels_of_their_input():
    layer = Geometry.conv(32, 64, 3, (9, 9), groups=32)
    (op,) = prune_channels(0.5, outputs=False)(Variant(layer))
    assert (op.geometry.groups, op.geometry.in_channels, op.geometry.out_channels) == (16, 16, 32)
    assert prune_channels(0.5, inputs=False)(Variant(layer)) == (Variant(layer),)


def test_a_narrow_network_reads_and_answers_as_before():
    first, *_, last = narrow(ALEXNET, 0.5)
    assert (first.geometry.in_channels, first.geometry.out_channels) == (3, 48)
    assert (last.geometry.in_channels, last.geometry.out_channels) == (2048, 1000)


def test_an_n_x_n_kernel_as_two_of_one_dimension():
    layer = Geometry.conv(32, 32, 7, (17, 17), padding=3)
    across, down = what_if([layer], asymmetric())
    assert (across.geometry.kernel, down.geometry.kernel) == ((1, 7), (7, 1))
    assert across.geometry.macs + down.geometry.macs == layer.macs * 2 // 7
    assert down.geometry.out_size == layer.out_size


def test_a_5x5_kernel_as_two_3x3():
    layer = Geometry.conv(32, 32, 5, (35, 35), padding=2)
    parts = what_if([layer], stacked_3x3())
    assert [part.geometry.kernel for part in parts] == [(3, 3), (3, 3)]
    assert sum(part.geometry.macs for part in parts) * 25 == layer.macs * 18
    assert len(what_if([Geometry.conv(3, 8, 7, (20, 20))], stacked_3x3())) == 3


kernels = st.sampled_from([1, 2, 3, 4, 5, 7, 9])


@given(kernels, st.integers(1, 3), st.integers(0, 4), st.integers(1, 2), st.sampled_from(["both", "stack"]))
def test_factorised_layers_write_what_the_layer_wrote(kernel, stride, padding, groups, which):
    layer = Geometry.conv(4, 6, kernel, (19, 19), stride=stride, padding=padding, groups=groups, batch=2)
    parts = what_if([layer], asymmetric() if which == "both" else stacked_3x3())
    last = parts[-1].geometry
    assert (last.out_channels, last.out_size, last.batch) == (6, layer.out_size, 2)
    sizes = [part.geometry.out_size for part in parts[:-1]]
    assert [part.geometry.in_size for part in parts[1:]] == sizes
    assert parts[0].geometry.in_size == layer.in_size


def test_what_is_no_square_convolution_is_left_alone():
    others = [
        Geometry.conv(3, 4, (1, 7), (9, 9)),
        Geometry.conv(3, 4, 5, (9,)),
        Geometry.linear(4, 5),
        Geometry.matmul(3, 4, 5),
    ]
    assert what_if(others, asymmetric(), stacked_3x3()) == what_if(others)
    product = Variant(Geometry.matmul(3, 4, 5))
    assert what_if([product], prune_weights(0.5), prune_channels(0.5)) == (product,)


def test_changes_follow_each_other():
    network = list(resnet(18).values())
    found = what_if(network, stacked_3x3(), asymmetric(), quantise(8, 8), prune_weights(0.5, index_bits=1))
    assert len(found) == 3 + 3 + 2 * 16 + 3 + 1
    assert {op.weight_bits for op in found} == {8}
    assert {op.density for op in found} == {0.5}
    kept = sum(account(op).weights for op in found)
    assert kept < sum(layer.weight_words for layer in network) / 2


def test_merging_a_block_outright_makes_it_larger():
    c = 16
    one = Geometry.conv(c, c, 3, (20, 20), padding=1)
    block = merged(one, one)
    assert (block.kernel, block.out_size) == ((5, 5), (20, 20))
    assert block.weight_words * 18 == 2 * one.weight_words * 25
    narrow_ = Geometry.conv(4 * c, c, 1, (20, 20))
    back = Geometry.conv(c, 4 * c, 1, (20, 20))
    whole = merged(merged(narrow_, one), back)
    assert whole.kernel == (3, 3)
    parts = narrow_.weight_words + one.weight_words + back.weight_words
    assert whole.weight_words / parts == pytest.approx(8.47, abs=0.005)


@given(*[st.integers(1, 4)] * 2, *[st.integers(1, 3)] * 4, *[st.integers(0, 3)] * 2)
def test_a_merged_convolution_writes_what_two_wrote(k1, k2, s1, s2, d1, d2, p1, p2):  # noqa: PLR0917
    first = Geometry.conv(4, 6, k1, (40,), stride=s1, dilation=d1, padding=p1, groups=2)
    second = Geometry.conv(6, 8, k2, first.out_size, stride=s2, dilation=d2, padding=p2)
    whole = merged(first, second)
    assert whole.out_size == second.out_size
    assert (whole.in_channels, whole.out_channels, whole.groups) == (4, 8, 1)
    reach = (k1 - 1) * d1 + s1 * (k2 - 1) * d2
    assert (whole.kernel[0] - 1) * whole.dilation[0] == reach


def test_convolutions_that_do_not_follow_each_other_are_refused():
    other = Geometry.conv(7, 8, 3, (14, 14))
    with pytest.raises(ConfigError, match="reads what the first writes"):
        merged(CONV, other)
    with pytest.raises(ConfigError, match="a linear"):
        merged(CONV, Geometry.linear(128, 4))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: quantise(-8, 8),
        lambda: quantise(8, 0),
        lambda: quantise(8, 8, 65),
        lambda: prune_weights(0),
        lambda: prune_weights(1.5),
        lambda: prune_weights(float("nan")),
        lambda: prune_weights(0.5, index_bits=-1),
        lambda: prune_blocks(0.5, (0, 8)),
        lambda: prune_channels(-0.5),
        lambda: narrow(ALEXNET, 0),
        lambda: array_cycles(Variant(CONV), 0, 8, "weight_stationary"),
    ],
)
def test_what_cannot_be_is_refused(ask):
    with pytest.raises(ConfigError):
        ask()
