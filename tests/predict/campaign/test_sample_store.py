"""Samples return as they were added, whatever happens to the process, the disk or the file."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from juggler.errors import ArtefactError, ConfigError
from juggler.nouns import Machine
from juggler.predict import KernelSpec, Sample, Store
from juggler.predict.campaign.store.measurements import turn_of
from juggler.predict.campaign.store.samples import StoreError, machine_digest, salvage

MACHINE = Machine("a processor", 2, 8.0, "a system", "3.12", {"onnxruntime": "1.2"})
SPEC = KernelSpec("conv", 2, 16, 32, 20, 30, kernel=(3, 3), pads=(1, 1, 1, 1), activation="relu")
SAMPLE = Sample(
    SPEC, "onnxruntime", "float32", 1, 0.1, 1.25, 0.2, 0.03, 3, 1, "random", machine_digest(MACHINE),
    "2026-01-01T00:00:00+00:00",
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "lab.db"


def other(number: int, **changes) -> Sample:
    return replace(SAMPLE, spec=KernelSpec("dense", 1, number + 1, 3), **changes)


def test_samples_return_as_they_were_added(path):
    with Store.open(path, create=True) as store:
        assert store.add(SAMPLE, "one")
        assert store.add(other(1, sampled_by="active"), "one")
    with Store.open(path) as store:
        assert store.samples() == [SAMPLE, other(1, sampled_by="active")]
        assert store.samples(family="conv") == [SAMPLE]
        assert store.samples(sampled_by="active", campaign="one") == [other(1, sampled_by="active")]
        assert store.samples(machine="nobody") == []
        assert (store.count(), store.count("one"), store.count("two")) == (2, 2, 0)


def test_a_file_of_release_0_1_0_still_opens(tmp_path):
    path = tmp_path / "lab.db"
    path.write_bytes((Path(__file__).parent / "release-0.1.0" / path.name).read_bytes())
    dense = KernelSpec("dense", 1, 2, 3)
    with Store.open(path) as store:
        first, second, again = store.samples()
        assert first == SAMPLE and again.spec == SPEC
        assert second.spec == dense and (second.exec_ms, again.exec_ms) == (0.5, 1.5)
        assert store.samples(sampled_by="retest") == [again]
        assert store.machines() == {machine_digest(MACHINE): MACHINE}
        assert store.campaigns()["one"]["seed"] == 3
        assert store.add(other(9), "one")
        assert store.count("one") == 4


def test_a_sample_is_kept_once_in_a_campaign(path):
    with Store.open(path, create=True) as store:
        assert store.add(SAMPLE)
        assert not store.add(replace(SAMPLE, exec_ms=9.0))
        assert store.add(SAMPLE, "another campaign")
        assert store.add(replace(SAMPLE, sampled_by="retest"))
        assert store.add(replace(SAMPLE, backend="openvino"))
        assert [sample.exec_ms for sample in store.samples()] == [1.25] * 4


def test_machines_and_campaigns_are_kept(path):
    with Store.open(path, create=True) as store:
        digest = store.add_machine(MACHINE)
        assert store.add_machine(MACHINE) == digest
        store.add_campaign("one", {"seed": 3}, digest)
        store.add_campaign("one", {"seed": 4}, digest)
        assert store.machines() == {digest: MACHINE}
        assert store.campaigns()["one"]["seed"] == 3
        assert store.campaigns()["one"]["machine"] == digest


def test_the_floor_is_how_far_second_timings_are_off(path):
    with Store.open(path, create=True) as store:
        for number, ratio in enumerate((1.1, 0.9, 1.0)):
            first = other(number)
            store.add(first)
            again = replace(first, exec_ms=first.exec_ms * ratio, sampled_by="retest")
            store.add(replace(again, taken_at="2026-01-01T03:00:00+00:00"))
        store.add(SAMPLE)
        (floor,) = store.floors()
        assert (floor.family, floor.samples) == ("dense", 3)
        assert floor.mape == pytest.approx(20 / 3)
        assert floor.median_ape == pytest.approx(10.0)
        assert floor.hours == pytest.approx(3.0, abs=1e-3)
        assert store.floors("nobody") == ()


def test_an_export_holds_every_field_and_the_machine(path, tmp_path):
    with Store.open(path, create=True) as store:
        digest = store.add_machine(MACHINE)
        store.add(SAMPLE)
        store.add(other(1))
        table = pq.read_table(store.export_parquet(tmp_path / "samples.parquet"))
    row = table.to_pylist()[0]
    assert row | {"kernel_height": 3, "pad_left": 1, "exec_ms": 1.25, "macs": SPEC.macs} == row
    assert digest in table.schema.metadata[b"juggler.machines"].decode()


def test_an_empty_store_exports_nothing(path, tmp_path):
    with Store.open(path, create=True) as store, pytest.raises(ConfigError, match="holds no sample"):
        store.export_parquet(tmp_path / "samples.parquet")
    assert not (tmp_path / "samples.parquet").exists()


def test_a_store_that_is_not_there_is_not_made_unasked(path):
    with pytest.raises(ArtefactError, match="no such file"):
        Store.open(path)
    assert not path.exists()


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be one" * 40])
def test_a_file_that_is_no_store_is_refused_and_left(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"empty file|no database"):
        Store.open(path)
    assert path.read_bytes() == content


def test_another_database_is_refused(path):
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ArtefactError, match="something else"):
        Store.open(path, create=True)
    assert path.read_bytes() == before


def test_another_format_is_refused(path):
    Store.open(path, create=True).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ArtefactError, match="format 99; this release has 1"):
        Store.open(path)


@pytest.mark.parametrize("share", [0.4, 0.6, 0.95])
def test_a_store_that_was_cut_off_is_refused_and_salvaged(path, tmp_path, share):
    with Store.open(path, create=True) as store:
        store.add_machine(MACHINE)
        for number in range(200):
            store.add(other(number))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ArtefactError, match=r"damaged, cut off.*--salvage lab\.db"):
        Store.open(path, create=True)
    assert len(path.read_bytes()) == int(len(whole) * share)
    with Store.open(tmp_path / "new.db", create=True) as store:
        assert salvage(path, store) == store.count() > 0
        assert set(store.samples()) <= {other(number) for number in range(200)}


def test_a_second_writer_that_holds_the_file_is_named(path):
    with Store.open(path, create=True, busy_s=0.05) as store:
        store.add(SAMPLE)
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"another process holds it.*are kept"):
            store.add(other(1))
        holder.execute("ROLLBACK")
        holder.close()
        assert store.add(other(1))
        assert store.count() == 2


WRITER = """
import sys
from dataclasses import replace
sys.path.insert(0, {tests!r})
from predict.campaign.test_sample_store import other
from juggler.predict import Store
with Store.open({path!r}, create=True) as store:
    for number in range({first}, {first} + 60):
        store.add(other(number))
