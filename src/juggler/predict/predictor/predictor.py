"""The predictor of one device: a network in, milliseconds with an interval out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from juggler.errors import ConfigError
from juggler.nouns import Machine
from juggler.predict.extract.kernels import Reading, read_kernels
from juggler.predict.graphs.structure import Skeleton
from juggler.predict.kernels.spec import KernelSpec
from juggler.predict.predictor.composition import Composition, Parts, coldness, is_cold
from juggler.predict.predictor.intervals import Intervals
from juggler.predict.predictor.kernel_model import EXEC, KernelModel
from juggler.predict.predictor.prediction import Prediction

if TYPE_CHECKING:
    from torch import Tensor, fx

    from juggler.runtime.session import Model

NETWORK = "network"  # what intervals of whole networks are kept under
COLD_BYTES = 1 << 16  # weights of fewer bytes are in the cache again at once


@dataclass(frozen=True)
class Predictor:
    """Predict the latency of networks on one device.

    Attributes:
        name: of the device.
        machine: that it was fitted on.
        backend: that it was fitted with.
        release: of the backend.
        precision: that kernels ran in.
        threads: cores that a kernel could use.
        cache_bytes: of a core's private cache.
        models: what predicts each family.
        intervals: of kernels, by family.
        composition: of kernels to networks.
        networks: intervals of whole networks.
        fitted_at: when, as ISO 8601.
        report: scores, splits and floors of the fit, as plain values.
        corrected: what recalibration found, in words; empty without.
    """

    name: str
    machine: Machine
    backend: str
    release: str
    precision: str
    threads: int
    cache_bytes: int
    models: Mapping[str, KernelModel]
    intervals: Intervals
    composition: Composition
    networks: Intervals
    fitted_at: str
    report: Mapping[str, Any] = field(default_factory=dict)
    corrected: str = ""

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read a predictor: a file, or the name of a device that ships with the package.

        Raises:
            ConfigError: no file and no such device; near names are shown.
            ArtefactError: no predictor, cut off, damaged or of another release.
        """
        from juggler.predict.predictor.archive import load  # noqa: PLC0415  # it imports this module

        return load(source, cls)

    def save(self, path: str | Path) -> Path:
        """Write the predictor as one file, whole or not at all; nothing in it is a pickle.

        Raises:
            ConfigError: it cannot be written.
        """
        from juggler.predict.predictor.archive import save  # noqa: PLC0415

        return save(self, Path(path))

    def read(
        self,
        model: Model | Skeleton,
        *,
        shape: tuple[int, ...] | None = None,
        batch: int = 1,
        name: str = "",
    ) -> Reading:
        """Return the kernels that this device's runtime runs; see `read_kernels`."""
        return read_kernels(model, self.backend, shape=shape, batch=batch, name=name)

    def predict(
        self,
        model: Model | Skeleton | Reading,
        *,
        shape: tuple[int, ...] | None = None,
        batch: int = 1,
        name: str = "",
    ) -> Prediction:
        """Predict how long one call of a network takes.

        Args:
            model: path or bytes of an ONNX model, a module in evaluation mode, or what `read` gave.
            shape: of the input, without the batch; an ONNX model's own where absent.
            batch: inputs a call.
            name: of the network.

        Raises:
            ConfigError: a shape or batch that the network does not take.
            ArtefactError: no ONNX model, or none that the runtime can open.
            Unavailable: the runtime that must read it is not installed.
        """
        from juggler.predict.predictor.answering import answer  # noqa: PLC0415  # it imports this module

        if isinstance(model, Reading):
            return answer(self, model)
        return answer(self, self.read(model, shape=shape, batch=batch, name=name))

    def kernels_ms(self, specs: Sequence[KernelSpec], phase: str = EXEC) -> list[float | None]:
        """Return what each kernel takes alone, in milliseconds; None where no sample tells of its family."""
        unique = list(dict.fromkeys(specs))
        found: dict[KernelSpec, float] = {}
        for family in {spec.family for spec in unique}:
            model = self.models.get(family)
            own = [spec for spec in unique if spec.family == family]
            if model is not None and phase in model.phases:
                found |= dict(zip(own, map(float, model.predict(own, phase)), strict=True))
        return [found.get(spec) for spec in specs]

    def parts(self, reading: Reading) -> Parts:
        """Return what a network is composed of, its kernels predicted."""
        return Parts.of(reading, self.in_network_ms(reading), self.cache_bytes)

    def in_network_ms(self, reading: Reading) -> list[float | None]:
        """Return what each kernel takes within the network: between hot and cold weights, by its size."""
        share, specs = coldness(reading, self.cache_bytes), self.as_run(reading)
        found = self.kernels_ms(specs)
        if share in (0.0, 1.0):
            return found
        hot = self.kernels_ms([kernel.spec for kernel in reading.kernels])
        pairs = zip(hot, found, strict=True)
        return [None if a is None or b is None else a + share * (b - a) for a, b in pairs]

    def as_run(self, reading: Reading) -> list[KernelSpec]:
        """Return the kernels, weights cold where that was sampled and the cache is too small for all."""
        if not is_cold(reading, self.cache_bytes):
            return [kernel.spec for kernel in reading.kernels]
        return [self._cooled(kernel.spec) for kernel in reading.kernels]

    def _cooled(self, spec: KernelSpec) -> KernelSpec:
        model = self.models.get(spec.family)
        is_cooled = model is not None and model.sampled.has_cold and spec.weight_bytes >= COLD_BYTES
        return replace(spec, cold=True) if is_cooled else spec

    def cost(self) -> Callable[[fx.GraphModule, tuple[Tensor, ...]], float]:
        """Return this predictor as a cost function: `flatten(..., policy="model", cost=predictor.cost())`.

        It takes a small network with its example inputs, and returns milliseconds at their size and batch.
        """
        from juggler.predict.predictor.pricing import Pricing  # noqa: PLC0415  # torch only where it is needed

        return Pricing(self)

    def require(self, backend: str) -> None:
        """Do nothing where the predictor is of this backend.

        Raises:
            ConfigError: it is of another.
        """
        if backend != self.backend:
            raise ConfigError(
                f"predict for {backend} with {self.name}", f"it is of {self.backend}", "Name another device"
            )
