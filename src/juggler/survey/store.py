"""A survey as files: JSON with all of it, and CSV with one figure a line, each with its origin."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from juggler.files import write_atomically
from juggler.survey.amount import COUNTED, MODELLED, QUANTITY, Amount
from juggler.survey.results import Survey, Surveyed

COLUMNS = ("network", "who", "case", "quantity", "unit", "value", "low", "high", "origin", "source")
OURS, PAPER = "this survey", "the paper"
Line = tuple[str, str, str, str, Amount]


def to_csv(survey: Survey) -> str:
    """Return every figure of the survey on a line of its own, the paper's beside ours."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for network in survey.networks:
        for who, case, quantity, unit, amount in _lines(network, survey):
            ends = ("" if end is None else end for end in (amount.low, amount.high))
            value = "" if amount.value is None else amount.value
            writer.writerow(
                (network.title, who, case, quantity, unit, value, *ends, amount.origin, amount.source)
            )
    return stream.getvalue()


def _lines(network: Surveyed, survey: Survey) -> Iterator[Line]:
    for who, amounts in ((OURS, network.amounts), (PAPER, network.paper)):
        for key, amount in amounts.items():
            yield who, "as it is", QUANTITY[key].title, QUANTITY[key].unit, amount
    array = f"{network.array.rows} x {network.array.columns} {network.array.dataflow}"
    model = f"systolic array, closed form, at most {survey.budget} elements"
    device = survey.device.partition(":")[0]
    yield OURS, array, "Cycles an image", "", Amount(float(network.array.cycles), MODELLED, model)
    yield OURS, array, "Utilisation", "", Amount(network.array.utilisation, MODELLED, model)
    for at in network.precisions:
        case = f"{at.bits} bits"
        yield OURS, case, "Weights", "MB", Amount(at.weight_mb, COUNTED, "layers that multiply")
        operands = Amount(at.operand_mb, COUNTED, "second factors, which are no weights")
        yield OURS, case, "Products of activations", "MB", operands
        yield OURS, case, "Energy an image", "mJ", Amount(at.energy_mj, MODELLED, device)
        yield OURS, case, "Top-1 accuracy lost", "points", at.loss
    for change in network.what_ifs:
        case = f"{change.name}, {survey.bits[-1]} bits"
        yield OURS, case, "Weights", "MB", Amount(change.weight_mb, MODELLED, "kept weights and indices")
        yield OURS, case, "Multiply-accumulates", "10⁹", Amount(change.gmac, MODELLED, "with kept weights")
        yield OURS, case, "Cycles an image", "", Amount(float(change.cycles), MODELLED, f"{model}, {array}")
        yield OURS, case, "Energy an image", "mJ", Amount(change.energy_mj, MODELLED, device)
        yield OURS, case, "Top-1 accuracy lost", "points", change.loss


def write_survey(survey: Survey, folder: Path) -> tuple[Path, Path]:
    """Write a survey as JSON and as CSV, each whole or not at all; return both paths.

    Raises:
        ConfigError: nothing can be written there.
    """
    data, table = folder / "survey.json", folder / "survey.csv"
    write_atomically(data, f"{survey.to_json(indent=1)}\n".encode())
    write_atomically(table, to_csv(survey).encode())
    return data, table
