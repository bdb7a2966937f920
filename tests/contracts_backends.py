"""What every backend must pass; `test_backends.py` runs it over all that the registry finds.

A backend of another package is held to the same: `check_status(BACKEND)`, and where it is available
`check_session(BACKEND, network)` and `check_precisions(BACKEND, network)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from juggler.errors import ConfigError, Unavailable
from juggler.runtime.export import export
from juggler.runtime.int8.quantization import quantize
from juggler.runtime.open import open_session
from juggler.runtime.precision import FLOAT32, INT8, PRECISIONS
from juggler.runtime.session import Backend, Model, Session

PARITY = 1e-5
# Largest difference from float32, of the largest answer: bfloat16 keeps 8 bits of each product's factors,
# int8 holds each feature to 256 steps. Both have three layers here to add up over.
LIMITS = {"bfloat16": 2e-2, "int8": 4e-2}
SHAPE = (2, 6, 5)


@dataclass(frozen=True)
class Network:
    """A module in evaluation mode with an example of its input."""

    module: nn.Module
    example: torch.Tensor

    @classmethod
    def tiny(cls) -> Network:
        """Make a network with a conv, a batch norm that is not trivial, pooling and a linear layer."""
        generator = torch.Generator().manual_seed(5)
        norm = nn.BatchNorm2d(4)
        module = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1),
            norm,
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        )
        with torch.no_grad():
            for value in module.parameters():
                value.copy_(torch.randn(value.shape, generator=generator))
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(torch.randn(4, generator=generator))
        norm.running_var.copy_(torch.rand(4, generator=generator) + 0.5)
        return cls(module.eval(), torch.randn(2, *SHAPE, generator=generator))

    def reference(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the module itself, in eager mode."""
        with torch.inference_mode():
            result: npt.NDArray[np.float32] = self.module(torch.from_numpy(np.array(array))).numpy()
            return result


def draw(batch: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Draw an input."""
    return np.random.default_rng(seed).standard_normal((batch, *SHAPE), dtype=np.float32)


def check_status(backend: Backend) -> None:
    """A status is truthful and complete: available with a release, or missing with a remedy."""
    status = backend.status()
    assert status == type(status).from_json(status.to_json())
    if status.available:
        assert status.version
        assert status.missing is None
        assert status.remedy is None
    else:
        assert status.missing
        assert status.remedy
        network = Network.tiny()
        with pytest.raises(Unavailable) as caught:
            open_session(network.module, backend.name, example=network.example)
        assert status.missing in str(caught.value)
        assert status.remedy in str(caught.value)


def check_session(backend: Backend, network: Network) -> None:
    """A session computes what the module computes, takes any batch, and refuses what does not fit."""
    with open_session(network.module, backend.name, example=network.example, threads=1) as session:
        assert session.backend == backend.name
        _check_specs(session)
        _check_parity(session, network)
        _check_refusals(session)
        _check_layouts(session, network)
        with open_session(network.module, backend.name, example=network.example, threads=1) as other:
            _check_two_at_once(session, other)
    session.close()
    session.close()
    with pytest.raises(ConfigError, match="closed"):
        session.run(draw(1))


def check_precisions(backend: Backend, network: Network) -> None:
    """Each precision that is offered computes about the same, and not the same; others are refused."""
    offered = backend.precisions()
    assert offered[0] == FLOAT32
    assert len(set(offered)) == len(offered)
    assert set(offered) <= set(PRECISIONS)
    array = draw(64, seed=3)
    wanted = network.reference(array)
    for precision in PRECISIONS:
        model: Model = network.module
        if precision == INT8 and backend.takes == "onnx":
            model = quantize(export(network.module, network.example), draw(64, seed=4))
        if precision not in offered:
            with pytest.raises(Unavailable, match=f"not {precision}"):
                open_session(model, backend.name, example=network.example, precision=precision)
        elif precision != FLOAT32:
            options = {"example": network.example, "threads": 1, "precision": precision}
            with open_session(model, backend.name, **options) as session:  # type: ignore[arg-type]
                _check_specs(session)
                for rows in (array[:1], array[:7], array):
                    error = np.abs(session.run(rows)[0] - wanted[: len(rows)]).max() / np.abs(wanted).max()
                    assert error <= LIMITS[precision]
                assert error > PARITY, "it was run in float32"
    with pytest.raises(ConfigError, match="no precision 'int4'"):
        open_session(network.module, backend.name, example=network.example, precision="int4")


def _check_specs(session: Session) -> None:
    assert [(s.name, s.shape, s.dtype) for s in session.inputs] == [("input", (None, *SHAPE), "float32")]
    assert [(s.name, s.shape, s.dtype) for s in session.outputs] == [("output", (None, 3), "float32")]


def _check_parity(session: Session, network: Network) -> None:
    for batch in (1, 7, 1, 3):
        array = draw(batch, seed=batch)
        before = array.copy()
        results = session.run(array)
        wanted = network.reference(array)
        assert len(results) == 1
        assert isinstance(results[0], np.ndarray)
        assert (results[0].shape, results[0].dtype) == (wanted.shape, wanted.dtype)
        assert np.abs(results[0] - wanted).max() <= PARITY * np.abs(wanted).max()
        assert np.array_equal(array, before), "a session must not write into its input"
    first = session.run(draw(1, seed=1))[0]
    kept = first.copy()
    session.run(draw(1, seed=2))
    assert np.array_equal(first, kept), "a result must not change when the session runs again"


def _check_refusals(session: Session) -> None:
    with pytest.raises(ConfigError, match=r"Give shape \[any, 2, 6, 5\]"):
        session.run(draw(1)[:, :, :5])
    with pytest.raises(ConfigError, match=r"shape \[2, 6, 5\]"):
        session.run(draw(1)[0])
    with pytest.raises(ConfigError, match="at least one of each"):
        session.run(draw(1)[:0])
    with pytest.raises(ConfigError, match="elements of type float64"):
        session.run(draw(1).astype(np.float64))
    with pytest.raises(ConfigError, match="a list"):
        session.run(draw(1).tolist())
    with pytest.raises(ConfigError, match="2 arrays"):
        session.run(draw(1), draw(1))
    with pytest.raises(ConfigError, match="0 arrays"):
        session.run()


def _check_layouts(session: Session, network: Network) -> None:
    """Arrays that are read-only, or not in C order, give the same."""
    for batch in (1, 7):
        array = draw(batch)
        wanted = network.reference(array)
        frozen = array.copy()
        frozen.flags.writeable = False
        backwards = array[:, :, ::-1].copy()[:, :, ::-1]
        for odd in (frozen, np.asfortranarray(array), backwards):
            assert np.abs(session.run(odd)[0] - wanted).max() <= PARITY * np.abs(wanted).max()


def _check_two_at_once(one: Session, other: Session) -> None:
    """Two sessions do not disturb each other."""
    alone = one.run(draw(1, seed=1))[0], other.run(draw(1, seed=2))[0]
    for _ in range(2):
        assert np.array_equal(one.run(draw(1, seed=1))[0], alone[0])
        assert np.array_equal(other.run(draw(1, seed=2))[0], alone[1])
