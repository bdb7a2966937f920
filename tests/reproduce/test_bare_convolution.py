"""The convolution that is written straight as a graph, against torch."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from juggler.reproduce.counting import count
from juggler.reproduce.networks import bare_convolution
from juggler.runtime.open import open_session


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
def test_it_computes_what_torch_computes_and_is_counted_by_hand(kernel):
    subject = bare_convolution(kernel, channels=6, side_px=9)
    found = count(subject.graph, subject.shape)
    assert found.macs == kernel**2 * 6 * 6 * 9 * 9
    assert (found.parameters, found.kernels) == (kernel**2 * 36, 1)
    model = onnx.load_from_string(subject.graph)
    onnx.checker.check_model(model, full_check=True)
    weight = torch.from_numpy(onnx.numpy_helper.to_array(model.graph.initializer[0]).copy())
    inputs = np.random.default_rng(0).standard_normal((2, *subject.shape), dtype=np.float32)
    wanted = torch.nn.functional.conv2d(torch.from_numpy(inputs), weight, padding=kernel // 2).numpy()
    for backend in ("onnxruntime", "torch_eager"):
        with open_session(subject.graph, backend) as session:
            assert np.abs(session.run(inputs)[0] - wanted).max() <= 1e-5 * np.abs(wanted).max()
