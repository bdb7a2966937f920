"""A survey of three made-up networks: every origin, a missing figure, a measured loss, a name with markup."""

from __future__ import annotations

from juggler.cost.hardware.sweep import Choice
from juggler.nouns import Machine, Skipped
from juggler.survey import Amount, AtPrecision, Survey, Surveyed, WhatIf
from juggler.survey.results import FORMAT, Share
from juggler.survey.verdict import verdict

HERE = "this machine"


def made_up(
    name: str,
    top1: Amount,
    cycles: int,
    energies_mj: tuple[float, ...] = (10.0, 40.0),
    *,
    title: str = "",
    latency: Amount | None = None,
    power: Amount | None = None,
    paper: dict[str, Amount] | None = None,
    loss: Amount | None = None,
    kind: str = "linear layers",
) -> Surveyed:
    """Return one network, 8 and 32 bits; a loss is that of 8 bits."""
    none = Amount.none("not measured: no pictures and weights were given")
    losses = (loss or none, Amount(0.0, "counted", "it is what the others are compared with"))
    return Surveyed(
        name=name,
        title=title or name,
        model=f"nets:{name}",
        shape=(3, 8, 8),
        amounts={
            "top1": top1,
            "top5": Amount.none("no source is cited"),
            "parameters_m": Amount(1.5, "counted", "operator by operator"),
            "gflop": Amount(2.0, "counted", "operator by operator"),
            "latency_ms": latency or Amount.none("no time was measured"),
            "power_w": power or Amount.none("no time was measured"),
            "energy_mj": Amount(100.0, "modelled", "this CPU"),
        },
        paper=paper or {},
        array=Choice("weight_stationary", 16, 8, cycles, 0.25),
        cycles_on={},
        shares=(Share(kind, 0.1, 0.6), Share("1 x 1 convolutions", 0.9, 0.4)),
        precisions=tuple(
            AtPrecision(bits, float(bits), energy, lost)
            for bits, energy, lost in zip((8, 32), energies_mj, losses, strict=True)
        ),
        what_ifs=(
            WhatIf("as it is", 6.0, 1.0, cycles, energies_mj[1], losses[1]),
            WhatIf("half of the weights pruned", 3.4, 0.5, cycles, 0.8 * energies_mj[1], losses[0]),
        ),
        uncounted=("aten.i0 (1)",),
        notes=("A note <b>in words</b>.",),
    )


def made_up_survey() -> Survey:
    """Return the survey; its first network beats the second on all three counts."""
    quoted = Amount(70.0, "quoted", "the analysis paper, Table I, Fig. 16")
    networks = [
        made_up(
            "best",
            Amount(75.5, "measured", "40 pictures", 60.0, 85.0),
            1000,
            latency=Amount(12.5, "measured", HERE, 12.0, 13.0),
            power=Amount(8.0, "estimated", "energy over time"),
            paper={"top1": quoted, "parameters_m": quoted, "latency_ms": Amount(90.81, "quoted", "Fig. 20")},
            loss=Amount(0.5, "measured", "40 pictures, one crop", -0.5, 1.5),
        ),
        made_up(
            "beaten", Amount(74.0, "quoted", "somebody"), 2000, (20.0, 80.0), title="beaten <b>&</b> $x$"
        ),
        made_up("unknown", Amount.none("no source is cited"), 500, (5.0, 20.0)),
    ]
    across = [
        {other.name: max(one.array.cycles, other.array.cycles) for other in networks} for one in networks
    ]
    whole = tuple(
        Surveyed(**{**vars(one), "cycles_on": cycles}) for one, cycles in zip(networks, across, strict=True)
    )
    return Survey(
        format=FORMAT,
        date="2026-11-21",
        machine=Machine("a processor", 2, 7.8, "Linux", "3.12", {"torch": "2.13"}),
        backend="onnxruntime 1.31",
        device="TPU-like: a source",
        budget=128,
        bits=(8, 32),
        networks=whole,
        left_out=(Skipped("VGG16", "not installed: pytorchcv", "pip install --no-deps pytorchcv"),),
        pictures="40 of val",
        meter="none: rapl: this machine shows no energy counter",
        verdict=verdict(whole, 128),
        settings={"rounds": "3"},
    )
