"""The program `juggler`: finds the verbs, runs one, turns errors into exit codes."""

from __future__ import annotations

import errno
import inspect
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Annotated, ClassVar, NoReturn

import typer

from juggler.cli.audience import OTHERS, PANELS
from juggler.cli.console import ERRORS, escape, show_warnings
from juggler.display import printable
from juggler.errors import JugglerError, Unavailable
from juggler.extras import install_command
from juggler.registry import Registry

CRASHED = 70  # EX_SOFTWARE of sysexits.h: Python's own 1 is the code of an alert
TRACEBACK = 20_000  # characters
EXIT_CODES = (
    "Exit codes: 0 done; 1 an error of its own kind, or an alert with --fail-on-alert; 2 wrong options; "
    "3 data cannot be read; 4 artefact or checkpoint cannot be used; 5 something is not installed; "
    "6 refused, for it could not be proved; 7 an export differs from its source; 8 alerts or results cannot "
    "be written; 10 done, but rows were bad; 11 done, but the records are not such as the detector knows; "
    "12 done, but not compared with the file; 13 flattened, but rewrites were rolled back; "
    "70 a fault of juggler's own; 130 interrupted."
)


class OutputError(JugglerError):
    """Results cannot be written where standard output leads."""

    exit_code: ClassVar[int] = 8


VERBS: Registry[Callable[..., None]] = Registry("verb", "juggler.cli.verbs", alias="juggler.verbs")


def build() -> typer.Typer:
    """Return the application with every verb in it."""
    app = typer.Typer(
        name="juggler",
        help="Train wide, deploy flat, and watch the network with it.",
        epilog=EXIT_CODES,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, verb, panel in sorted(_verbs(), key=lambda verb: PANELS.index(verb[2])):
        app.command(name.replace("_", "-"), help=_help(verb), no_args_is_help=False, rich_help_panel=panel)(
            verb
        )
    return app


def _verbs() -> Iterator[tuple[str, Callable[..., None], str]]:
    """Yield name, function and group of every verb that can be loaded."""
    for name in VERBS.names():
        try:
            verb = VERBS.get(name)
        except Unavailable as error:  # a broken package of others must not take the house's verbs away
            ERRORS.print(f"[yellow]juggler:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        else:
            panel = getattr(inspect.getmodule(verb), "PANEL", OTHERS)
            yield name, verb, panel if panel in PANELS else OTHERS


def _help(verb: Callable[..., None]) -> str:
    """Return a verb's docstring with a line to a paragraph, and to an example, for terminals to break."""
    summary, _, examples = (inspect.getdoc(verb) or "").partition("Examples: ")
    paragraphs = [" ".join(paragraph.split()) for paragraph in summary.strip().split("\n\n")]
    lines = ["Examples:", *(f"  {' '.join(example.split())}" for example in examples.split(";"))]
    return "\n\n".join([*paragraphs, *(["\n".join(lines)] if examples else [])])


def main() -> None:
    """Run the program; a foreseen error is told in its own words, a fault of ours with its traceback."""
    show_warnings()
    try:
        build()()
    except JugglerError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "juggler"):
            _crash(error)
        action = f"run juggler {' '.join(sys.argv[1:2])}"
        remedy = f"Install the workshop: {install_command('train')}"
        _fail(Unavailable(action, f"{package} is not installed", remedy))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            _crash(error)
        _fail(OutputError("write the results", "the disk is full", "Make room on it and run again"))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one changes nothing
        ERRORS.print("juggler: interrupted")
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  # nothing unforeseen may end with the code of an alert
        _crash(error)


def _crash(error: Exception) -> NoReturn:
    """Show the traceback of a fault of ours, say what to do, and leave with a code that nothing else has."""
    text = printable("".join(traceback.format_exception(error)), TRACEBACK, keep="\n")
    what = f"a fault of its own, {type(error).__name__}: please report it"
    ERRORS.print(escape(text, keep="\n"), soft_wrap=True, highlight=False)
    ERRORS.print(f"[bold red]juggler:[/] {what}", soft_wrap=True, highlight=False)
    ERRORS.print("  Give the command, the lines above and what `juggler doctor` prints", soft_wrap=True)
    sys.exit(CRASHED)


def _fail(error: JugglerError) -> NoReturn:
    """Tell an error and leave with its code."""
    action, cause, remedy = map(escape, (error.asked, error.found, error.remedy))
    ERRORS.print(f"[bold red]juggler:[/] {action}: {cause}", soft_wrap=True, highlight=False)
    ERRORS.print(f"  {remedy}", soft_wrap=True, highlight=False)
    sys.exit(error.exit_code)


def _version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"juggler {version('juggler')}")
        raise typer.Exit


def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the release.")
    ] = False,
) -> None:
    """Train wide, deploy flat, and watch the network with it."""
