"""Features by hand, for every family; fitted on training rows alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts_learners import convolutions
from juggler.errors import ConfigError
from juggler.predict.kernels.spec import FAMILIES
from juggler.predict.kernels.table import KernelTable
from juggler.predict.learning.features import Features, rich_columns
from juggler.predict.learning.net_inputs import LAMBDAS, Inputs, fit_power, fit_z


def test_the_papers_features_are_those_of_table_3():
    table, _ = convolutions(50)
    names = Features.fit("paper", table).names
    sizes = {"batch", "in_channels", "out_channels", "height", "kernel_height", "stride_height"}
    assert {*names} == sizes | {"bias", "padded", "activation=none", "activation=relu"}


def test_rich_features_by_hand():
    table = KernelTable(
        "conv",
        {
            **{"batch": [2], "in_channels": [12], "out_channels": [40], "height": [9], "width": [8]},
            **{"kernel_height": [3], "kernel_width": [3], "pad_bottom": [1], "pad_right": [1]},
        },
    )
    by_name = {name: column[0] for name, column in rich_columns(table).items()}
    rows = 2 * 8 * 7
    assert by_name["log_rows"] == pytest.approx(np.log(rows))
    assert by_name["log_columns"] == pytest.approx(np.log(40))
    assert by_name["log_depth"] == pytest.approx(np.log(12 * 9))
    assert by_name["log_macs"] == pytest.approx(np.log(rows * 40 * 12 * 9))
    assert by_name["waste_out_16"] == pytest.approx(np.log(48 / 40))
    assert by_name["waste_in_8"] == pytest.approx(np.log(16 / 12))
    assert by_name["log_tiles_64_64"] == pytest.approx(np.log(2 * 1))
    assert by_name["log_winograd_2"] == pytest.approx(np.log(2 * 4 * 4 * 16 * 12 * 40))
    assert (by_name["pad_uneven"], by_name["pad_down"], by_name["winograd"], by_name["pointwise"]) == (
        1,
        1,
        1,
        0,
    )
    assert (by_name["width_modulo_8"], by_name["out_width_modulo_2"]) == (0, 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["paper", "log", "rich"])
def test_every_family_has_finite_features(family, kind):
    channels = np.array([4, 8, 64])
    depthwise = {"groups": channels} if family == "depthwise" else {}
    columns = {"in_channels": channels, "out_channels": channels, "height": [1, 7, 30], **depthwise}
    table = KernelTable(family, columns)
    features = Features.fit(kind, table)
    matrix = features.matrix(table)
    assert matrix.shape == (3, len(features.names)) and np.isfinite(matrix).all()
    assert len({column.tobytes() for column in matrix.T}) == matrix.shape[1]
    assert Features.from_json(features.to_json()) == features


def test_words_not_seen_in_training_get_no_column():
    table, _ = convolutions(50)
    features = Features.fit("paper", table)
    unseen = KernelTable("conv", {"in_channels": [3], "out_channels": [3], "activation": ["tanh"]})
    columns = dict(zip(features.names, features.matrix(unseen)[0], strict=True))
    assert columns["activation=none"] == columns["activation=relu"] == 0.0


def test_what_features_refuse():
    table, _ = convolutions(10)
    with pytest.raises(ConfigError, match="paper, log, rich"):
        Features.fit("poor", table)
    with pytest.raises(ConfigError, match="fitted on 'conv'"):
        Features.fit("rich", table).matrix(KernelTable("pool", {"in_channels": [3], "out_channels": [3]}))


@settings(deadline=None)  # the first imports scipy
@given(st.integers(1, 100), st.sampled_from(LAMBDAS.tolist()))
def test_box_cox_is_what_the_paper_meant(size, power):
    table = KernelTable("pool", {"height": [1, size + 1, size], "width": 200})
    features = Features.fit("paper", table)
    assert features.names == ("height",)
    expected = np.log(size) if power == 0.0 else (size**power - 1.0) / power
    changed = Inputs(features, {"height": power}, (0.0,), (1e4,)).matrix(table)
    assert changed[2, 0] * 1e4 == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_the_best_power_undoes_the_skew():
    normal = np.random.default_rng(0).normal(10.0, 1.0, 4000)
    assert fit_power(np.exp(normal)) == pytest.approx(0.0, abs=0.1)
    assert fit_power(normal**2) == pytest.approx(0.5, abs=0.25)
    assert fit_power(np.full(5, 3.0)) == 1.0


def test_z_scores():
    mean, deviation = fit_z(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert mean.tolist() == [2.0, 5.0] and deviation.tolist() == [1.0, 1.0]


def test_inputs_are_scaled_by_training_rows_alone():
    table, _ = convolutions(200)
    inputs = Inputs.fit("paper", table, transform=True)
    assert {*inputs.powers} == {"height", "kernel_height"}
    matrix = inputs.matrix(table)
    assert np.allclose(matrix.mean(0), 0.0, atol=1e-4) and np.allclose(matrix.std(0), 1.0, atol=1e-4)
    others, _ = convolutions(5, seed=1)
    joined = inputs.matrix(others)
    assert np.array_equal(np.concatenate([inputs.matrix(others.take([i])) for i in range(5)]), joined)
    assert Inputs.from_json(inputs.to_json()) == inputs
