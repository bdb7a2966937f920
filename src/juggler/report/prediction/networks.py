"""Predictions as tables: by layer, in total, and many of them ranked against a budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from juggler.report.kit.sheet import Column, Sheet
from juggler.report.kit.units import percent, significant

if TYPE_CHECKING:
    from juggler.predict.predictor.prediction import Prediction

MARKS = {"surely": "good", "likely": "", "unlikely": "", "no": "bad", "unknown": ""}


def totals_sheet(predictions: Sequence[Prediction]) -> Sheet:
    """Lay out what networks take, one row a network, device and batch."""
    columns = (
        *(Column(name, numeric=False) for name in ("network", "device")),
        Column("batch"),
        Column("latency", "ms"),
        Column("from", "ms"),
        Column("to", "ms"),
        Column("inputs", "/s"),
        Column("kernels"),
        Column("extrapolated"),
        Column("not covered"),
    )
    rows = tuple(
        (
            prediction.network,
            prediction.device,
            str(prediction.batch),
            *(significant(value) for value in (prediction.latency_ms, prediction.low_ms, prediction.high_ms)),
            significant(prediction.throughput_per_s),
            str(len(prediction.layers)),
            str(len(prediction.extrapolated)),
            str(sum(missed.count for missed in prediction.uncovered)),
        )
        for prediction in predictions
    )
    level = predictions[0].level if predictions else 0.9
    return Sheet(
        "Predicted latency", columns, rows, note=f"from, to: the {level:.0%} interval; nothing was run"
    )


def layers_sheet(prediction: Prediction, shown: int | None = None) -> Sheet:
    """Lay out the kernels of one prediction, the longest first; all of them where `shown` is None."""
    columns = (
        *(Column(name, numeric=False) for name in ("kernel", "op", "family")),
        Column("latency", "ms"),
        Column("from", "ms"),
        Column("to", "ms"),
        Column("share", "%"),
        Column("extrapolated", numeric=False),
    )
    ranked = sorted(prediction.layers, key=lambda layer: layer.latency_ms, reverse=True)
    rows = [
        (
            short_name(layer.name),
            layer.op,
            layer.family,
            *(significant(value) for value in (layer.latency_ms, layer.low_ms, layer.high_ms)),
            _share(layer.latency_ms, prediction),
            ", ".join(layer.extrapolated),
        )
        for layer in ranked[:shown]
    ]
    rest = ranked[len(rows) :]
    more = {
        f"{len(rest)} more kernels": sum(layer.latency_ms for layer in rest),
        "nodes": prediction.overhead_ms,
        "the call itself": prediction.fixed_ms,
        "not covered": prediction.uncovered_ms,
    }
    rows += [
        (name, "", "", significant(ms), "", "", _share(ms, prediction), "")
        for name, ms in more.items()
        if ms > 0.0
    ]
    title = f"{prediction.network} at batch {prediction.batch} on {prediction.device}"
    return Sheet(title, columns, tuple(rows))


def short_name(path: str, longest: int = 32) -> str:
    """Return a node's path without what its own parts repeat, and no more than so many of its last letters.

    `/stages/stages.3/stages.3.0/conv/Conv_output_0` is `stages.3.0/conv/Conv`.
    """
    parts = [part for part in path.removesuffix("_output_0").split("/") if part]
    pairs = zip(parts, [*parts[1:], ""], strict=False)
    unrepeated = [part for part, after in pairs if not f"{after}.".startswith(f"{part}.")]
    name = "/".join(unrepeated) or path
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def uncovered_sheet(prediction: Prediction) -> Sheet:
    """Lay out what no kernel describes, or nothing was sampled for."""
    columns = (
        Column("op", numeric=False),
        Column("first", numeric=False),
        Column("nodes"),
        Column("bytes", "MB"),
    )
    rows = tuple((op.op, op.name, str(op.count), significant(op.bytes / 1e6)) for op in prediction.uncovered)
    return Sheet("Not covered", columns, rows, note="put down for by their bytes; see the total's share")


def ranking_sheet(predictions: Sequence[Prediction], budget_ms: float | None) -> Sheet:
    """Lay out predictions from the fastest, with what each says about the budget."""
    budget_columns = () if budget_ms is None else (Column("in budget", numeric=False),)
    columns = (
        Column(""),
        *(Column(name, numeric=False) for name in ("network", "device", "runtime")),
        Column("batch"),
        Column("latency", "ms"),
        Column("from", "ms"),
        Column("to", "ms"),
        Column("an input", "ms"),
        *budget_columns,
    )
    ranked = ranked_by_input(predictions)
    verdicts = ["" if budget_ms is None else prediction.within(budget_ms) for prediction in ranked]
    rows = tuple(
        (
            str(place),
            prediction.network,
            prediction.device,
            prediction.backend,
            str(prediction.batch),
            *(significant(value) for value in (prediction.latency_ms, prediction.low_ms, prediction.high_ms)),
            significant(prediction.latency_ms / prediction.batch),
            *([verdict] if budget_columns else []),
        )
        for place, (prediction, verdict) in enumerate(zip(ranked, verdicts, strict=True), 1)
    )
    note = (
        ""
        if budget_ms is None
        else f"budget {budget_ms:g} ms a call: surely, the whole interval is within it; unknown, no sample "
        "tells of more than a quarter of it"
    )
    return Sheet("Ranked by latency an input", columns, rows, tuple(MARKS.get(v, "") for v in verdicts), note)


def ranked_by_input(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return predictions, the shortest latency an input first."""
    return sorted(predictions, key=lambda prediction: prediction.latency_ms / prediction.batch)


def _share(ms: float, prediction: Prediction) -> str:
    return percent(ms / prediction.latency_ms)
