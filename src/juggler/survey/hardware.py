"""What a network costs on hardware that need not exist: its best array, its energy, both after changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from juggler.cost.factorise import asymmetric, stacked_3x3
from juggler.cost.hardware.gemm import Gemms, gemm_of, network_gemms
from juggler.cost.hardware.hierarchy import Hierarchy
from juggler.cost.hardware.sweep import Choice, best_array
from juggler.cost.hardware.systolic import cycles
from juggler.cost.whatif import (
    Variant,
    account,
    array_cycles,
    energy,
    narrow,
    prune_blocks,
    prune_weights,
    quantise,
    what_if,
)
from juggler.count.counted import Counted
from juggler.count.geometry import Geometry
from juggler.errors import ConfigError
from juggler.survey.amount import Amount
from juggler.survey.results import AtPrecision, Share, WhatIf

ACCUMULATOR_BITS, INDEX_BITS, DENSITY, BLOCK = 32, 4, 0.5, (16, 16)
PJ_PER_MJ = 1e9
NOT_MEASURED = Amount.none("not measured: no pictures and weights were given")
NO_TRIAL = Amount.none("not measured: it takes training")
AS_IS = "as it is"
WEIGHTS, BLOCKS = "half of the weights pruned", f"half of the {BLOCK[0]} x {BLOCK[1]} blocks pruned"


@dataclass(frozen=True)
class Losses:
    """Points of top-1 accuracy that were measured to be lost: by bits, and by the name of a change."""

    by_bits: Mapping[int, Amount]
    by_change: Mapping[str, Amount]
    otherwise: Amount = NOT_MEASURED


def check_device(device: Hierarchy) -> None:
    """Do nothing where a device's energies are in joules.

    Raises:
        ConfigError: they are multiples of a multiply-accumulate.
    """
    if device.energy_unit != "pJ":
        raise ConfigError(
            f"survey networks on {device.name}",
            f"its energies are in {device.energy_unit}",
            "Give a device whose file states pJ, such as tpu_like or eyeriss_chip",
        )


def array_for(geometries: Sequence[Geometry], budget: int) -> Choice:
    """Return the array and dataflow of the fewest cycles within a budget of processing elements.

    Raises:
        ConfigError: nothing multiplies, or a budget below 1.
    """
    return best_array(network_gemms(geometries), budget)


def cycles_on(geometries: Sequence[Geometry], array: Choice) -> int:
    """Return a network's cycles on an array."""
    return int(cycles(network_gemms(geometries), array.rows, array.columns, array.dataflow).sum())


def shares(geometries: Sequence[Geometry], array: Choice) -> tuple[Share, ...]:
    """Return what each kind of layer has of work and of cycles, the most cycles first."""
    gemms = Gemms.of([gemm_of(geometry) for geometry in geometries])
    spent = cycles(gemms, array.rows, array.columns, array.dataflow)
    work = np.array([geometry.macs for geometry in geometries], dtype=np.float64)
    kinds = np.array([kind_of(geometry) for geometry in geometries])
    values = [
        Share(
            str(kind),
            float(work[kinds == kind].sum() / work.sum()),
            float(spent[kinds == kind].sum() / spent.sum()),
        )
        for kind in dict.fromkeys(kinds.tolist())
    ]
    return tuple(sorted(values, key=lambda share: -share.cycles))


def kind_of(geometry: Geometry) -> str:
    """Return what a layer is called in a sentence."""
    if geometry.kind == "linear":
        return "linear layers"
    if geometry.kind == "matmul":
        return "products of activations"
    if geometry.kind == "transposed":
        return "transposed convolutions"
    if geometry.groups > 1:
        return "depthwise convolutions" if geometry.groups == geometry.in_channels else "grouped convolutions"
    return "1 x 1 convolutions" if geometry.taps == 1 else "convolutions larger than 1 x 1"


def energy_mj(network: Sequence[Geometry | Variant], device: Hierarchy) -> float:
    """Return the energy of one pass on a device, in millijoules, under the row-stationary dataflow."""
    return sum(energy(op, device).energy for op in what_if(network)) / PJ_PER_MJ


def multiplying(counted: Counted) -> tuple[Variant, ...]:
    """Return a network's ops that multiply."""
    return tuple(Variant(op.geometry, shared=op.shared) for op in counted.ops if op.geometry is not None)


def at_precisions(
    network: Sequence[Geometry | Variant], device: Hierarchy, bits: Sequence[int], losses: Losses
) -> tuple[AtPrecision, ...]:
    """Return a network's weights and energy in each of the precisions."""
    rows = []
    for width in sorted(bits):
        ops = what_if(network, quantise(width, width, ACCUMULATOR_BITS))
        loss = losses.by_bits.get(width, losses.otherwise)
        operand_mb = sum(account(op).operand_bytes for op in ops) / 1e6
        rows.append(AtPrecision(width, _weight_mb(ops), energy_mj(ops, device), loss, operand_mb))
    return tuple(rows)


def what_ifs(
    network: Sequence[Geometry | Variant], device: Hierarchy, array: Choice, bits: int, losses: Losses
) -> tuple[WhatIf, ...]:
    """Return a network after each change that changes it, in one precision, on one array; unchanged first."""
    plain = what_if(network, quantise(bits, bits, ACCUMULATOR_BITS))
    changed = {
        AS_IS: plain,
        WEIGHTS: what_if(plain, prune_weights(DENSITY, index_bits=INDEX_BITS)),
        f"{WEIGHTS}, zeros skipped": what_if(
            plain, prune_weights(DENSITY, index_bits=INDEX_BITS, skips_zeros=True)
        ),
        BLOCKS: what_if(plain, prune_blocks(DENSITY, BLOCK, index_bits=INDEX_BITS, skips_zeros=True)),
        "half of the channels": narrow(plain, DENSITY),
        "n x n as 1 x n and n x 1": what_if(plain, asymmetric()),
        "5 x 5 as two 3 x 3, 7 x 7 as three": what_if(plain, stacked_3x3()),
    }
    return tuple(
        WhatIf(
            name,
            _weight_mb(ops),
            sum(account(op).macs for op in ops) / 1e9,
            sum(array_cycles(op, array.rows, array.columns, array.dataflow) for op in ops),
            energy_mj(ops, device),
            _loss(name, losses),
        )
        for name, ops in changed.items()
        if name == AS_IS or ops != plain
    )


def _loss(name: str, losses: Losses) -> Amount:
    if name == AS_IS:
        return Amount(0.0, "counted", "it is what the others are compared with")
    if name.startswith(WEIGHTS):  # to skip zeros changes no answer
        return losses.by_change.get(WEIGHTS, losses.otherwise)
    return losses.by_change.get(name, losses.otherwise if name == BLOCKS else NO_TRIAL)


def _weight_mb(ops: Sequence[Variant]) -> float:
    return sum(account(op).weight_bytes for op in ops) / 1e6
