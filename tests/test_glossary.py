"""The glossary goes by room, holds every word of the house, and each word is one that its room uses."""

from __future__ import annotations

import re
from collections import Counter

import pytest

import juggler.nouns
from docs_tools import ROOT, docs_tool

SOURCE = ROOT / "src" / "juggler"
PAGE = ROOT / "docs" / "reference" / "glossary.md"
EVERYWHERE, TO_COME = "Everywhere", "Rooms to come"
TERM = re.compile(r"\*\*([^*]+)\*\*(, of an? [\w ]+)?")
# What the design calls things, in one word for one idea.
HOUSE = {
    *("wide", "flat", "flatten", "fold", "region", "wall", "op", "rewrite", "refusal", "certificate"),
    *(
        "backend",
        "session",
        "artefact",
        "kernel",
        "race",
        "round",
        "canary",
        "campaign",
        "committee",
        "floor",
    ),
    *("alert", "sink", "detection_rate", "false_alarm_rate", "flow", "five_tuple", "flow_rule", "dry_run"),
    *("doctor", "floor"),
}


def sections() -> dict[str, str]:
    """Return the text of each section by its heading."""
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip((heading.strip("`") for heading in parts[::2]), parts[1::2], strict=True))


def terms() -> dict[str, list[str]]:
    """Return the words that each section explains."""
    return {heading: ["".join(match) for match in TERM.findall(text)] for heading, text in sections().items()}


def rooms() -> set[str]:
    """Return the folders of the package that hold code, and the scores, which have a file."""
    return {path.parent.name for path in SOURCE.glob("*/__init__.py")} | {"metrics"}


def words(text: str) -> str:
    """Return text as small words between spaces: `TensorSpec`, `tensor_spec` and `tensor spec` are one."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return f" {' '.join(re.findall(r'[a-z0-9]+', split.lower().replace('_', ' ')))} "


def spoken(room: str) -> str:
    """Return all words of a room's code."""
    place = SOURCE / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    return "".join(words(f"{path.stem} {path.read_text(encoding='utf-8')}") for path in files)


ROOMS = sorted(rooms())


def test_there_is_a_section_for_every_room_and_for_nothing_else():
    assert set(sections()) == {*ROOMS, EVERYWHERE, TO_COME}


def test_rooms_to_come_are_not_there_yet():
    coming = set(re.findall(r"`(\w+)`", sections()[TO_COME]))
    assert coming and not coming & set(ROOMS), "give the room a section of its own"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_uses_the_words_that_its_section_explains(room):
    text = spoken(room)
    explained = [term.partition(",")[0] for term in terms()[room]]
    assert explained, f"the section of {room} explains nothing"
    unused = [term for term in explained if not re.search(rf" {words(term).strip()}(s|es|d|ed)? ", text)]
    assert not unused, f"the code of {room} never says {unused}"


def test_words_for_everywhere_are_used_in_several_rooms():
    text = {room: spoken(room) for room in ROOMS}
    for term in terms()[EVERYWHERE]:
        users = [room for room in ROOMS if re.search(rf" {words(term).strip()}s? ", text[room])]
        assert len(users) > 1, f"only {users} say {term}"


def test_every_word_of_the_house_is_explained_once():
    counts = Counter(words(term).strip() for terms_of_room in terms().values() for term in terms_of_room)
    assert {term for term, count in counts.items() if count > 1} == set()
    missing = {term for term in HOUSE if words(term).strip() not in counts}
    assert not missing, f"the glossary does not explain {missing}"


def test_every_noun_and_every_kind_of_plug_in_is_explained():
    explained = {words(term).strip() for terms_of_room in terms().values() for term in terms_of_room}
    classes = {name for name in juggler.nouns.__all__ if isinstance(getattr(juggler.nouns, name), type)}
    nouns = {words(name).strip() for name in classes}
    kinds = {words(kind.registry.kind).strip() for kind in docs_tool("plugins").kinds()}
    assert not nouns - explained, "each noun is a word of the house"
    assert not kinds - explained, "so is each kind of plug-in"


def test_the_page_has_no_word_without_an_explanation():
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("- "):
            assert re.match(r"- (\*\*|`\w+`)", line), f"begin with a word or a room: {line}"
            assert ": " in line or ":" in line, line
