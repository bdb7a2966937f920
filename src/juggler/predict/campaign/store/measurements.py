"""What a campaign has done so far, turn by turn, in its database: a kill loses the turn that was running.

A plan's digest is that of the kernel as it was drawn; the runtime may then run it in another layout, which
the sample says.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from juggler.predict.campaign.sampling import Draw
from juggler.predict.campaign.store.samples import Store
from juggler.predict.campaign.store.schema import sqlite_errors_translated
from juggler.predict.campaign.timing import RoundTiming
from juggler.predict.kernels.spec import KernelSpec
from juggler.reading.documents import parse_object
from juggler.reading.request import Request


@dataclass(frozen=True)
class Spent:
    """What a campaign has taken so far: time under measurement in seconds, and turns."""

    seconds: float
    turns: int


class MeasurementLog:
    """The turns of one campaign.

    Args:
        store: the database.
        campaign: its name there.
    """

    def __init__(self, store: Store, campaign: str) -> None:
        self._store, self.campaign = store, campaign

    def done(self) -> set[tuple[str, str]]:
        """Return plan and drawn of everything that needs no more measuring: samples, and unfit kernels."""
        measured = {(plan_of(s.spec), s.sampled_by) for s in self._store.samples(campaign=self.campaign)}
        with sqlite_errors_translated(self._store.path):
            rows = self._store.connection.execute(
                "SELECT plan FROM unfit WHERE campaign = ?", (self.campaign,)
            ).fetchall()
        return measured | {
            (plan, origin) for (plan,) in rows for origin in ("random", "network", "active", "probe")
        }

    def turns(self, draw: Draw) -> dict[tuple[int, int], RoundTiming]:
        """Return the turns that a draw has had, by attempt and round."""
        question = "SELECT attempt, round, turn FROM turns WHERE campaign = ? AND plan = ? AND drawn = ?"
        with sqlite_errors_translated(self._store.path):
            rows = self._store.connection.execute(
                question, (self.campaign, plan_of(draw.spec), draw.sampled_by)
            )
            return {(attempt, number): turn_of(text) for attempt, number, text in rows.fetchall()}

    def add(self, draw: Draw, attempt: int, number: int, turn: RoundTiming, took_s: float) -> None:
        """Keep a turn, on disk when this returns."""
        row = (self.campaign, plan_of(draw.spec), draw.sampled_by, attempt, number, turn_text(turn), took_s)
        with sqlite_errors_translated(self._store.path):
            self._store.connection.execute("INSERT OR IGNORE INTO turns VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def reject(self, draw: Draw, reason: str) -> None:
        """Keep that the runtime does not make this kernel, so that it is not tried again."""
        row = (self.campaign, plan_of(draw.spec), reason)
        with sqlite_errors_translated(self._store.path):
            self._store.connection.execute("INSERT OR IGNORE INTO unfit VALUES (?, ?, ?)", row)

    def spent(self) -> Spent:
        """Return what all turns have taken."""
        question = "SELECT coalesce(sum(took_s), 0.0), count(*) FROM turns WHERE campaign = ?"
        with sqlite_errors_translated(self._store.path):
            seconds, turns = self._store.connection.execute(question, (self.campaign,)).fetchone()
        return Spent(float(seconds), int(turns))

    def unfit(self) -> int:
        """Return how many kernels the runtime did not make."""
        question = "SELECT count(*) FROM unfit WHERE campaign = ?"
        with sqlite_errors_translated(self._store.path):
            return int(self._store.connection.execute(question, (self.campaign,)).fetchone()[0])


def plan_of(spec: KernelSpec) -> str:
    """Return the digest of a kernel as it was drawn, whatever layout it ran in."""
    return replace(spec, layout="nchw").digest


def turn_text(turn: RoundTiming) -> str:
    """Return a turn as JSON."""
    return json.dumps(asdict(turn))


def turn_of(text: str) -> RoundTiming:
    """Return the turn that `turn_text` wrote."""
    request = Request("read a turn of a campaign", "Measure it again, into another database")
    return RoundTiming.from_dict(parse_object(text, request))
