"""ResPerfNet is the paper's network, its loss is Eq. 7, and a training that diverges ends sound."""

import numpy as np
import torch
from torch import nn

from contracts_learners import convolutions
from juggler.predict.learning.net_learner import NetLearner
from juggler.predict.learning.regression_net import Residual, ResPerfNet, flushed, maple


def test_the_26_layers():
    network = ResPerfNet(9)
    kinds = [type(module) for module in network.modules()]
    convolutions_ = [module for module in network.modules() if isinstance(module, nn.Conv1d)]
    assert len(convolutions_) == 15
    assert kinds.count(Residual) == 6
    assert kinds.count(nn.Linear) == 4
    assert kinds.count(nn.Dropout) == 1
    assert {c.kernel_size for c in convolutions_} == {(3,)} and {c.stride for c in convolutions_} == {(1,)}
    heads = [c.out_channels for c in convolutions_ if c.in_channels != c.out_channels]
    assert heads == [128, 64, 32]
    assert [m.out_features for m in network.modules() if isinstance(m, nn.Linear)] == [128, 128, 128, 1]
    assert network(torch.zeros(5, 9)).shape == (5,)


def test_a_residual_block_adds_its_input():
    block = Residual(4)
    for parameter in block.two.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(2, 4, 7)
    assert torch.equal(block(x), x)


def test_the_loss_is_equation_7():
    t, y = torch.tensor([0.5, 3.0]), torch.tensor([1.0, 2.0])
    expected = np.mean(np.abs(np.log1p([1.0, 2.0]) - np.log1p([0.5, 3.0])) / np.log1p([0.5, 3.0]))
    assert np.isclose(maple(torch.log1p(y), torch.log1p(t)).item(), expected)


def learner(**changes):
    plan = {"architecture": "perfnet", "rate": 1e-3, "l2": 0.0, "epochs": 30, **changes}
    return NetLearner("perfnet", "a short one", plan)


def test_errors_by_epoch():
    table, target = convolutions(80)
    held = convolutions(20, seed=1)
    fitted = learner().fit(table, target, validation=held)
    assert [epoch.epoch for epoch in fitted.history] == [*range(1, 31)]
    last = fitted.history[-1]
    assert last.train_mape < fitted.history[0].train_mape
    assert last.validation_mape is not None and last.validation_rmse_ms is not None
    predicted = fitted.predict(held[0])
    assert np.isclose(last.validation_rmse_ms, np.sqrt(((predicted - held[1]) ** 2).mean()))
    assert learner(epochs=1).fit(table, target).history[0].validation_mape is None


def test_a_training_that_diverges_ends_with_sound_weights():
    table, target = convolutions(40)
    fitted = learner(rate=1e30, l2=1e8).fit(table, target)
    assert len(fitted.history) < 30
    assert np.isfinite(fitted.predict(table)).all()


def test_training_leaves_torchs_generator_alone():
    torch.manual_seed(5)
    goal = torch.rand(3)
    torch.manual_seed(5)
    learner(epochs=1).fit(*convolutions(20))
    assert torch.equal(torch.rand(3), goal)


def test_denormals_are_zero_while_a_network_trains_and_no_longer():
    tiny = torch.tensor([1e-39])
    with flushed():
        assert float(tiny * 1.0) == 0.0
    assert float(tiny * 1.0) > 0.0


def test_log_t_is_learned_over_six_decades():
    table, target = convolutions(400)
    logs = np.log(target)
    target = 1e3 * np.exp(
        (logs - logs.max()) * np.log(1e6) / np.ptp(logs)
    )  # a thousandth of a ms to a second
    short = {"features": "log", "rate": 2e-3, "batch": 32, "epochs": 60, "decay_every": 20}
    errors = {
        output: learner(output=output, **short).fit(table, target).history[-1].train_mape
        for output in ("log", "scaled")
    }
    assert errors["log"] < 30.0 < errors["scaled"]
