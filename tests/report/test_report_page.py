"""The page: whole, self-contained, escaped, the same every time."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from juggler.errors import ConfigError
from juggler.extras import install_command
from juggler.nouns import GraphNode, GraphSummary
from juggler.report import Story, render, write
from juggler.report.kit.terms import TERMS
from report_parts import make_certificate, make_scores, make_timing

VOID = {"meta", "br", "hr", "img", "link", "input"}
SECTIONS = ["summary", "graph", "certificate", "latency", "detection", "alerts", "machine"]


class Page(HTMLParser):
    """Read a page strictly: every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def sections(self) -> list[str | None]:
        return [attrs.get("id") for tag, attrs in self.tags if tag == "section"]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def svgs(text: str) -> list[str]:
    return re.findall(r"<svg\b.*?</svg>", text, re.DOTALL)


def test_a_full_story_has_every_section(story: Story) -> None:
    page = Page(render(story))
    assert page.sections == [*SECTIONS, "terms"]
    links = [attrs["href"] for tag, attrs in page.tags if tag == "a"]
    assert links == [f"#{name}" for name in SECTIONS]
    for words in (
        "SYNTHETIC DATA",
        "14 → 4",
        "fold_scale",
        "pad before the first",
        "Certificate: passed",
        "onnxruntime",
        "unseen types",
        "The 20 largest of 25 alerts: 60 of 75 alarms, 80.0 %",
        "Not shown: 5 alerts with 15 alarms.",
        "a processor",
        "NSL-KDD",
    ):
        assert words in page.text


def test_the_page_needs_nothing_else(story: Story) -> None:
    text = render(story)
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "http:" not in without_names and "https:" not in without_names
    assert not re.search(r"@import|url\((?!#)", text)
    for tag, attrs in Page(text).tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "img"}
        assert not any(name.startswith("on") for name in attrs)
        assert all((attrs.get(a) or "#").startswith("#") for a in ("href", "xlink:href", "src"))


def test_drawings_are_xml_and_share_no_identifiers(story: Story) -> None:
    text = render(story)
    assert len(svgs(text)) == 6  # two graphs, certificate, latency, curve, one confusion matrix
    for svg in svgs(text):
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  # our own text
        assert "<style" not in svg  # it would apply to the whole page
    names = Counter(attrs["id"] for _, attrs in Page(text).tags if "id" in attrs)
    assert [name for name, times in names.items() if times > 1] == []
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    assert used <= set(names)


def test_every_colour_follows_the_scheme(story: Story) -> None:
    text = render(story)
    used = set(re.findall(r"var\(--([\w-]+)", text)) - {"sans", "mono"}
    for block in re.findall(r":root \{.*?\n\s*\}", text, re.DOTALL):
        assert used <= set(re.findall(r"--([\w-]+):", block))
    for svg in svgs(text):
        bare = set(re.findall(r"#[0-9a-f]{6}", re.sub(r"var\([^)]*\)", "", svg)))
        assert bare <= {"#ffffff"}  # the letters on coloured blocks


def test_the_same_story_gives_the_same_bytes(story: Story, tmp_path: Path) -> None:
    first, second = write(story, tmp_path / "a.html"), write(story, tmp_path / "b.html")
    assert first.read_bytes() == second.read_bytes()


HOSTILE = '<script>alert(\'$x$ & "y"\')</script>\x00\x1b[31m 网 --> id="z"'


def test_hostile_names_stay_text(story: Story) -> None:
    node = GraphNode(HOSTILE, HOSTILE, (), (1, 2))
    hostile = dataclasses.replace(
        story,
        title=HOSTILE,
        summary=HOSTILE,
        notices=(HOSTILE,),
        wide=GraphSummary(HOSTILE, (node,)),
        rewrites=(dataclasses.replace(story.rewrites[0], rule=HOSTILE, source=HOSTILE),),
        refusals=(dataclasses.replace(story.refusals[0], reason=HOSTILE, nodes=(HOSTILE,)),),
        timings=(make_timing(HOSTILE, HOSTILE, 1, 0.2),),
        scores=((HOSTILE, make_scores(recall={HOSTILE: 0.5})),),
        class_names=(HOSTILE, "normal"),
        alerts=(dataclasses.replace(story.alerts[0], service=HOSTILE, weighed={HOSTILE: 0.1}),),
        provenance={HOSTILE: HOSTILE},
    )
    text = render(hostile)
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "alert('$x$ & \"y\"')" in page.text
    assert not re.search("[\x00-\x08\x0b-\x1f]", text)
    for svg in svgs(text):
        ET.fromstring(svg)  # noqa: S314  # raises where a name broke the XML


