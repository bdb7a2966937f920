"""Write a survey as one HTML page and as pictures: verdict, Table I, figures, hardware, what-ifs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from juggler.files import write_atomically
from juggler.report.kit import theme, units
from juggler.report.kit.page import Drawing, environment
from juggler.report.kit.sheet import Sheet
from juggler.report.kit.svg import standalone
from juggler.report.network.sheets import machine_sheet
from juggler.report.survey import sheets
from juggler.report.survey.bubbles import BUBBLES, bubble_figure
from juggler.report.survey.figures import BARS, bar_figure
from juggler.report.survey.hardware import CHOICE_CAPTION, ENERGY_CAPTION, choice_figure, energy_figure
from juggler.report.survey.sheets import SIGNS, number

if TYPE_CHECKING:
    from juggler.survey.amount import Amount
    from juggler.survey.results import Survey, Surveyed


PAGE, FIGURES = "survey.html", "figures"


def write_survey(survey: Survey, folder: Path) -> Path:
    """Write the page, and every figure as an SVG file of its own; return the path of the page.

    Each file is there whole or not at all.

    Raises:
        ConfigError: nothing can be written there.
    """
    drawings = dict(_drawings(survey))
    for name, drawing in drawings.items():
        write_atomically(folder / FIGURES / f"{name}.svg", standalone(str(drawing.svg)).encode())
    return write_atomically(folder / PAGE, render_survey(survey, drawings).encode())


def render_survey(survey: Survey, drawings: Mapping[str, Drawing] | None = None) -> str:
    """Return the page as HTML text; the same survey gives the same text."""
    from juggler.survey.amount import MEANINGS, ORIGINS  # noqa: PLC0415  # the base install has it not

    drawings = drawings or dict(_drawings(survey))
    page: dict[str, Any] = {
        "tiles": _tiles(survey),
        "origins": [(SIGNS[origin], origin, MEANINGS[origin]) for origin in ORIGINS],
        "table_one": _marked_table(survey),
        "figures": [drawings[f"fig{number}"] for number in sorted({*_numbers(BARS)})],
        "bubbles": [drawings[f"fig{number}"] for number in sorted({*_numbers(BUBBLES)})],
        "hardware": [drawings[name] for name in ("choice", "energy")],
        "arrays": sheets.arrays_sheet(survey),
        "precisions": sheets.precisions_sheet(survey),
        "ratios": sheets.ratios_sheet(survey),
        "what_ifs": [(network.title, sheets.what_ifs_sheet(survey, network)) for network in survey.networks],
        "left_out": sheets.left_out_sheet(survey) if survey.left_out else None,
        "notes": [(network.title, network.model, _notes(network)) for network in survey.networks],
        "machine": machine_sheet(survey.machine),
    }
    template = environment().get_template("survey.html")
    return template.render(survey=survey, light=theme.LIGHT, dark=theme.DARK, **page)


def _numbers(plans: tuple[Any, ...]) -> Iterator[int]:
    return (plan.number for plan in plans)


def _drawings(survey: Survey) -> Iterator[tuple[str, Drawing]]:
    for bar in BARS:
        yield f"fig{bar.number}", _drawing(f"Fig. {bar.number}: {bar.caption}", bar_figure(survey, bar))
    for bubble in BUBBLES:
        caption = f"Fig. {bubble.number}: {bubble.caption}"
        yield f"fig{bubble.number}", _drawing(caption, bubble_figure(survey, bubble))
    yield "choice", _drawing(CHOICE_CAPTION, choice_figure(survey))
    yield "energy", _drawing(ENERGY_CAPTION, energy_figure(survey))


def _drawing(caption: str, svg: str) -> Drawing:
    return Drawing(caption, Markup(svg))  # noqa: S704  # matplotlib escapes every label


def _marked_table(survey: Survey) -> Sheet:
    """Return Table I with two lines a cell: ours with its origin in words, and the paper's under it."""
    plain = sheets.table_one_sheet(survey)
    rows = tuple(
        (
            _name(network),
            *(_cell(key, network.amounts.get(key), network.paper.get(key)) for key in sheets.TABLE_ONE),
        )
        for network in survey.networks
    )
    note = f"First ours, below it the paper's. {sheets.NOTE} Hold the pointer over a figure for its source."
    return Sheet(plain.title, plain.columns, rows, note=note)


def _name(network: Surveyed) -> Markup:
    size = units.shape(network.shape[1:])
    return Markup("<strong>{}</strong><small class='origin'>{} px</small>").format(
        units.clean(network.title), size
    )


def _cell(key: str, ours: Amount | None, papers: Amount | None) -> Markup:
    """Return a cell of the page's Table I."""
    return Markup("").join(
        (_figure(key, ours, "ours"), _figure(key, papers, "paper") if papers else Markup(""))
    )


def _figure(key: str, amount: Amount | None, who: str) -> Markup:
    if amount is None or amount.value is None:
        reason = "" if amount is None else units.clean(amount.source)
        return Markup("<span class='{}' title='{}'>–<small class='origin'>unavailable</small></span>").format(
            who, escape(reason)
        )
    interval = ""
    if amount.low is not None and amount.high is not None:
        interval = f"; 95 % from {number(key, amount.low)} to {number(key, amount.high)}"
    return Markup("<span class='{}' title='{}'>{} <small class='origin {}'>{} {}</small></span>").format(
        who,
        units.clean(amount.source) + interval,
        number(key, amount.value),
        amount.origin,
        SIGNS[amount.origin],
        amount.origin,
    )


def _tiles(survey: Survey) -> list[dict[str, str]]:
    """Return the survey's extremes as tiles: title, network, what it has."""
    from juggler.survey.verdict import chosen_precision, pick  # noqa: PLC0415  # the base install has it not

    scored = [network for network in survey.networks if network.value("top1") is not None]
    timed = [network for network in survey.networks if network.value("latency_ms") is not None]
    tiles = []
    if scored:
        best, chosen = max(scored, key=lambda network: network.value("top1") or 0.0), pick(scored)
        at = chosen_precision(chosen)
        tiles.append(
            _tile("Recommended", chosen, f"{at.bits} bits, {units.significant(at.energy_mj)} mJ, modelled")
        )
        amount = best.amounts["top1"]
        tiles.append(_tile("Most accurate", best, f"top-1 {number('top1', amount.value)} %, {amount.origin}"))
    fewest = min(survey.networks, key=lambda network: network.array.cycles)
    tiles.append(_tile("Fewest cycles", fewest, f"{units.count(fewest.array.cycles)}, modelled"))
    if timed:
        first = min(timed, key=lambda network: network.value("latency_ms") or 0.0)
        amount = first.amounts["latency_ms"]
        tiles.append(
            _tile("Shortest time here", first, f"{units.significant(amount.value)} ms, {amount.origin}")
        )
    return tiles


def _tile(title: str, network: Surveyed, text: str) -> dict[str, str]:
    return {"title": title, "network": units.clean(network.title), "text": text}


def _notes(network: Surveyed) -> list[str]:
    """Return what must be said of a network: sources of its figures, and what is not in them."""
    lines = list(network.notes)
    for key in ("top1", "power_w", "energy_mj"):
        amount = network.amounts[key]
        what = {"top1": "Accuracy", "power_w": "Power", "energy_mj": "Energy on this machine"}[key]
        lines.append(f"{what}: {amount.origin}, {amount.source}.")
    if network.uncounted:
        lines.append(f"Operators not counted: {', '.join(network.uncounted)}.")
    return lines