"""


def writer(path, first):
    tests = str(Path(__file__).parents[2])
    code = WRITER.format(tests=tests, path=str(path), first=first)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def test_two_writers_at_once_lose_nothing(path):
    running = [writer(path, 0), writer(path, 30)]
    assert [process.communicate()[1] for process in running] == ["", ""]
    with Store.open(path) as store:
        assert store.count() == 90
        assert set(store.samples()) == {other(number) for number in range(90)}


FULL = """
import resource, sys
sys.path.insert(0, {tests!r})
from predict.campaign.test_sample_store import other
from juggler.predict import Store
from juggler.predict.campaign.store.samples import StoreError
with Store.open({path!r}, create=True) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    kept = 0
    try:
        for number in range(1000):
            store.add(other(number))
            kept += 1
    except StoreError as error:
        print(kept, error)
"""


def test_a_full_disk_is_told_and_keeps_what_was_added(path):
    code = FULL.format(tests=str(Path(__file__).parents[2]), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept, _, told = done.stdout.partition(" ")
    assert "the disk is full or fails" in told
    assert "Make room" in told
    assert int(kept) > 10
    with Store.open(path) as store:
        assert store.samples() == [other(number) for number in range(int(kept))]
        assert store.add(SAMPLE)


def test_what_cannot_be_read_at_all_is_not_salvaged(path, tmp_path):
    path.parent.mkdir()
    path.write_bytes(b"nothing" * 100)
    with Store.open(tmp_path / "new.db", create=True) as store:
        with pytest.raises(ArtefactError, match="nothing in it"):
            salvage(path, store)
        with pytest.raises(ArtefactError, match="no such file"):
            salvage(tmp_path / "none.db", store)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="make"):
        Store.open(tmp_path / "file" / "lab.db", create=True)


def test_a_copy_taken_while_it_is_written_is_whole_or_refused(path, tmp_path):
    with Store.open(path, create=True) as store:
        for number in range(20):
            store.add(other(number))
        shutil.copy(path, tmp_path / "copy.db")
        with Store.open(tmp_path / "copy.db", create=True) as copy:
            assert set(copy.samples()) <= set(store.samples())


@pytest.mark.parametrize(
    ("column", "value"),
    [("threads", "two"), ("exec_ms", "long"), ("backend", b"\xff"), ("spec", "[" * 5000), ("spec", "{}")],
)
def test_a_row_of_other_types_ends_in_our_error(path, column, value):
    with Store.open(path, create=True) as store:
        store.add(SAMPLE)
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE samples SET {column} = ?", (value,))  # noqa: S608
    connection.commit()
    connection.close()
    with Store.open(path) as store, pytest.raises(ArtefactError):
        store.samples()


@pytest.mark.parametrize("text", ["{}", "[]", '{"spec": 3}', '{"pre_ms": "a"}'])
def test_a_turn_of_something_else_ends_in_our_error(text):
    with pytest.raises(ArtefactError):
        turn_of(text)
