"""Modules where the last release had them: they import from their new places, each with a warning.

Goes with the next release. Names inside of a module that changed are kept by `juggler.lazy.renamed` where
they stood.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# What the documentation of 0.1.0 named.
MOVED = {
    "juggler.cost.clock": "juggler.clock.race",
    "juggler.cost.counts": "juggler.count.network",
    "juggler.cost.geometry": "juggler.count.geometry",
    "juggler.cost.gemm": "juggler.cost.hardware.gemm",
    "juggler.cost.hierarchy": "juggler.cost.hardware.hierarchy",
    "juggler.cost.reuse": "juggler.cost.hardware.reuse",
    "juggler.cost.sweep": "juggler.cost.hardware.sweep",
    "juggler.cost.systolic": "juggler.cost.hardware.systolic",
    "juggler.detect.aggregate": "juggler.alerts.aggregation",
    "juggler.detect.sink": "juggler.alerts.sink",
    "juggler.data.readers.inert_pickle": "juggler.reading.pickles",
    "juggler.models.annealing": "juggler.models.layers.annealing",
    "juggler.models.blocks": "juggler.models.networks.blocks",
    "juggler.models.equivalent": "juggler.models.branches.equivalent",
    "juggler.predict.fleet": "juggler.predict.campaign.fleet.driver",
    "juggler.predict.learner": "juggler.predict.learning.learner",
    "juggler.predict.reading": "juggler.predict.extract.kernels",
    "juggler.predict.scores": "juggler.predict.learning.scores",
    "juggler.predict.splits": "juggler.predict.learning.splits",
    "juggler.predict.transfer": "juggler.predict.learning.learners.transferred",
    "juggler.predict.wire": "juggler.runtime.onnx_graphs.structure",
    "juggler.runtime.attribution": "juggler.runtime.measure.attribution",
    "juggler.runtime.metadata": "juggler.runtime.onnx_graphs.metadata",
    "juggler.runtime.quantize": "juggler.runtime.int8.quantization",
    "juggler.runtime.shipped": "juggler.runtime.artefact",
    "juggler.transform.exported": "juggler.transform.tracing.exported",
    "juggler.transform.rule": "juggler.transform.rewrite.rule",
    "juggler.transform.trace": "juggler.transform.tracing.graph",
    "juggler.transform.values": "juggler.transform.algebra.values",
}


class _Alias(Loader):
    """Give the module of the new place under the old name."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Import the new place, and say where it is."""
        place = MOVED[spec.name]
        warnings.warn(
            f"{spec.name} is now {place}; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        module = importlib.import_module(place)
        # Importing writes the spec of the old name into the module: keep the module's own beside it.
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the module has run where it lives now."""
        module.__spec__ = self._spec
        module.__loader__ = self._spec.loader if self._spec else None


class _Finder(MetaPathFinder):
    """Answer for the old names, after everybody else."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old name, None for any other."""
        return ModuleSpec(name, _Alias()) if name in MOVED else None


def install() -> None:
    """Let Python ask for old names here; asking twice changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
