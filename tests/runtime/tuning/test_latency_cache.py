"""The cache of prices: kept, shared, killed, damaged, full; it never stops whoever uses it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from juggler.runtime.tuning.latency_cache import FORMAT, MARK, Latency, LatencyCache, Place

HERE = Place("a chip, 2 cores", "onnxruntime", "1.20.0", None, "float32")
LATENCY = Latency(1.5, 1.25, 1.75, 20)
WRITER = """
import sys
from pathlib import Path
from juggler.runtime.tuning.latency_cache import Place, Latency, LatencyCache
place = Place("a chip, 2 cores", "onnxruntime", "1.20.0", None, "float32")
for n in range(int(sys.argv[3])):
    LatencyCache(Path(sys.argv[1])).put({f"{sys.argv[2]}{n}": Latency(n + 1.0, rounds=n)}, place)
    print(n, flush=True)
"""


def write(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def written(path: Path, name: str, count: int) -> dict[str, Latency]:
    return LatencyCache(path).get([f"{name}{n}" for n in range(count)], HERE)


def is_whole(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_prices_outlive_the_object(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "prices.sqlite"
    assert LatencyCache(path).get(["a"], HERE) == {}
    assert not path.parent.exists()  # reading makes nothing
    LatencyCache(path).put({"a": LATENCY, "b": Latency(2.0)}, HERE)
    assert LatencyCache(path).get(["a", "b", "c"], HERE) == {"a": LATENCY, "b": Latency(2.0)}
    LatencyCache(path).put({"a": Latency(3.0)}, HERE)
    assert LatencyCache(path).get(["a"], HERE) == {"a": Latency(3.0)}
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT latency_ms, backend, release, threads, date FROM prices").fetchall()
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert [row[:4] for row in rows] == [(v, "onnxruntime", "1.20.0", None) for v in (1.5, 2.0, 3.0)]
    assert all(row[4].startswith("20") for row in rows)


@pytest.mark.parametrize(
    "other",
    [
        replace(HERE, machine="another chip, 2 cores"),
        replace(HERE, backend="openvino"),
        replace(HERE, release="1.21.0"),
        replace(HERE, threads=1),
        replace(HERE, precision="int8"),
    ],
)
def test_prices_of_two_places_never_meet(tmp_path: Path, other: Place) -> None:
    cache = LatencyCache(tmp_path / "prices.sqlite")
    cache.put({"a": LATENCY}, HERE)
    assert cache.get(["a"], other) == {}
    cache.put({"a": Latency(9.0)}, other)
    assert LatencyCache(cache.path).get(["a"], HERE) == {"a": LATENCY}
    assert LatencyCache(cache.path).get(["a"], other) == {"a": Latency(9.0)}


@given(
    names=st.dictionaries(st.text(), st.floats(1e-6, 1e6), max_size=5), threads=st.none() | st.integers(1, 64)
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_is_kept(tmp_path: Path, names: dict[str, float], threads: int | None) -> None:
    place = replace(HERE, threads=threads)
    prices = {name: Latency(latency_ms) for name, latency_ms in names.items()}
    LatencyCache(tmp_path / "any.sqlite").put(prices, place)
    assert LatencyCache(tmp_path / "any.sqlite").get(list(names), place) == prices


def test_the_usual_file_is_in_the_user_s_cache(elsewhere: Path) -> None:
    cache = LatencyCache()
    assert (cache.path.name, cache.path.parent.name) == ("prices.sqlite", "juggler")
    assert cache.path.is_relative_to(elsewhere)
    assert not cache.path.exists()


def test_a_cache_in_memory_touches_no_disk(elsewhere: Path) -> None:
    cache = LatencyCache.in_memory()
    cache.put({"a": LATENCY}, HERE)
    assert cache.get(["a"], HERE) == {"a": LATENCY}
    assert list(elsewhere.rglob("*")) == []


def test_a_file_of_release_0_1_0_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite"
    path.write_bytes((Path(__file__).parent / "release-0.1.0" / path.name).read_bytes())
    assert LatencyCache(path).get(["a", "b"], HERE) == {"a": LATENCY, "b": Latency(2.0)}
    LatencyCache(path).put({"b": Latency(3.0)}, HERE)
    assert LatencyCache(path).get(["a", "b"], HERE) == {"a": LATENCY, "b": Latency(3.0)}


def test_two_writers_share_a_file(tmp_path: Path) -> None:
    path, count = tmp_path / "prices.sqlite", 100
    writers = [write(path, name, count) for name in ("one", "two")]
    for writer in writers:
        writer.communicate(timeout=120)
    assert [writer.returncode for writer in writers] == [0, 0]
    for name in ("one", "two"):
        assert written(path, name, count) == {f"{name}{n}": Latency(n + 1.0, rounds=n) for n in range(count)}
    assert is_whole(path)


def test_a_killed_writer_loses_nothing_that_it_had_kept(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite"
    for attempt in range(3):
        writer = write(path, f"k{attempt}-", 1_000_000)
        assert writer.stdout is not None
        kept = [int(writer.stdout.readline()) for _ in range(5 + 7 * attempt)]
        writer.send_signal(signal.SIGKILL)
        assert writer.wait(300) == -signal.SIGKILL
        writer.stdout.close()
        found = written(path, f"k{attempt}-", len(kept))
        assert found == {f"k{attempt}-{n}": Latency(n + 1.0, rounds=n) for n in kept}
    LatencyCache(path).put({"after": LATENCY}, HERE)
    assert LatencyCache(path).get(["after"], HERE) == {"after": LATENCY}
    assert is_whole(path)


def rubbish(path: Path) -> None:
    path.write_bytes(b"no database at all, and long enough to be taken for one" * 100)


def truncated(path: Path) -> None:
    LatencyCache(path).put({str(n): LATENCY for n in range(2000)}, HERE)
    path.write_bytes(path.read_bytes()[:10_000])


def overwritten(path: Path) -> None:
    LatencyCache(path).put({str(n): LATENCY for n in range(2000)}, HERE)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))


def of_another_format(path: Path) -> None:
    LatencyCache(path).put({"a": Latency(7.0)}, HERE)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")


def of_somebody_else(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE prices (bread REAL)")


def without_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute(f"PRAGMA application_id = {MARK}")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (rubbish, "not a database"),
        (truncated, "malformed"),
        (overwritten, "malformed"),
        (of_another_format, f"format {FORMAT + 1}; this release has {FORMAT}"),
        (of_somebody_else, "something else"),
        (without_a_table, "other tables"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_cache_is_said_and_left_alone(tmp_path: Path, spoil, words: str) -> None:
    path = tmp_path / "prices.sqlite"
    spoil(path)
    before = path.read_bytes()
    cache = LatencyCache(path)
    with pytest.warns(
        RuntimeWarning, match=rf"prices.sqlite is no cache .*{words}.*prices.sqlite\.1.*Delete"
    ):
        assert cache.get(["a"], HERE) == {}
    cache.put({"a": LATENCY}, HERE)
    assert path.read_bytes() == before
    other = LatencyCache(path)
    with pytest.warns(RuntimeWarning, match="no cache"):
        assert other.get(["a"], HERE) == {"a": LATENCY}
    assert is_whole(tmp_path / "prices.sqlite.1")


def test_where_all_files_are_damaged_memory_serves(tmp_path: Path) -> None:
    for name in ("p", "p.1", "p.2", "p.3"):
        rubbish(tmp_path / name)
    cache = LatencyCache(tmp_path / "p")
    with pytest.warns(RuntimeWarning, match="no cache") as caught:
        cache.put({"a": LATENCY}, HERE)
    assert len(caught) == 4
    assert "in memory only" in str(caught[-1].message)
    assert cache.get(["a"], HERE) == {"a": LATENCY}


def test_a_row_that_holds_no_price_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite"
    LatencyCache(path).put({"a": LATENCY}, HERE)
    for value in ("cheap", -1.0, float("inf")):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE prices SET latency_ms = ?", (value,))
            connection.commit()
        assert LatencyCache(path).get(["a"], HERE) == {}


def test_a_place_that_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for path in (tmp_path, tmp_path / "file" / "prices.sqlite"):
        cache = LatencyCache(path)
        assert cache.get(["a"], HERE) == {}
        with pytest.warns(RuntimeWarning, match=r"cannot be written to .*kept in memory") as caught:
            for n in range(3):
                cache.put({str(n): Latency(n + 1.0)}, HERE)
        assert len(caught) == 1
        assert cache.get(["0", "2"], HERE) == {"0": Latency(1.0), "2": Latency(3.0)}


FULL = """
import resource, sys, warnings
from pathlib import Path
from juggler.runtime.tuning.latency_cache import Place, Latency, LatencyCache
place = Place("a chip, 2 cores", "onnxruntime", "1.20.0", None, "float32")
cache = LatencyCache(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for n in range(100):
        cache.put({f"{n}.{k}": Latency(k + 1.0) for k in range(20)}, place)
    found = cache.get([f"{n}.{k}" for n in range(100) for k in range(20)], place)
print(len(caught), len(found), str(caught[0].message))
"""


def test_a_full_disk_leaves_the_rest_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "prices.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True, timeout=300
    )
    warned, found, text = done.stdout.split(" ", 2)
    assert (warned, found) == ("1", "2000")
    assert "cannot be written" in text
    assert is_whole(path)
    kept = LatencyCache(path).get([f"{n}.{k}" for n in range(100) for k in range(20)], HERE)
    assert 0 < len(kept) < 2000
    assert len(kept) % 20 == 0  # each put whole or not at all


READ_ONLY = """
import os, sys, warnings
from pathlib import Path
from juggler.runtime.tuning.latency_cache import Place, Latency, LatencyCache
if os.access(sys.argv[1], os.W_OK):
    os.setuid(65534)  # root with its capabilities may write anywhere
place = Place("a chip, 2 cores", "onnxruntime", "1.20.0", None, "float32")
cache = LatencyCache(Path(sys.argv[1]))
print(cache.get(["a"], place)["a"].latency_ms)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    cache.put({"b": Latency(2.0)}, place)
    cache.put({"c": Latency(3.0)}, place)
print(len(caught), cache.get(["b"], place)["b"].latency_ms)
"""


def test_a_cache_that_is_read_only_is_read() -> None:
    with tempfile.TemporaryDirectory() as name:  # in whose parents everybody may look, unlike tmp_path
        folder, path = Path(name), Path(name) / "prices.sqlite"
        LatencyCache(path).put({"a": LATENCY}, HERE)
        path.chmod(0o444)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(path)],
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        folder.chmod(0o755)
        assert sorted(p.name for p in folder.iterdir()) == ["prices.sqlite"]
    assert done.stdout.split() == ["1.5", "1", "2.0"]
