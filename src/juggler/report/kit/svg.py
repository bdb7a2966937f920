"""Turn a matplotlib figure into SVG text that can stand inside a page, in the page's own colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from juggler.report.kit.theme import DARK, LIGHT, variable
from juggler.report.kit.units import clean

# Widths of a figure that stands alone and of one that stands beside another.
WHOLE_PX, HALF_PX = 1120, 545

# One typographic point is one pixel on the page, so that 11 here is 11 px there.
POINTS_PER_INCH = 72

# Text stays text (`svg.fonttype`), the same figure gives the same bytes (`svg.hashsalt`), and a label
# with dollar signs is a label, not a formula.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "juggler",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "text.color": LIGHT["ink"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.edgecolor": LIGHT["line"],
    "axes.titlecolor": LIGHT["ink"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["ink"],
    "grid.color": LIGHT["hair"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}

_NAMES = {colour: name for name, colour in LIGHT.items()}
_TAG = re.compile(r"<[^<>]+>")
_NOT_SHOWN = re.compile(
    r"<metadata>.*?</metadata>|<!--.*?-->|<defs>\s*<style[^>]*>.*?</style>\s*</defs>", re.DOTALL
)


def draw(name: str, label: str, size_px: tuple[float, float], paint: Callable[[Figure], None]) -> str:
    """Paint a figure and return it as SVG text.

    Args:
        name: prefix of the SVG's identifiers, so that several figures can live in one page.
        label: what the figure shows, for those who do not see it.
        size_px: width and height.
        paint: puts axes and marks on the figure.
    """
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The browser brings glyphs that matplotlib's own font, used only to measure, does not have.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(size_px[0] / POINTS_PER_INCH, size_px[1] / POINTS_PER_INCH))
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
        paint(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return _inline(stream.getvalue(), name, label, size_px)


def standalone(svg: str, margin_px: int = 14) -> str:
    """Return a drawing as a file of its own: a margin, and colours for light and dark."""
    light, dark = (";".join(f"--{name}:{value}" for name, value in s.items()) for s in (LIGHT, DARK))
    style = (
        f"<style>:root{{{light};--sans:system-ui,sans-serif}}"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    )
    box = re.compile(r'viewBox="0 0 (\S+) (\S+)"')
    match = box.search(svg)
    if match is None:
        raise ValueError("no drawing of `draw`")
    width, height = (float(match[side]) + 2 * margin_px for side in (1, 2))
    place = f'x="-{margin_px}" y="-{margin_px}" width="{width:g}" height="{height:g}"'
    svg = box.sub(f'viewBox="-{margin_px} -{margin_px} {width:g} {height:g}"', svg, count=1)
    end = svg.index(">") + 1
    return f'{svg[:end]}{style}<rect {place} fill="var(--card)"/>{svg[end:]}\n'


def _inline(text: str, name: str, label: str, size_px: tuple[float, float]) -> str:
    """Strip what belongs to a file of its own, prefix identifiers, and let the page choose colours."""
    # Labels are names out of files, too: no figure needs to clean its own.
    body = clean(_NOT_SHOWN.sub("", text[text.index("<svg") :]), keep="\n")
    body = body[body.index(">") + 1 :].strip()
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size_px[0]:g} {size_px[1]:g}" '
        f'class="chart" role="img" aria-label="{_attribute(label)}" style="max-width:{size_px[0]:g}px">'
    )
    return head + _TAG.sub(lambda tag: _retouch(tag.group(), name), body)


def _retouch(tag: str, name: str) -> str:
    """Rewrite one tag; text between tags is a label and stays as it is."""
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = tag.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    tag = tag.replace("'DejaVu Sans', sans-serif", "var(--sans, sans-serif)")
    return re.sub(r"#[0-9a-f]{6}\b", lambda c: _colour(c.group()), tag)


def _colour(colour: str) -> str:
    return variable(_NAMES[colour]) if colour in _NAMES else colour


def _attribute(text: str) -> str:
    for plain, escaped in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, escaped)
    return clean(text)


def quiet(axes: Axes, *, grid: str = "") -> None:
    """Leave an axes with its labels, hair lines along `grid` (`x`, `y` or none) and nothing else."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    if grid == "x":
        axes.grid(axis="x", linewidth=1)
    elif grid == "y":
        axes.grid(axis="y", linewidth=1)
