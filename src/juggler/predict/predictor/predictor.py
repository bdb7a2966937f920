"""The predictor of one device: a network in, milliseconds with an interval out."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from juggler.arrays import Arrays
from juggler.errors import ArtefactError, ConfigError
from juggler.nouns import Machine
from juggler.nouns.noun import restored_value
from juggler.predict.extract.kernels import READERS, ExtractedKernels, Uncovered, extract_kernels, group_by_op
from juggler.predict.graphs.structure import graph_structure_of_module
from juggler.predict.kernels.spec import KernelSpec
from juggler.predict.learning.boosting import check_boosters
from juggler.predict.learning.state import joined, part
from juggler.predict.predictor.archive import damage_reported, read_archive, write_archive
from juggler.predict.predictor.composition import Composition, Parts, coldness, is_cold, paper_composition
from juggler.predict.predictor.intervals import POOLED, Intervals
from juggler.predict.predictor.kernel_model import EXEC, POST, PRE, KernelModel
from juggler.predict.predictor.prediction import LayerPrediction, Prediction, doubt
from juggler.predict.predictor.stand_ins import least_ms, stand_in
from juggler.runtime.onnx_graphs.structure import GraphStructure

if TYPE_CHECKING:
    from torch import Tensor, fx

    from juggler.runtime.session import Model

NETWORK = "network"  # what intervals of whole networks are kept under
PLAIN = ("name", "backend", "release", "precision", "threads", "cache_bytes", "fitted_at")  # fields in a file
TELLING = 1.02  # an interval that is wider by so much is worth a word
COUNTS = ("threads", "cache_bytes")  # of the fields those that are whole numbers
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
    def load(cls, source: str | Path, *, devices: Path | None = None) -> Self:
        """Read a predictor: a file, or the name of a device that ships with the package.

        Args:
            source: the path, or the name.
            devices: folder of the named devices; None is that of the package.

        Raises:
            ConfigError: no file and no such device; near names are shown.
            ArtefactError: no predictor, cut off, damaged or of another release.
        """
        fields, arrays = read_archive(source, devices)
        with damage_reported(source):
            if Path(source).is_file():  # those that come with the package are as sound as it is
                check_boosters(arrays)
            return cls.from_state(fields, arrays)

    def save(self, path: str | Path) -> Path:
        """Write the predictor as one file, whole or not at all; nothing in it is a pickle.

        Raises:
            ConfigError: it cannot be written, or was recalibrated: its correction belongs to this machine.
        """
        if self.corrected:
            remedy = "Save the predictor as it was loaded; corrections are kept by themselves"
            raise ConfigError(f"save {path}", "it is recalibrated for this machine", remedy)
        return write_archive(Path(path), *self.to_state())

    def to_state(self) -> tuple[dict[str, Any], Arrays]:
        """Return JSON values and arrays; without the correction, which belongs to this machine."""
        states = {family: model.to_state() for family, model in self.models.items()}
        fields = {
            **{name: getattr(self, name) for name in PLAIN},
            "machine": self.machine.to_dict(),
            "models": {family: model_fields for family, (model_fields, _) in states.items()},
            "intervals": self.intervals.to_dict(),
            "composition": self.composition.to_dict(),
            "networks": self.networks.to_dict(),
            "report": dict(self.report),
        }
        return fields, joined({family: arrays for family, (_, arrays) in states.items()})

    @classmethod
    def from_state(cls, fields: Mapping[str, Any], arrays: Arrays) -> Self:
        """Return what `to_state` gave.

        Raises:
            ArtefactError: it is damaged, or of another release.
            KeyError: a field is missing.
        """
        models = {
            family: KernelModel.from_state(family, model_fields, part(arrays, family))
            for family, model_fields in fields["models"].items()
        }
        plain = {name: restored_value(int if name in COUNTS else str, fields[name]) for name in PLAIN}
        return cls(
            **plain,
            machine=Machine.from_dict(fields["machine"]),
            models=models,
            intervals=Intervals.from_dict(fields["intervals"]),
            composition=Composition.from_dict(fields["composition"]),
            networks=Intervals.from_dict(fields["networks"]),
            report=fields["report"],
        )

    def read(
        self,
        model: Model | GraphStructure,
        *,
        shape: tuple[int, ...] | None = None,
        batch: int = 1,
        name: str = "",
    ) -> ExtractedKernels:
        """Return the kernels that this device's runtime runs; see `extract_kernels`."""
        return extract_kernels(model, self.backend, shape=shape, batch=batch, name=name)

    def predict(
        self,
        model: Model | GraphStructure | ExtractedKernels,
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
        if isinstance(model, ExtractedKernels):
            return self._compose(model)
        return self._compose(self.read(model, shape=shape, batch=batch, name=name))

    def kernels_ms(self, specs: Sequence[KernelSpec], phase: str = EXEC) -> list[float | None]:
        """Return what each kernel takes alone, in milliseconds; None where no sample tells of its family."""
        latencies: dict[KernelSpec, float] = {}
        for family, unique in _by_family(specs).items():
            model = self.models.get(family)
            if model is not None and phase in model.phases:
                least = [least_ms(spec, model.sampled.words) for spec in unique]
                predicted = np.maximum(model.predict(unique, phase), least)
                latencies |= dict(zip(unique, map(float, predicted), strict=True))
            elif model is None and phase == EXEC:
                latencies |= self._stood_in_ms(unique)
        return [latencies.get(spec) for spec in specs]

    def _stood_in_ms(self, specs: Sequence[KernelSpec]) -> dict[KernelSpec, float]:
        """Return what kernels take by those that stand in for them, where there are any."""
        pairs = {spec: pair for spec in specs if (pair := stand_in(spec)) and pair[0].family in self.models}
        others = self.kernels_ms([substitute for substitute, _ in pairs.values()])
        return {
            spec: count * latency_ms
            for (spec, (_, count)), latency_ms in zip(pairs.items(), others, strict=True)
            if latency_ms is not None
        }

    def parts(self, reading: ExtractedKernels) -> Parts:
        """Return what a network is composed of, its kernels predicted."""
        return Parts.of(reading, self.in_network_ms(reading), self.cache_bytes)

    def in_network_ms(self, reading: ExtractedKernels) -> list[float | None]:
        """Return what each kernel takes within the network: between hot and cold weights, by its size."""
        share, specs = coldness(reading, self.cache_bytes), self.as_run(reading)
        as_run = self.kernels_ms(specs)
        if share in (0.0, 1.0):
            return as_run
        hot = self.kernels_ms([kernel.spec for kernel in reading.kernels])
        pairs = zip(hot, as_run, strict=True)
        return [None if a is None or b is None else a + share * (b - a) for a, b in pairs]

    def as_run(self, reading: ExtractedKernels) -> list[KernelSpec]:
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
        Nothing is timed: forms are exported without being run on the device, read as its runtime would run
        them, and predicted. Forms of a region differ by their kernels alone, so a call's fixed price is left
        out. It raises ConfigError where the network cannot be exported.
        """
        reader = READERS.get(self.backend)

        def latency_ms(module: fx.GraphModule, examples: tuple[Tensor, ...]) -> float:
            single = copy.deepcopy(module).float()  # forms may be given in float64, which nobody deploys
            inputs = tuple(value.float() if value.is_floating_point() else value for value in examples)
            structure = graph_structure_of_module(single, inputs, "a form of a region")
            prediction = self._compose(reader.read(structure, *(tuple(value.shape) for value in inputs)))
            return prediction.latency_ms - prediction.fixed_ms

        return latency_ms

    def require(self, backend: str) -> None:
        """Do nothing where the predictor is of this backend.

        Raises:
            ConfigError: it is of another.
        """
        if backend != self.backend:
            raise ConfigError(
                f"predict for {backend} with {self.name}", f"it is of {self.backend}", "Name another device"
            )

    def _compose(self, reading: ExtractedKernels) -> Prediction:
        """Predict the kernels of a network, and compose them."""
        specs = self.as_run(reading)
        kernels_ms = self.in_network_ms(reading)
        parts = Parts.of(reading, kernels_ms, self.cache_bytes)
        composition = self.composition
        layers = self._layers(reading, specs, kernels_ms, is_cooled=parts.cold_bytes > 0)
        total_ms = composition.compose(parts)
        if not 0.0 < total_ms < math.inf:
            fault = f"its coefficients give {total_ms:g} ms"
            raise ArtefactError(f"predict with {self.name}", fault, "The predictor is damaged: fit it again")
        uncovered_ms = composition.uncovered_ms_per_mb * parts.uncovered_bytes / 1e6
        overhead_ms = composition.node_ms * parts.nodes
        low_ms, high_ms = self._interval(layers, total_ms, composition.fixed_ms + overhead_ms + uncovered_ms)
        shorter, longer = doubt(layers, uncovered_ms, total_ms)
        return Prediction(
            network=reading.network,
            device=self.name,
            backend=self.backend,
            precision=self.precision,
            threads=self.threads,
            shape=reading.shape,
            latency_ms=total_ms,
            low_ms=low_ms * shorter,
            high_ms=high_ms * longer,
            level=self.networks.level,
            calibrated=self.networks.counts.get(NETWORK, 0),
            layers=tuple(layers),
            fixed_ms=composition.fixed_ms,
            overhead_ms=overhead_ms,
            uncovered_ms=uncovered_ms,
            uncovered=_uncovered(reading, kernels_ms),
            paper_ms=self._paper_ms(specs, kernels_ms),
            warnings=tuple(self._warnings(reading, layers, longer)),
        )

    def _layers(
        self,
        reading: ExtractedKernels,
        specs: Sequence[KernelSpec],
        kernels_ms: Sequence[float | None],
        *,
        is_cooled: bool,
    ) -> list[LayerPrediction]:
        extrapolated = self._extrapolated(specs)
        layers = []
        for kernel, spec, kernel_ms in zip(reading.kernels, specs, kernels_ms, strict=True):
            if kernel_ms is None:
                continue
            latency_ms = self.composition.gain(spec) * kernel_ms
            latency_ms += self.composition.cold_ms_per_mb * spec.weight_bytes / 1e6 * is_cooled
            low_ms, high_ms = self.intervals.of(spec.family, latency_ms)
            outside = extrapolated.get(spec, ())
            layers.append(
                LayerPrediction(kernel.name, kernel.op, spec.family, latency_ms, low_ms, high_ms, outside)
            )
        return layers

    def _extrapolated(self, specs: Sequence[KernelSpec]) -> dict[KernelSpec, tuple[str, ...]]:
        """Return, of each kernel, which of its numbers lie outside what was sampled."""
        outside: dict[KernelSpec, tuple[str, ...]] = {}
        for family, unique in _by_family(specs).items():
            if family in self.models:
                outside |= dict(zip(unique, self.models[family].outside(unique), strict=True))
            else:
                outside |= dict.fromkeys(unique, (f"family {family}",))
        return outside

    def _interval(
        self, layers: Sequence[LayerPrediction], total_ms: float, rest_ms: float
    ) -> tuple[float, float]:
        """Return the interval of the total: calibrated on networks, or as if all layers erred together."""
        if NETWORK in self.networks.half_widths:
            return self.networks.of(NETWORK, total_ms)
        low_ms = sum(layer.low_ms for layer in layers) + rest_ms
        return low_ms, sum(layer.high_ms for layer in layers) + rest_ms

    def _paper_ms(self, specs: Sequence[KernelSpec], kernels_ms: Sequence[float | None]) -> float | None:
        if not specs:
            return None
        (pre_ms,) = self.kernels_ms(specs[:1], PRE)
        (post_ms,) = self.kernels_ms(specs[-1:], POST)
        if pre_ms is None or post_ms is None:
            return None
        known = [(spec.family, ms) for spec, ms in zip(specs, kernels_ms, strict=True) if ms is not None]
        return paper_composition([family for family, _ in known], pre_ms, [ms for _, ms in known], post_ms)

    def _warnings(
        self, reading: ExtractedKernels, layers: Sequence[LayerPrediction], longer: float
    ) -> list[str]:
        warnings = []
        beyond = sum(bool(layer.extrapolated) for layer in layers)
        if beyond:
            warnings.append(f"{beyond} of {len(layers)} kernels lie outside the sampled range: extrapolated")
        if longer > TELLING:
            wider = f"the interval ends {longer - 1.0:.0%} higher for that"
            warnings.append(f"no sample tells of all of it: {wider}")
        if NETWORK not in self.networks.half_widths:
            warnings.append("the interval is not calibrated on networks: it adds up those of the kernels")
        weak = sorted({layer.family for layer in layers} - set(self.intervals.half_widths) - {POOLED})
        if weak:
            warnings.append(f"too few samples for intervals of their own: {', '.join(weak)}")
        if reading.release != self.release:
            warnings.append(f"read with {reading.backend} {reading.release}, sampled with {self.release}")
        return warnings


def _by_family(specs: Sequence[KernelSpec]) -> dict[str, list[KernelSpec]]:
    """Return the kernels that differ, by family."""
    families: dict[str, list[KernelSpec]] = {}
    for spec in dict.fromkeys(specs):
        families.setdefault(spec.family, []).append(spec)
    return families


def _uncovered(reading: ExtractedKernels, kernels_ms: Sequence[float | None]) -> tuple[Uncovered, ...]:
    missed = [
        (kernel.op, kernel.name, kernel.spec.bytes)
        for kernel, kernel_ms in zip(reading.kernels, kernels_ms, strict=True)
        if kernel_ms is None
    ]
    return (*reading.uncovered, *group_by_op(missed))
