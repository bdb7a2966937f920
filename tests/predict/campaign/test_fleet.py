"""A fleet measures one campaign together; a worker that is killed loses nothing that was measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import psutil
import pytest

from juggler.errors import ConfigError, Unavailable
from juggler.extras import install_command
from juggler.predict import Store
from juggler.predict.campaign.fleet.driver import run_fleet
from juggler.predict.campaign.options import CampaignOptions
from juggler.predict.campaign.run import run_campaign
from juggler.predict.campaign.store.measurements import plan_of
from juggler.predict.campaign.store.samples import machine_digest
from juggler.runtime.machine import machine

TINY = {"rounds": 2, "cap_ms": 0.5, "families": {"pool": 1.0, "add": 1.0}}
SAMPLES, PROBES = 30, 5

# In a process of its own, for Ray leaves threads and handlers behind. What workers answer is counted, and the
# slower one is killed by the system as soon as both are in the midst of a block.
RUN = """
import json, os, signal, sqlite3, sys, threading
import psutil
from juggler.predict import Store
from juggler.predict.campaign.block import CANARY
from juggler.predict.campaign.fleet.driver import run_fleet
from juggler.predict.campaign.fleet.cluster import Member
from juggler.predict.campaign.options import CampaignOptions

path, options = sys.argv[1], json.loads(sys.argv[2])
taken, pids, seen, take, over = [], {}, {}, Member.take, threading.Event()

def counted(member, spec):
    turn = take(member, spec)
    if spec != CANARY:
        taken.append(member.name)
        pids[member.name] = member.pid
    return turn

def turns():
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT * FROM turns").fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()

def kill():
    while min(map(taken.count, ("worker 1", "worker 2"))) < 3:
        if over.wait(0.01):
            return
    seen.update(turns=turns(), nice=[psutil.Process(pid).nice() for pid in pids.values()])
    os.kill(pids[min(pids, key=taken.count)], signal.SIGKILL)

Member.take = counted
with Store.open(path, create=True) as store:
    killer = threading.Thread(target=kill)
    killer.start()
    tell = lambda value: seen.update(told=(value.done, value.total))
    outcome = run_fleet(store, "local:2", CampaignOptions(**options), progress=tell)
    over.set()
    killer.join()
left = [p.name() for p in psutil.Process().children(recursive=True)]
print(json.dumps({"outcome": outcome.to_dict(), "taken": taken, "left": left, **seen}))
"""


def test_a_fleet_of_two_of_which_one_is_killed(tmp_path):
    path = tmp_path / "lab.db"
    options = {"samples": SAMPLES, "retest": 2, **TINY}
    line = [sys.executable, "-c", RUN, str(path), json.dumps(options)]
    # Into files: Ray's processes would hold pipes open where the run had to be ended.
    with (tmp_path / "said").open("w") as out, (tmp_path / "errors").open("w") as errors:
        done = subprocess.run(line, stdout=out, stderr=errors, timeout=600, check=False)
    assert done.returncode == 0, (tmp_path / "errors").read_text(encoding="utf-8")
    said = json.loads((tmp_path / "said").read_text(encoding="utf-8").splitlines()[-1])
    outcome = said["outcome"]
    assert (outcome["workers"], len(outcome["lost"])) == (2, 1)
    assert (outcome["unfinished"], outcome["stopped"], said["left"]) == ([], False, [])
    assert said["nice"] == [os.nice(0)] * 2, "neighbours of higher priority would be timed with the kernels"
    assert said["told"] == [SAMPLES + 2, SAMPLES + 2]
    with Store.open(path) as store:
        rows = store.connection.execute("SELECT * FROM turns ORDER BY rowid").fetchall()
        kept = store.samples()
        at_the_kill = {tuple(row) for row in said["turns"]}
        assert len(at_the_kill) >= 6
        assert at_the_kill <= set(rows), "nothing measured is lost"
        assert len(said["taken"]) == len(rows), "nothing is measured twice"
        assert set(said["taken"]) == {"worker 1", "worker 2"}
        counts = Counter(sample.sampled_by for sample in kept)
        assert (counts["probe"], counts["retest"]) == (PROBES, 2)
        assert counts["random"] + counts["network"] == SAMPLES
        assert len({(plan_of(sample.spec), sample.sampled_by) for sample in kept}) == len(kept)
        (campaign,), (digest,) = store.campaigns(), store.machines()
        assert {sample.machine for sample in kept} == {digest} == {machine_digest(machine())}
        # It is the campaign that a run without a fleet would be, and there is nothing left to do.
        again = run_campaign(store, CampaignOptions(samples=SAMPLES, retest=2, **TINY))
        assert (again.campaign, again.new, again.samples) == (campaign, 0, len(kept))
        assert [again.campaign] == [one["campaign"] for one in outcome["outcomes"]]


@pytest.mark.parametrize(
    "fleet", ["local:0", "local:many", "local:", "somewhere", ":6379", "host:0", "host:x"]
)
def test_what_is_no_fleet(tmp_path, fleet):
    with Store.open(tmp_path / "lab.db", create=True) as store:
        with pytest.raises(ConfigError, match="local:2"):
            run_fleet(store, fleet, CampaignOptions(samples=1))
        assert store.campaigns() == {}


def test_a_cluster_that_does_not_answer(tmp_path):
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with (
        Store.open(tmp_path / "lab.db", create=True) as store,
        pytest.raises(Unavailable, match=r"no cluster answers there.*ray start --head"),
    ):
        run_fleet(store, "127.0.0.1:1", CampaignOptions(samples=1))
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before


def test_without_ray_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        Store.open(tmp_path / "lab.db", create=True) as store,
        pytest.raises(Unavailable, match="ray is not installed") as caught,
    ):
        run_fleet(store, "local:2", CampaignOptions(samples=1))
    assert install_command("train", "fleet") in str(caught.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "neither minutes nor samples"),
        ({"samples": 3, "backend": "onnxrutime"}, "Did you mean 'onnxruntime'"),
        ({"samples": 3, "families": {"cov": 1.0}}, "cov"),
    ],
)
def test_what_cannot_run_is_told_before_a_fleet_is_opened(tmp_path, options, told):
    with Store.open(tmp_path / "lab.db", create=True) as store, pytest.raises(ConfigError, match=told):
        run_fleet(store, "127.0.0.1:1", CampaignOptions(**options))


LISTENING = """
import json
import psutil
from juggler.predict.campaign.fleet.cluster import open_fleet

with open_fleet("local:1", "onnxruntime", 1):
    own = psutil.Process()
    sockets = [c for p in (own, *own.children(recursive=True)) for c in p.net_connections("inet")]
    print(json.dumps([c.laddr.ip for c in sockets if c.status == psutil.CONN_LISTEN]))
"""


def test_a_fleet_of_this_machine_listens_on_the_loopback_alone():
    done = subprocess.run(
        [sys.executable, "-c", LISTENING], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    addresses = json.loads(done.stdout.splitlines()[-1])
    assert len(addresses) >= 4
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
