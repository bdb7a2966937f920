"""A campaign keeps what it measures, goes on where it stopped, and tells what stops it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from juggler.errors import ConfigError
from juggler.predict import KernelSpec, Sample, Store
from juggler.predict.campaign.block import CANARY, MeasurementSetup, measure_block
from juggler.predict.campaign.options import CampaignOptions
from juggler.predict.campaign.run import run_campaign
from juggler.predict.campaign.sampling import Draw
from juggler.predict.campaign.store.measurements import MeasurementLog, plan_of
from juggler.predict.campaign.store.samples import StoreError
from juggler.predict.campaign.timing import RoundTiming, UnsupportedKernel

TINY = {"rounds": 1, "cap_ms": 0.5, "families": {"pool": 1.0, "add": 1.0}}
PROBES = 5  # of those within the cap


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lab.db"


def own(store):
    return [sample for sample in store.samples() if sample.sampled_by != "probe"]


def test_a_campaign_measures_what_was_asked_and_says_so(path):
    told = []
    with Store.open(path, create=True) as store:
        outcome = run_campaign(
            store,
            CampaignOptions(samples=6, retest=2, **TINY),
            progress=lambda value: told.append((value.done, value.total)),
        )
        kept = store.samples()
        assert [sample.sampled_by for sample in kept[:PROBES]] == ["probe"] * PROBES
        again = [sample for sample in kept if sample.sampled_by == "retest"]
        first = {plan_of(sample.spec) for sample in own(store) if sample.sampled_by != "retest"}
        assert (len(first), len(again)) == (6, 2)
        assert {plan_of(sample.spec) for sample in again} <= first
        assert {sample.spec.family for sample in own(store)} <= {"pool", "add"}
        assert set(store.machines()) == {sample.machine for sample in kept}
        assert outcome.samples == outcome.new == len(kept) == PROBES + 8
        assert (outcome.stopped, sum(floor.samples for floor in outcome.floors)) == (False, 2)
        assert outcome.seconds > 0.0
    assert (told[0], told[-1]) == ((0, 8), (8, 8))


def test_the_same_call_goes_on_and_then_has_nothing_to_do(path):
    with Store.open(path, create=True) as store:
        run_campaign(store, CampaignOptions(samples=3, **TINY))
        before = store.samples()
        outcome = run_campaign(store, CampaignOptions(samples=5, **TINY))
        assert (outcome.new, outcome.samples) == (2, len(before) + 2)
        assert store.samples()[: len(before)] == before
        assert run_campaign(store, CampaignOptions(samples=5, **TINY)).new == 0
        other = run_campaign(store, CampaignOptions(samples=3, seed=1, **TINY))
        assert other.campaign != outcome.campaign
        assert other.new == PROBES + 3


def test_draws_of_two_halves_are_those_of_one_whole(path, tmp_path):
    with Store.open(path, create=True) as store, Store.open(tmp_path / "whole.db", create=True) as whole:
        run_campaign(store, CampaignOptions(samples=3, **TINY))
        run_campaign(store, CampaignOptions(samples=6, **TINY))
        run_campaign(whole, CampaignOptions(samples=6, **TINY))
        roofs = [sorted(plan_of(s.spec) for s in each.samples(sampled_by="probe")) for each in (store, whole)]
        assert roofs[0] == roofs[1]
        assert len(own(store)) == len(own(whole)) == 6


def test_minutes_end_a_campaign(path):
    with Store.open(path, create=True) as store:
        outcome = run_campaign(store, CampaignOptions(minutes=0.002, **TINY))
        assert outcome.samples >= PROBES
        again = run_campaign(store, CampaignOptions(minutes=0.002, **TINY))
        assert again.new == 0 or outcome.seconds < 0.12


def test_a_chooser_gets_half_of_the_samples_at_most(path):
    options = CampaignOptions(samples=12, first_choice=2, block_size=3, pool_size=12, **TINY)
    shown = []

    def last(pool, samples):
        shown.append((len(pool), len(samples)))
        return list(range(len(pool)))[::-1]

    with Store.open(path, create=True) as store:
        run_campaign(store, options, chooser=last)
        found = [sample.sampled_by for sample in own(store)]
        assert len(found) == 12
        assert 3 <= found.count("active") <= 6
    assert {pool for pool, _ in shown} == {12}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "neither minutes nor samples"),
        ({"samples": 0}, "samples 0"),
        ({"minutes": float("nan")}, "minutes nan"),
        ({"samples": 3, "threads": 0}, "threads 0"),
        ({"samples": 3, "backend": "onnxrutime"}, "Did you mean 'onnxruntime'"),
        ({"samples": 3, "families": {"cov": 1.0}}, "cov"),
    ],
)
def test_what_cannot_run_is_told_before_anything_is_measured(path, options, told):
    with Store.open(path, create=True) as store:
        with pytest.raises(ConfigError, match=told):
            run_campaign(store, CampaignOptions(**TINY | {"families": {"pool": 1.0}} | options))
        assert store.samples() == []


def test_the_keywords_of_the_last_release_still_work(path):
    with Store.open(path, create=True) as store:
        with pytest.warns(DeprecationWarning, match="CampaignOptions"):
            old = run_campaign(store, "onnxruntime", samples=2, **TINY)
        assert run_campaign(store, CampaignOptions(samples=2, **TINY)).campaign == old.campaign


CAMPAIGN = """
import sys
from juggler.predict import Store
from juggler.predict.campaign.options import CampaignOptions
from juggler.predict.campaign.run import run_campaign
from juggler.errors import JugglerError
{before}
with Store.open({path!r}, create=True, busy_s=0.2) as store:
    print("open", flush=True)
    try:
        families = {{"pool": 1.0, "add": 1.0}}
        options = CampaignOptions(samples=4000, rounds=2, cap_ms=0.5, families=families)
        outcome = run_campaign(store, options)
        print("stopped", outcome.stopped, outcome.samples, flush=True)
    except JugglerError as error:
        print(type(error).__name__, error, flush=True)
