"""What `juggler detect` tells: bad rows with a limit, doubts, and a summary however it ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from juggler.cli.console import ERRORS, escape
from juggler.data import BadRow
from juggler.detect import Summary
from juggler.display import printable
from juggler.errors import ConfigError, JugglerError
from juggler.files import write_atomically

ALERT_EXIT, BAD_ROWS_EXIT, DOUBTS_EXIT, INTERRUPTED_EXIT = 1, 10, 11, 130
BAD_ROWS_TOLD = 20


class Account:
    """What a run is told by while it goes on, and at its end, on standard error and in a file.

    Args:
        path: where the summary goes as JSON, None for nowhere.
        bad_rows_told: how many bad rows are told one by one.
    """

    def __init__(self, path: Path | None, bad_rows_told: int = BAD_ROWS_TOLD) -> None:
        self.summary: Summary | None = None
        self._path, self._told, self._most = path, 0, bad_rows_told

    def bad_row(self, row: BadRow) -> None:
        """Tell a bad row; after the limit, once that there are more."""
        self._told += 1
        if self._told <= self._most:
            _say(f"[yellow]line {row.line}[/]: {escape(printable(row.reason))}")
        elif self._told == self._most + 1:
            _say("[yellow]more bad rows follow: from here on they are counted only[/]")

    def doubts(self, doubts: tuple[str, ...]) -> None:
        """Tell why the records may not be such as the detector knows."""
        for doubt in doubts:
            _say(f"[bold red]DOUBT:[/] {escape(printable(doubt))}")
        if doubts:
            _say("  The detector knows no such records: trust neither these verdicts nor their absence")

    def end(self, summary: Summary) -> None:
        """Take the summary of a run that has ended."""
        self.summary = summary

    def close(self, error: BaseException | None = None) -> None:
        """Tell the summary and write it; after an error, that of nothing where there is none.

        Raises:
            JugglerError: it cannot be written, and there was no error before.
        """
        if self.summary is None and error is None:
            return
        reason = error.found if isinstance(error, JugglerError) else type(error).__name__
        summary = self.summary or Summary.of_nothing(f"an error: {reason}")
        if error is None or summary.records or summary.bad_rows:
            _say(_line(summary))
            self.doubts(summary.doubts)
        if self._path is None:
            return
        try:
            write_atomically(self._path, summary.to_json(indent=2).encode())
        except JugglerError as failure:
            if error is None:
                raise SummaryError(failure.asked, failure.found, failure.remedy) from failure
            _say(f"[bold red]juggler:[/] {escape(printable(f'{failure.asked}: {failure.found}'))}")


class SummaryError(JugglerError):
    """The run ended well, and its summary could not be written."""

    exit_code = 8


def exit_code(summary: Summary, *, fail_on_alert: bool) -> int:
    """Return the code that a run ends with: of what its user must know first."""
    if summary.ended_by == "a request to stop":
        return INTERRUPTED_EXIT
    if summary.doubts:
        return DOUBTS_EXIT
    if fail_on_alert and summary.alerts:
        return ALERT_EXIT
    return BAD_ROWS_EXIT if summary.bad_rows else 0


def check_targets(records: str, out: str | None, summary: Path | None, artefact: Path) -> None:
    """Refuse to write over what is read, or two things into one file; make the summary's folder.

    Raises:
        ConfigError: a target is a file that is read, or the other target, or a folder.
    """
    read = {"the records": Path("/dev/stdin" if records == "-" else records), "the artefact": artefact}
    targets = {"--out": Path("/dev/stdout" if out == "-" else out)} if out is not None else {}
    targets |= {"--summary": summary} if summary is not None else {}
    for option, target in targets.items():
        for name, source in read.items():
            if _is_same(target, source):
                raise ConfigError(
                    f"write {option} to {target}", f"it is the file of {name}", "Name another file"
                )
        read[f"what {option} writes"] = target
    if summary is not None:
        if summary.is_dir():
            raise ConfigError(f"write --summary to {summary}", "it is a folder", "Name a file")
        try:
            summary.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(f"write --summary to {summary}", reason, "Name a file in a folder") from error


def _is_same(target: Path, source: Path) -> bool:
    """Say whether two names are one regular file; also before the target is made."""
    try:
        if target.exists():
            return target.is_file() and target.samefile(source)
        return target.resolve() == source.resolve()
    except OSError:
        return False


def _say(text: str) -> None:
    ERRORS.print(text, soft_wrap=True, highlight=False)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _line(done: Summary) -> str:
    classes = ", ".join(f"{name} {count:,}" for name, count in sorted(done.by_class.items())) or "none"
    parts = [
        f"{done.records:,} records in {done.seconds:.2f} s ({done.records_per_s:,.0f}/s)",
        f"{done.alarms:,} alarms in {done.alerts:,} alerts ({escape(printable(classes))})",
        _counted(done.bad_rows, "bad row"),
        *([_counted(done.blank_lines, "blank line")] if done.blank_lines else []),
        *([_counted(done.header_lines, "header line")] if done.header_lines else []),
        _counted(done.unknown_values, "unknown word"),
        *([f"[bold red]{done.unwritten:,} alert lines NOT written[/]"] if done.unwritten else []),
        *([f"{done.evicted:,} alerts closed early"] if done.evicted else []),
    ]
    if done.packets:
        dropped = {k: v for k, v in done.packets.items() if k not in {"received", "processed"}}
        passed = f"; passed over: {_counts(dropped)}" if dropped else ""
        noted = f"; noted: {_counts(done.packet_notes)}" if done.packet_notes else ""
        parts.insert(
            0, f"{done.packets['received']:,} packets, {done.packets['processed']:,} in flows{passed}{noted}"
        )
    if done.unknown_words:
        words = ", ".join(f"{word} {count:,}" for word, count in [*done.unknown_words.items()][:5])
        parts[-1] += f"; commonest {escape(printable(words))}"
    return f"{', '.join(parts)}; ended by {escape(printable(done.ended_by))}"


def _counts(counts: Mapping[str, int]) -> str:
    return escape(
        printable(", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()))
    )
