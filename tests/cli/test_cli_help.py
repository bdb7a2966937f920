"""Every verb explains itself: what it does, and an example that the program itself understands."""

from __future__ import annotations

import re

import pytest
from typer.main import get_command

from commands import Program, examples
from juggler.cli.app import EXIT_CODES, VERBS, build
from juggler.cli.audience import NETWORK, OTHERS, PANELS, PLANT
from juggler.errors import JugglerError

NAMES = VERBS.names()


def test_the_verbs_are_those_of_the_design() -> None:
    assert {"demo", "detect", "doctor", "evaluate", "flatten", "info", "measure", "train"} <= {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_help_has_an_example(name: str, program: Program) -> None:
    for flag in ("--help", "-h"):
        done = program(name, flag).check(0)
        assert re.search(rf"Examples?:\s+(.* )?juggler {name}", done.out), done.out


@pytest.mark.parametrize("name", NAMES)
def test_no_help_is_lost_as_markup(name: str) -> None:
    command = get_command(build()).commands[name]  # type: ignore[attr-defined]
    texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
    lost = [text for text in texts if re.search(r"\[[a-z#/@]", text or "")]
    assert not lost, "the terminal takes words in brackets for colours and leaves them out"


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_can_be_parsed(name: str) -> None:
    assert examples(name)
    command = get_command(build()).commands[name]  # type: ignore[attr-defined]
    for _, *words in examples(name):
        assert not {"Example:", "juggler"} & {*words}, "two examples are parted by a semicolon"
        command.make_context(name, words)  # raises where an option or a value is wrong


def test_the_program_lists_its_verbs_and_exit_codes(program: Program) -> None:
    done = program("--help").check(0)
    assert all(name in done.out for name in NAMES)
    assert program("--version").check(0).out.startswith("juggler 0.")
    assert program().check(2).out, "without a verb there is help"


def test_verbs_are_grouped_by_who_uses_them(program: Program) -> None:
    text = program("--help").check(0).out
    shown = [panel for panel in PANELS if panel in text]
    assert shown == [*PANELS[:-1]], "every verb of the house says who uses it"
    assert [text.index(panel) for panel in shown] == sorted(text.index(panel) for panel in shown)
    groups = dict(zip(shown, re.split("|".join(map(re.escape, shown)), text)[1:], strict=True))
    assert re.search(r"\bdetect\b", groups[PLANT]) and re.search(r"\bflatten\b", groups[NETWORK])


def test_a_verb_of_another_package_stands_in_a_group_of_its_own(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def juggle(balls: int = 3) -> None:
        """Keep balls in the air."""

    names, get = VERBS.names, VERBS.get
    monkeypatch.setattr(VERBS, "names", lambda: (*names(), "juggle"))
    monkeypatch.setattr(VERBS, "get", lambda name: juggle if name == "juggle" else get(name))
    assert re.search(r"\bjuggle\b", program("--help").check(0).out.partition(OTHERS)[2])


def test_every_exit_code_of_an_error_is_documented() -> None:
    def classes(base: type[JugglerError]) -> set[type[JugglerError]]:
        return {base}.union(*(classes(sub) for sub in base.__subclasses__()))

    documented = {int(code) for code in re.findall(r"(?:^|[;:]) ?\s*(\d+) ", EXIT_CODES)}
    assert documented == {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 70, 130}
    assert {kind.exit_code for kind in classes(JugglerError)} <= documented
