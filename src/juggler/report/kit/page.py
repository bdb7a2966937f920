"""A page of sections, tables and drawings, for what is no run of a detector: one HTML file, no scripts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import jinja2
from markupsafe import Markup

from juggler.files import write_atomically
from juggler.report.kit import theme, units
from juggler.report.kit.sheet import Sheet
from juggler.report.kit.terms import Terms


@dataclass(frozen=True)
class Drawing:
    """An SVG with the line above it; the SVG was built by this package and goes into the page as it is."""

    caption: str
    svg: Markup


def environment() -> jinja2.Environment:
    """Return what fills the templates: every value is escaped, but for drawings of this package."""
    filler = jinja2.Environment(
        loader=jinja2.PackageLoader("juggler.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else units.clean(value),
    )
    filler.globals["terms"] = Terms()
    return filler


@dataclass(frozen=True)
class Section:
    """One section of a page: lines of text, drawings, tables, in this order."""

    title: str
    text: tuple[str, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    sheets: tuple[Sheet, ...] = ()


@dataclass(frozen=True)
class Page:
    """A page; `notices` are what a reader must not miss, shown as banners on top."""

    title: str
    summary: str = ""
    notices: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()


def write_page(page: Page, path: str | os.PathLike[str]) -> Path:
    """Write the page and return its path; the file is there whole or not at all.

    Raises:
        ConfigError: nothing can be written at that path.
    """
    return write_atomically(Path(path), render_page(page).encode())


def render_page(page: Page) -> str:
    """Return the page as HTML text; the same page gives the same text."""
    template = environment().get_template("page.html")
    return template.render(page=page, light=theme.LIGHT, dark=theme.DARK)
