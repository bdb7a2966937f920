"""Every text field of every page, hostile: it stays text, and moves, colours and hides nothing."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from juggler.nouns import SourceCheck
from juggler.report import Story, render
from juggler.report.html import write_flattened
from juggler.report.prediction.page import write_prediction_report
from juggler.report.survey.page import write_survey
from juggler.transform.flatten import Flattened
from made_up_prediction import story as made_up_story
from made_up_survey import made_up_survey
from report_parts import make_alert, make_certificate

HOSTILE = "<script>x()</script>\x00\x1b[31m\u202e\u200b\n\x9b'\" onload=x --> ]]> $a$ {{ 7 * 7 }} &amp;"
# What the code itself chooses between; a reader of files has refused other values by then.
CHOSEN = {
    *(
        "phase",
        "state",
        "kind",
        "origin",
        "dtype",
        "split",
        "precision",
        "date",
        "dataflow",
        "family",
        "backend",
    ),
}


def poisoned(value: Any, field: str = "") -> Any:
    """Return a value with every text in it hostile, the keys of its mappings included."""
    if isinstance(value, str):
        return value if field in CHOSEN else f"{value[:12]}{HOSTILE}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = {
            f.name: poisoned(getattr(value, f.name), f.name) for f in dataclasses.fields(value) if f.init
        }
        return dataclasses.replace(value, **changed)
    if isinstance(value, tuple | list):
        return type(value)(poisoned(part, field) for part in value)
    if isinstance(value, Mapping):
        return {key if field in KEYED else poisoned(key): poisoned(part) for key, part in value.items()}
    return value


# Mappings whose keys are names in the code.
KEYED = {"amounts", "paper", "limits"}


class Tags(HTMLParser):
    """The tags of a page, and all that is said in it, attributes included."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.words += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check(text: str) -> None:
    """See that a page holds the hostile text as text alone."""
    page = Tags(text)
    assert not page.names & {"script", "iframe", "object", "embed", "link", "img", "base", "form"}
    assert not [name for name in page.attributes if name.startswith("on")]
    said = "\n".join(page.words)
    assert "<script>x()</script>" in said and "{{ 7 * 7 }}" in said and "&amp;" in said
    bad = {c for c in said if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c != "\n"}
    assert not bad, [hex(ord(c)) for c in bad]
    for svg in re.findall(r"<svg\b.*?</svg>", text, re.DOTALL):
        ET.fromstring(svg)  # noqa: S314  # raises where a name broke the XML


def a_run(story: Story, folder: Path) -> str:
    alert = dataclasses.replace(make_alert(1), context={"time": "0", "src_ip": "::1", "dst_port": "1"})
    certificate = dataclasses.replace(
        make_certificate(),
        source=(SourceCheck(runtime="onnx", shapes=((1, 3),), error=0.1, limit=0.2, reason="a reason"),),
        skipped=("odd",),
    )
    return render(
        poisoned(
            dataclasses.replace(story, alerts=(alert,), certificate=certificate, rolled_back=story.rewrites)
        )
    )


def a_network(story: Story, folder: Path) -> str:
    done = poisoned(
        Flattened(
            None,  # type: ignore[arg-type]  # the page shows no module
            story.rewrites,
            story.refusals,
            make_certificate(),
            story.wide,  # type: ignore[arg-type]  # it has one
            story.flat,  # type: ignore[arg-type]
        )
    )
    return write_flattened(f"net{HOSTILE.replace('/', '')}", done, None, folder / "net.html").read_text(
        "utf-8"
    )


def a_prediction(story: Story, folder: Path) -> str:
    return write_prediction_report(poisoned(made_up_story()), folder).read_text("utf-8")


def a_survey(story: Story, folder: Path) -> str:
    return write_survey(poisoned(made_up_survey()), folder).read_text("utf-8")


@pytest.mark.parametrize("page", [a_run, a_network, a_prediction, a_survey])
def test_whatever_a_page_is_told_stays_text(
    page: Callable[[Story, Path], str], story: Story, tmp_path: Path
) -> None:
    check(page(story, tmp_path))
