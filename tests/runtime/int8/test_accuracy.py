"""Accuracies and their intervals, on answers that are worked out by hand."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from juggler.errors import ConfigError
from juggler.runtime.int8.accuracy import TOP, accuracy_of, points_lost, rank_pictures, wilson
from juggler.runtime.open import open_session


def session_on(classes=6):
    """Open a network whose answers are its inputs."""
    return open_session(nn.Identity().eval(), "torch_eager", example=torch.zeros(2, classes))


def test_ranks_are_how_many_classes_are_likelier():
    answers = np.array(
        [
            [9, 1, 2, 3, 4, 5],
            [5, 9, 1, 1, 1, 1],
            [1, 1, 1, 1, 1, 1],
            [9, 8, 7, 6, 5, 4],
            [np.nan] * 6,
        ],
        np.float32,
    )
    labels = np.array([0, 0, 2, 5, 1])
    with session_on() as session:
        ranks = rank_pictures(session, [(answers[:2], labels[:2]), (answers[2:], labels[2:])], 6)
    assert ranks.tolist() == [0, 1, 2, 5, TOP], "of equal answers the earlier class comes first"
    found = accuracy_of(ranks)
    assert (found.pictures, found.top1, found.top5) == (5, 0.2, 0.6)


def test_progress_is_told_and_pieces_are_joined():
    labels = np.arange(40) % 6
    reports = []
    with session_on() as session:
        ranks = rank_pictures(session, [(np.eye(6, dtype=np.float32)[labels], labels)] * 2, 6, reports.append)
    assert not ranks.any()
    assert [report.done for report in reports] == [40, 80]


def test_a_fixed_batch_is_filled_up():
    make, shape = onnx.helper, [4, 6]
    graph = make.make_graph(
        [make.make_node("Identity", ["x"], ["y"])],
        "fixed",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=8)
    labels = np.arange(6)
    with open_session(model.SerializeToString()) as session:
        assert session.inputs[0].shape == (4, 6)
        ranks = rank_pictures(session, [(np.eye(6, dtype=np.float32), labels)], 6)
    assert ranks.tolist() == [0] * 6


def test_other_classes_than_the_network_knows_are_refused():
    with session_on(3) as session, pytest.raises(ConfigError, match=r"answers with \[3\], .* 6 classes"):
        rank_pictures(session, [(np.zeros((1, 3), np.float32), np.array([0]))], 6)
    with session_on() as session, pytest.raises(ConfigError, match="no pictures"):
        rank_pictures(session, [], 6)


def test_points_lost_are_paired():
    before, after = np.array([0] * 8 + [3] * 2), np.array([0] * 6 + [1] * 2 + [0, 3])
    points, low, high = points_lost(before, after)
    assert points == pytest.approx(10.0)  # two lost and one won, of ten
    half = 1.959964 * ((0.3 - 0.01) / 10) ** 0.5 * 100
    assert (low, high) == (pytest.approx(10 - half), pytest.approx(10 + half))
    assert points_lost(before, before) == (0.0, 0.0, 0.0)


def test_the_interval_of_a_share_is_wilsons():
    low, high = wilson(0, 10)
    assert low == 0.0
    assert high == pytest.approx(0.27754, abs=1e-5)
    assert wilson(5, 10) == (pytest.approx(0.23659, abs=1e-5), pytest.approx(0.76341, abs=1e-5))
