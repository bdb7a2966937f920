"""Lay out the survey's tables as text cells: Table I beside the paper's, arrays, precisions, what-ifs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from juggler.report.kit import units
from juggler.report.kit.sheet import Column, Sheet

if TYPE_CHECKING:
    from juggler.survey.amount import Amount
    from juggler.survey.results import Survey, Surveyed


SIGNS = {
    "measured": "●",
    "counted": "■",
    "modelled": "▲",
    "estimated": "◆",
    "quoted": "○",
    "unavailable": "–",
}
MARKERS = {"measured": "o", "counted": "s", "modelled": "^", "estimated": "D", "quoted": "o"}
HATCHES = {"measured": "", "counted": "", "modelled": "////", "estimated": "////", "quoted": "...."}
HOLLOW = ("quoted",)
# A point is as good as the weaker of its two figures.
WEAKEST_FIRST = ("unavailable", "quoted", "estimated", "modelled", "measured", "counted")
DIGITS = {"top1": 1, "top5": 1}


def number(key: str, value: float | None) -> str:
    """Return a figure with as many digits as its quantity bears."""
    if value is None:
        return units.DASH
    return units.decimal(value, DIGITS[key]) if key in DIGITS else units.significant(value)


def marked(key: str, amount: Amount | None) -> str:
    """Return a figure with the sign of its origin: `77.7 ○`; a dash where there is none."""
    if amount is None or amount.value is None:
        return units.DASH
    return f"{number(key, amount.value)} {SIGNS[amount.origin]}"


def weakest(origins: Iterable[str]) -> str:
    """Return the origin that a figure worked out from others has."""
    return min(origins, key=WEAKEST_FIRST.index)


def legend(origins: Iterable[str]) -> str:
    """Return what the signs mean: `● measured  ○ quoted`."""
    seen = {*origins}
    return "  ".join(f"{sign} {origin}" for origin, sign in SIGNS.items() if origin in seen)


Mark = Callable[[str, "Amount | None"], str]
PAPER = "  the paper's"
TABLE_ONE = ("top1", "top5", "parameters_m", "gflop", "latency_ms", "power_w")
HEADS = (
    Column("top-1", "%"),
    Column("top-5", "%"),
    Column("parameters", "10⁶"),
    Column("operations", "GFLOP"),
    Column("time", "ms"),
    Column("power", "W"),
)
NOTE = (
    "Operations are 2 x multiply-accumulates. The paper's parameters hold batch-norm statistics too, its "
    "times are of a 2 GHz Core i5, its power of a GTX 1080."
)


def table_one_sheet(survey: Survey) -> Sheet:
    """Lay out the paper's Table I with our figures, each network's published row beneath it."""
    rows = []
    for network in survey.networks:
        rows.append(
            (units.clean(network.title), *(marked(key, network.amounts.get(key)) for key in TABLE_ONE))
        )
        if network.paper:
            rows.append((PAPER, *(marked(key, network.paper.get(key)) for key in TABLE_ONE)))
    origins = [
        a.origin for network in survey.networks for a in (*network.amounts.values(), *network.paper.values())
    ]
    note = f"{legend(origins)}. {NOTE}"
    return Sheet("Table I", (Column("network", numeric=False), *HEADS), tuple(rows), note=note)


def arrays_sheet(survey: Survey, *, narrow: bool = False) -> Sheet:
    """Lay out each network's best array, and what the array that is best for all costs it.

    Args:
        survey: of networks.
        narrow: for a terminal: the dataflow's first word, and nothing of what sets the cycles.
    """
    from juggler.survey.verdict import array_of, compromise, why  # noqa: PLC0415  # the base install has it not

    several = len(survey.networks) > 1
    owner, _ = compromise(survey.networks)
    columns = (
        Column("network", numeric=False),
        Column("best array", numeric=False),
        Column("elements"),
        Column("▲ cycles"),
        Column("▲ busy", "%"),
        *((Column("▲ on one array for all", "× cycles"),) if several else ()),
        *(() if narrow else (Column("▲ what sets it", numeric=False),)),
    )
    rows = tuple(
        (
            units.clean(network.title),
            array_of(network).removesuffix("-stationary") if narrow else array_of(network),
            units.count(network.array.elements),
            units.count(network.array.cycles),
            units.percent(network.array.utilisation, 0),
            *((units.decimal(network.cycles_on[owner.name] / network.array.cycles, 2),) if several else ()),
            *(() if narrow else (why(network),)),
        )
        for network in survey.networks
    )
    shared = f" One array for all: {array_of(owner)}." if several else ""
    note = f"▲ All modelled, at most {units.count(survey.budget)} elements, batch 1.{shared}"
    return Sheet("Arrays", columns, rows, note=note)


def precisions_sheet(survey: Survey) -> Sheet:
    """Lay out weights, energy and lost accuracy of each network in each precision."""
    has_products = any(at.operand_mb for network in survey.networks for at in network.precisions)
    columns = [Column("network", numeric=False)]
    for bits in survey.bits:
        columns += [
            Column(f"■ weights {bits} bit", "MB"),
            *((Column(f"■ products {bits} bit", "MB"),) if has_products else ()),
            Column(f"▲ energy {bits} bit", "mJ"),
            Column(f"lost {bits} bit", "points"),
        ]
    rows = tuple(
        (
            units.clean(network.title),
            *(
                cell
                for at in network.precisions
                for cell in (
                    units.significant(at.weight_mb),
                    *((units.significant(at.operand_mb),) if has_products else ()),
                    units.significant(at.energy_mj),
                    points(at.loss),
                )
            ),
        )
        for network in survey.networks
    )
    device = survey.device.partition(":")[0]
    note = (
        f"▲ Energy is modelled on {device}, ■ weights are counted, ● points of top-1 accuracy lost are "
        "measured; a dash: not measured. Cycles are the same at every width."
        + (" ■ Products: second factors that are activations, as in attention." if has_products else "")
    )
    return Sheet("Precision", tuple(columns), rows, note=note)


def points(loss: Amount) -> str:
    """Return lost points with their interval; a dash where they were not measured."""
    if loss.value is None:
        return units.DASH
    if loss.origin != "measured":
        return f"{loss.value:g}"
    ends = f" ({loss.low:+.1f} to {loss.high:+.1f})" if loss.low is not None and loss.high is not None else ""
    return f"{loss.value:+.1f}{ends} ●"


def ratios_sheet(survey: Survey) -> Sheet:
    """Lay out the energy and the cycles after each change over those of the network as it is."""
    names = list(dict.fromkeys(change.name for network in survey.networks for change in network.what_ifs[1:]))
    columns = (Column("network", numeric=False), *(Column(f"▲ {name}", "× energy, cycles") for name in names))
    rows = tuple(
        (units.clean(network.title), *(_ratio(network, name) for name in names))
        for network in survey.networks
    )
    note = (
        f"▲ All modelled at {survey.bits[-1]} bits, over the network as it is, on its own best array; a dash "
        "where nothing changes. What each change does to accuracy stands below, where it was measured."
    )
    return Sheet("What if", columns, rows, note=note)


def _ratio(network: Surveyed, name: str) -> str:
    before = network.what_ifs[0]
    after = next((change for change in network.what_ifs if change.name == name), None)
    if after is None:
        return units.DASH
    return f"{after.energy_mj / before.energy_mj:.2f}, {after.cycles / before.cycles:.2f}"


def what_ifs_sheet(survey: Survey, network: Surveyed) -> Sheet:
    """Lay out one network after each change."""
    columns = (
        Column("change", numeric=False),
        Column("▲ weights", "MB"),
        Column("▲ work", "GMAC"),
        Column("▲ cycles"),
        Column("▲ energy", "mJ"),
        Column("top-1 lost", "points"),
    )
    rows = tuple(
        (
            change.name,
            units.significant(change.weight_mb),
            units.significant(change.gmac),
            units.count(change.cycles),
            units.significant(change.energy_mj),
            points(change.loss),
        )
        for change in network.what_ifs
    )
    note = f"▲ Modelled at {survey.bits[-1]} bits; {_loss_note(network)}"
    return Sheet(network.title, columns, rows, note=note)


def _loss_note(network: Surveyed) -> str:
    measured = [change.loss.source for change in network.what_ifs if change.loss.origin == "measured"]
    if measured:
        return f"● points lost are measured: {measured[0]}. A dash: not measured."
    missing = [change.loss.source for change in network.what_ifs if change.loss.value is None]
    return f"points lost: {missing[0] if missing else 'none'}."


def left_out_sheet(survey: Survey) -> Sheet:
    """Lay out the networks that could not be surveyed, and why."""
    columns = tuple(Column(name, numeric=False) for name in ("network", "why", "what to do"))
    rows = tuple(
        tuple(map(units.clean, (network.what, network.reason, network.remedy))) for network in survey.left_out
    )
    return Sheet("Left out", columns, rows, ("bad",) * len(rows))


def sheets_for_terminal(survey: Survey) -> Sequence[Sheet]:
    """Return the tables that a terminal shows."""
    sheets = [table_one_sheet(survey), arrays_sheet(survey, narrow=True), precisions_sheet(survey)]
    return [*sheets, left_out_sheet(survey)] if survey.left_out else sheets