"""


def started(path, before=""):
    code = CAMPAIGN.format(path=str(path), before=before)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def turns_of(path):
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return []
    try:
        return connection.execute("SELECT * FROM turns ORDER BY rowid").fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def wait_for_turns(path, process, n):
    end = time.monotonic() + 60
    while len(turns_of(path)) < n:
        assert process.poll() is None, "the campaign ended by itself"
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_campaign_that_is_killed_loses_no_turn_and_goes_on(path):
    process = started(path)
    wait_for_turns(path, process, 15)  # in the midst of a block
    process.kill()
    process.wait()
    process.stdout.close()
    before = turns_of(path)
    with Store.open(path) as store:
        had = store.samples()
        done = run_campaign(
            store, CampaignOptions(samples=4, rounds=2, cap_ms=0.5, families={"pool": 1.0, "add": 1.0})
        )
        assert store.samples()[: len(had)] == had
        assert len(own(store)) >= 4
    after = turns_of(path)
    assert after[: len(before)] == before, "what was measured is not measured again"
    assert len(done.campaign) > 12
    assert len({row[0] for row in after}) == 1, "it is the same campaign"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_campaign_that_is_interrupted_ends_between_turns(path, number):
    process = started(path)
    wait_for_turns(path, process, 3)
    os.kill(process.pid, number)
    output, _ = process.communicate(timeout=300)
    assert "stopped True" in output
    assert process.returncode == 0
    with Store.open(path) as store:
        assert store.count() == int(output.split()[-1])


@pytest.mark.parametrize(("most_bytes", "told"), [(700_000, "disk is full"), (150_000, "cut off")])
def test_a_disk_that_fills_keeps_what_was_measured(path, most_bytes, told):
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, {most_bytes}))"
    process = started(path, limit)
    output, _ = process.communicate(timeout=120)
    assert "StoreError" in output
    assert told in output
    assert "Make room" in output
    kept = turns_of(path)
    with Store.open(path) as store:
        outcome = run_campaign(
            store, CampaignOptions(samples=2, rounds=2, cap_ms=0.5, families={"pool": 1.0, "add": 1.0})
        )
        assert outcome.samples >= PROBES
    assert turns_of(path)[: len(kept)] == kept


def test_a_database_that_another_process_holds_is_told(path):
    with Store.open(path, create=True, busy_s=0.05) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process holds it"):
            run_campaign(store, CampaignOptions(samples=2, **TINY))
        holder.execute("ROLLBACK")
        holder.close()


class Scripted:
    """Turns whose canary takes what the test says, and whose kernels take longer each time."""

    unit_ms = 1.0

    def __init__(self, canary_ms):
        self.canary_ms, self.taken = iter(canary_ms), []

    def adapt(self, spec):
        return spec

    def take(self, spec):
        if spec == CANARY:
            return RoundTiming(spec, 0.0, next(self.canary_ms), 0.0, 0.0)
        if spec.family == "norm":
            raise UnsupportedKernel("time it", "it ran something else", "Leave it out")
        self.taken.append(spec)
        exec_ms = self.unit_ms * (1.0 + len(self.taken))
        return RoundTiming(replace(spec, layout="blocked"), 0.1, exec_ms, 0.2, 0.0)


def block(path, canary_ms, **options):
    draws = [Draw(KernelSpec("pool", 1, 16, 16, 9 + i, 9, kernel=(2, 2)), "random") for i in range(3)]
    draws.append(Draw(KernelSpec("norm", 1, 4, 4), "network"))
    with Store.open(path, create=True) as store:
        log, turns = MeasurementLog(store, "one"), Scripted(canary_ms)
        where = MeasurementSetup("onnxruntime", 1, "here")
        measured = measure_block(draws, turns, log, where, seed=0, rounds=2, **options)
        return measured, turns, log.unfit(), log.done()


def test_a_block_is_measured_again_where_the_canary_moved(path):
    calm, moved = [1.0] * 3, [1.2] * 3
    measured, turns, unfit, done = block(path, [*calm, *moved, *calm, *calm])
    assert (measured.redone, len(turns.taken), unfit) == (1, 12, 1)
    assert len(measured.samples) == 3
    assert min(sample.exec_ms for sample in measured.samples) == 8.0, "only the calm attempt counts"
    assert all(sample.rejected == 2 and sample.rounds == 2 for sample in measured.samples)
    assert all(sample.spec.layout == "blocked" for sample in measured.samples)
    assert (plan_of(KernelSpec("norm", 1, 4, 4)), "network") in done


def test_a_machine_that_never_holds_still_is_measured_all_the_same(path):
    measured, turns, _, _ = block(path, [1.0 + 0.1 * (i // 3) for i in range(18)])
    assert (measured.redone, len(turns.taken)) == (2, 18)
    assert min(sample.exec_ms for sample in measured.samples) == 2.0, "the shortest of all"
    assert all(sample.rounds == 6 for sample in measured.samples)


def test_kernels_of_microseconds_are_labelled_by_the_median(path, monkeypatch):
    whole, _, _, _ = block(path, [1.0] * 6)
    monkeypatch.setattr(Scripted, "unit_ms", 1e-3)
    short, _, _, _ = block(path.with_name("other.db"), [1.0] * 6)
    # In the same order: the least of two rounds, and what lies between them.
    assert all(1e3 * s.exec_ms > w.exec_ms + 0.4 for s, w in zip(short.samples, whole.samples, strict=True))


def test_a_stopped_block_gives_nothing_and_goes_on_later(path):
    left = iter([False] * 4 + [True])
    measured, turns, _, _ = block(path, [1.0] * 6, stop=lambda: next(left))
    assert (measured.samples, measured.stopped) == ((), True)
    again, more, _, _ = block(path, [1.0] * 6)
    assert len(again.samples) == 3
    assert len(turns.taken) + len(more.taken) == 6


def test_the_label_is_the_shortest_calm_round(path):
    measured, _, _, _ = block(path, [1.0] * 6)
    sample = measured.samples[0]
    assert isinstance(sample, Sample)
    assert sample.spread > 0.0
    assert (sample.pre_ms, sample.post_ms) == (0.1, 0.2)
