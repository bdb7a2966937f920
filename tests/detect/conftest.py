"""A small detector that is real: fitted by ridge regression on made-up traffic, exported, written, loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from juggler.data import Encoder, TrainRecords
from juggler.runtime import Artefact, Fields
from juggler.runtime.artefact import write
from small_detector import SCHEMA, graph_of, records


@pytest.fixture(scope="session")
def artefact_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = TrainRecords.of(records(1500, seed=1))
    encoder = Encoder.fit(train)
    x = encoder.encode(train).reshape(len(train), -1).astype(np.float64)
    x = np.hstack([x, np.ones((len(x), 1))])
    y = 12.0 * np.eye(len(SCHEMA.classes))[train.classes()]
    weights = np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ y).T.astype(np.float32)
    graph = graph_of(weights[:, :-1].copy(), weights[:, -1].copy(), encoder.shape)
    path = tmp_path_factory.mktemp("artefact") / "detector.onnx"
    write(path, graph, Fields("linear", "flat", SCHEMA, encoder, SCHEMA.classes, threshold=0.3))
    return path


@pytest.fixture(scope="session")
def artefact(artefact_path: Path) -> Artefact:
    return Artefact.load(artefact_path, threads=1)
