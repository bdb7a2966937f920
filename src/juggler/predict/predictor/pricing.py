"""A predictor as what prices small networks: the cost function of `flatten(..., policy="model")`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from juggler.predict.extract.kernels import READERS
from juggler.predict.graphs.structure import skeleton_of_module
from juggler.predict.predictor.answering import answer

if TYPE_CHECKING:
    from torch import Tensor, fx

    from juggler.predict.predictor.predictor import Predictor


class Pricing:
    """Price small networks in milliseconds a call, at the sizes and the batch of their example inputs.

    Nothing is timed: forms are exported without being run on the device, read as its runtime would run them,
    and predicted. Forms of a region differ by their kernels alone, so a call's fixed price is left out.

    Args:
        predictor: of the device that the network is to run on.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._reader = READERS.get(predictor.backend)

    def __call__(self, module: fx.GraphModule, examples: tuple[Tensor, ...]) -> float:
        """Return the milliseconds of one call.

        Raises:
            ConfigError: the network cannot be exported.
        """
        own = copy.deepcopy(module).float()  # forms may be given in float64, which nobody deploys
        inputs = tuple(value.float() if value.is_floating_point() else value for value in examples)
        skeleton = skeleton_of_module(own, inputs, "a form of a region")
        found = answer(self._predictor, self._reader.read(skeleton, *(tuple(x.shape) for x in inputs)))
        return found.latency_ms - found.fixed_ms
