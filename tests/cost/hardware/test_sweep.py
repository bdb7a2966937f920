import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from juggler.cost.hardware.gemm import Gemm, Gemms, network_gemms
from juggler.cost.hardware.sweep import SWEPT, best_array, steps_within, sweep, widest_within
from juggler.cost.hardware.systolic import DATAFLOWS, cycles
from juggler.cost.workloads import resnet
from juggler.errors import ConfigError

gemm = st.builds(Gemm, *[st.integers(1, 60)] * 3, st.integers(1, 4))
networks = st.lists(gemm, min_size=1, max_size=4).map(Gemms.of)


def every_shape(budget):
    sides = np.arange(1, budget + 1)
    rows, columns = np.meshgrid(sides, sides)
    fits = rows * columns <= budget
    return rows[fits], columns[fits]


@settings(deadline=None)
@given(networks, st.integers(1, 60), st.sampled_from(DATAFLOWS))
def test_the_best_array_is_the_best_of_all(network, budget, dataflow):
    best = best_array(network, budget, (dataflow,))
    tried = sweep(network, *every_shape(budget), (dataflow,)).best()
    assert (best.cycles, best.elements) == (tried.cycles, tried.elements)
    assert best.elements <= budget


def test_the_best_dataflow_is_the_best_of_all():
    network = network_gemms(list(resnet(18).values()))
    best = best_array(network, 1024)
    assert best.cycles == min(best_array(network, 1024, (flow,)).cycles for flow in SWEPT)
    assert 0 < best.utilisation <= 1


def test_a_sweep_adds_up_layers():
    network = network_gemms(list(resnet(50).values()))
    found = sweep(network, [8, 32, 128], [128, 32, 8])
    for row, dataflow in enumerate(SWEPT):
        alone = [int(cycles(network, r, c, dataflow).sum()) for r, c in ((8, 128), (32, 32), (128, 8))]
        assert found.cycles[row].tolist() == alone
    macs = int((network.m * network.k * network.n * network.count).sum())
    assert found.utilisation[0, 1] == pytest.approx(macs / (int(found.cycles[0, 1]) * 1024))


def test_chunks_make_no_difference():
    network = network_gemms(list(resnet(18).values()))
    shapes = widest_within(300)
    whole = sweep(network, *shapes)
    told = []
    cut = sweep(network, *shapes, chunk=100, progress=lambda value: told.append((value.done, value.total)))
    assert (whole.cycles == cut.cycles).all()
    assert told[-1] == (300, 300)
    assert len(told) > 10


def test_the_choice_of_a_dataflow():
    network = Gemms.of([Gemm(100, 64, 64)])
    found = sweep(network, *every_shape(64))
    assert found.best("input_stationary").dataflow == "input_stationary"
    assert found.best().cycles == min(found.best(flow).cycles for flow in SWEPT)
    with pytest.raises(ConfigError, match="output_stationary"):
        found.best("output_stationary")


@given(st.integers(1, 5000), st.integers(2, 200))
def test_widest_arrays_are_within_the_budget(budget, most):
    shapes = widest_within(budget, most)
    assert len(shapes.rows) <= most
    assert (shapes.rows * shapes.columns <= budget).all()
    assert (shapes.rows * (shapes.columns + 1) > budget).all()
    assert (np.diff(shapes.rows) > 0).all()


def test_steps_are_few():
    network = network_gemms(list(resnet(50).values()))
    rows, columns = every_shape(1024)
    steps = steps_within(network, 1024, "weight_stationary")
    assert len(steps.rows) < 0.7 * len(rows)
    assert {*zip(*steps, strict=True)} <= {*zip(rows.tolist(), columns.tolist(), strict=True)}


@pytest.mark.parametrize("budget", [0, -5])
def test_a_budget_of_nothing_is_refused(budget):
    network = Gemms.of([Gemm(3, 4, 5)])
    for ask in (lambda: best_array(network, budget), lambda: widest_within(budget)):
        with pytest.raises(ConfigError, match="1 processing element or more"):
            ask()


def test_a_sweep_of_nothing_is_refused():
    network = Gemms.of([Gemm(3, 4, 5)])
    with pytest.raises(ConfigError, match="0 shapes"):
        sweep(network, np.array([], int), np.array([], int))
    with pytest.raises(ConfigError, match="no dataflow"):
        best_array(network, 8, ())
