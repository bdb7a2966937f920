import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.cost.hardware.gemm import Gemm, Gemms
from juggler.cost.hardware.systolic import DATAFLOWS, cycles, estimate
from juggler.errors import ConfigError
from systolic_by_hand import run

GOLDEN = sorted((Path(__file__).parent / "golden").glob("scalesim-*.json"))
side = st.integers(1, 5)
length = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(length, length, length, side, side, st.sampled_from(DATAFLOWS), st.randoms(use_true_random=False))
def test_the_closed_form_is_the_array_moved_by_hand(m, k, n, rows, columns, dataflow, chance):  # noqa: PLR0917
    draw = np.random.default_rng(chance.randrange(2**32))
    left, right = draw.integers(-9, 10, (m, k)), draw.integers(-9, 10, (k, n))
    seen = run(left, right, rows, columns, dataflow)
    assert (seen.result == left @ right).all()
    found = estimate(Gemm(m, k, n), rows, columns, dataflow)
    assert (int(found.cycles), int(found.folds)) == (seen.cycles, seen.folds)
    assert int(found.ifmap_reads) == seen.reads["ifmap"]
    assert int(found.filter_reads) == seen.reads["filter"]
    assert (int(found.ofmap_reads), int(found.ofmap_writes)) == (seen.reads["ofmap"], seen.writes)
    assert float(found.mapping_efficiency) == pytest.approx(seen.used / (seen.folds * rows * columns))
    assert float(found.utilisation) == pytest.approx(m * k * n / (seen.cycles * rows * columns))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_cycles_are_those_of_scale_sim(path):
    golden = json.loads(path.read_text(encoding="utf-8"))
    assert golden["layers"]
    for layer in golden["layers"]:
        gemm = Gemm(layer["m"], layer["k"], layer["n"])
        found = estimate(gemm, golden["rows"], golden["columns"], layer["dataflow"])
        assert int(found.cycles) - 1 == layer["last_cycle"], layer["name"]
        if "mapping_efficiency" in layer:
            assert float(found.mapping_efficiency) == pytest.approx(layer["mapping_efficiency"], abs=1e-9)
        if "utilisation" in layer:
            # The reports divide by the index of the last cycle; the published one has four digits.
            theirs = float(found.utilisation) * int(found.cycles) / layer["last_cycle"]
            assert theirs == pytest.approx(layer["utilisation"], abs=5e-5)
        for field in ("ifmap_reads", "filter_reads", "ofmap_writes"):
            if field in layer:
                assert int(getattr(found, field)) == layer[field], f"{layer['name']}, {field}"


def test_layers_and_arrays_at_once_are_each_by_itself():
    draw = np.random.default_rng(6)
    gemms = [Gemm(*(int(x) for x in draw.integers(1, 500, 4))) for _ in range(7)]
    rows, columns = draw.integers(1, 40, (2, 5))
    for dataflow in DATAFLOWS:
        found = estimate(Gemms.of(gemms), rows[:, None], columns[:, None], dataflow)
        alone = cycles(Gemms.of(gemms), rows[:, None], columns[:, None], dataflow)
        assert (found.cycles == alone).all()
        for name, values in vars(found).items():
            assert values.shape == (5, 7), name
            for i, j in np.ndindex(5, 7):
                one = getattr(estimate(gemms[j], int(rows[i]), int(columns[i]), dataflow), name)
                assert values[i, j] == one, name


@given(length, length, length, side, side, st.sampled_from(DATAFLOWS), st.integers(2, 5))
def test_groups_run_one_after_another(m, k, n, rows, columns, dataflow, groups):  # noqa: PLR0917
    one = estimate(Gemm(m, k, n), rows, columns, dataflow)
    many = estimate(Gemm(m, k, n, groups), rows, columns, dataflow)
    for name, values in vars(one).items():
        same = name in ("mapping_efficiency", "utilisation")
        assert float(getattr(many, name)) == pytest.approx(float(values) * (1 if same else groups))


def test_a_layer_that_fills_the_array_is_mapped_fully():
    found = estimate(Gemm(1000, 64, 64), 32, 32, "weight_stationary")
    assert float(found.mapping_efficiency) == 1
    assert 0.9 < float(found.utilisation) < 1


@pytest.mark.parametrize(("rows", "columns"), [(0, 8), (8, 0), (-1, 8), (8.5, 8), ([4, 0], [4, 4])])
def test_an_array_without_elements_is_refused(rows, columns):
    with pytest.raises(ConfigError, match="make a systolic array"):
        cycles(Gemm(3, 4, 5), rows, columns, "weight_stationary")


def test_an_unknown_dataflow_is_refused():
    with pytest.raises(ConfigError, match=r"row_stationary.*weight_stationary"):
        estimate(Gemm(3, 4, 5), 8, 8, "row_stationary")


def test_what_64_bits_cannot_hold_is_refused():
    with pytest.raises(ConfigError, match="beyond 64 bits"):
        cycles(Gemm(2**40, 2**20, 2**20), 1, 1, "output_stationary")