def test_a_rollback_and_a_failed_certificate_stand_above_all_else(story: Story) -> None:
    failed = dataclasses.replace(
        story, rolled_back=story.rewrites[:1], certificate=make_certificate(error=1e-3)
    )
    page = Page(render(failed))
    for words in ("ROLLED BACK: 1 of 3 rewrites", "CERTIFICATE FAILED", "Rolled back 1 of 3"):
        assert words in page.text
    assert page.text.index("ROLLED BACK") < page.text.index("Detector on NSL-KDD", 20)
    assert "ROLLED BACK" not in render(story)


def test_each_term_is_explained_once(story: Story) -> None:
    page = Page(render(story))
    hints = [attrs["title"] for tag, attrs in page.tags if tag == "abbr"]
    assert len(hints) == len(set(hints)) > 10 and set(hints) <= set(TERMS.values())
    listed = page.text[page.text.rindex(" Terms ") :]
    for hint in hints:
        assert hint and page.text.count(hint) == listed.count(hint) == 1


def test_every_cell_of_a_wide_table_bears_its_header_for_narrow_screens(story: Story) -> None:
    cells = [attrs for tag, attrs in Page(render(story)).tags if tag == "td"]
    assert cells and all(attrs.get("data-label") for attrs in cells)


@pytest.mark.parametrize("name", SECTIONS[1:])
def test_a_part_alone_makes_a_page_of_its_own(story: Story, name: str) -> None:
    fields = {
        "graph": ("wide", "rewrites"),
        "certificate": ("certificate",),
        "latency": ("timings",),
        "detection": ("scores", "class_names"),
        "alerts": ("alerts",),
        "machine": ("provenance",),
    }[name]
    page = Page(render(Story("Part", **{field: getattr(story, field) for field in fields})))
    assert [s for s in page.sections if s not in {"summary", "terms"}] == [name]


def test_a_bare_title_is_a_page() -> None:
    page = Page(render(Story("Nothing yet")))
    assert page.sections == [] and "Nothing yet" in page.text
    assert not [attrs for tag, attrs in page.tags if tag == "nav"]


def test_what_is_not_a_number_is_a_dash(story: Story) -> None:
    nothing = make_scores(
        auc=math.nan,
        detection_rate=math.nan,
        detection_rate_known=math.nan,
        detection_rate_unseen=math.nan,
        macro_f1=math.nan,
        confusion=(),
        curve=(),
    )
    timing = dataclasses.replace(make_timing("wide", "onnxruntime", 1, 0.2), p99_ms=math.nan)
    proof = make_certificate(error=math.nan)
    page = Page(render(Story("Gaps", scores=(("run", nothing),), timings=(timing,), certificate=proof)))
    assert not re.search(r"\b(nan|inf|None)\b", page.text, re.IGNORECASE)
    assert "run 120 – 2.00 – – – 93.00 88.00 –" in page.text
    assert "Certificate: FAILED" in page.text and "EXCEEDED" in page.text


def test_a_page_is_written_whole_or_not_at_all(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write(story, tmp_path / "new" / "folder" / "report.html")
    before = target.read_bytes()
    assert before.startswith(b"<!DOCTYPE html>") and before.rstrip().endswith(b"</html>")

    def no_room(self: Path, other: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_room)
    with pytest.raises(ConfigError, match="No space left on device"):
        write(dataclasses.replace(story, title="Other"), target)
    assert target.read_bytes() == before
    assert [p.name for p in target.parent.iterdir()] == ["report.html"]


def test_a_path_that_cannot_be_written_is_named(story: Story, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"write .*file/report\.html"):
        write(story, tmp_path / "file" / "report.html")
    with pytest.raises(ConfigError, match="write "):
        write(story, tmp_path)


def test_a_story_that_cannot_be_told_is_refused(story: Story) -> None:
    with pytest.raises(ConfigError, match="title is empty"):
        Story(" ")
    with pytest.raises(ConfigError, match="class names"):
        dataclasses.replace(story, class_names=("normal", "dos", "probe"))
    with pytest.raises(ConfigError, match="notices"):
        Story("Detector", notices="SYNTHETIC DATA")  # type: ignore[arg-type]


def test_the_face_imports_no_drawing_library() -> None:
    code = (
        "import sys, juggler.report as r; r.Story; r.scores_table; r.timings_table\n"
        "sys.exit(', '.join(m for m in ('matplotlib', 'jinja2', 'torch') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_a_missing_library_is_said_with_its_remedy() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import juggler.report as r\n"
        "from juggler.errors import Unavailable\n"
        "try: r.write\n"
        "except Unavailable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "matplotlib is not installed" in done.stdout and install_command("train") in done.stdout
