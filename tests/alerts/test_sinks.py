from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import contracts_sinks
from contracts_sinks import EVE, alert, check_sink, valid
from juggler.alerts.sink import SINKS, SinkError, open_sink
from juggler.alerts.sinks.eve import EveSink, eve_record
from juggler.alerts.sinks.null import NullSink
from juggler.errors import ConfigError
from juggler.nouns import Alert

HELPERS = str(Path(contracts_sinks.__file__).parent)  # programs that a test starts import from it


@pytest.mark.parametrize("attack_class", ["dos", "probe", "r2l", "u2r", "a class of tomorrow"])
@pytest.mark.parametrize("service", ["http", "private", "several", ""])
def test_every_record_passes_the_schema(attack_class: str, service: str) -> None:
    record = eve_record(
        alert(attack_class=attack_class, service=service, protocol="" if not service else "udp")
    )
    valid(json.dumps(record))
    assert f"class={attack_class}" in record["alert"]["metadata"]["tag"]


def test_the_schema_refuses_what_suricata_refuses() -> None:
    for place, value in (
        (("extra",), 1),
        (("alert", "score"), 0.9),
        (("timestamp",), "2024-01-02T03:04:05+01:00"),
    ):
        record = eve_record(alert())
        inner = record
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        with pytest.raises(jsonschema.ValidationError):
            EVE.validate(record)


def test_the_record_says_what_was_seen() -> None:
    record = eve_record(alert(count=17, state="closed", last_record=90), run="cafe0123")
    assert record["timestamp"] == "2024-01-02T03:04:05.000006+0100"
    assert (record["proto"], record["app_proto"]) == ("TCP", "http")
    assert (record["alert"]["signature_id"], record["alert"]["severity"]) == (1000101, 2)
    expected = {"run=cafe0123", "alert=1", "state=closed", "class=dos", "score=0.9987", "threshold=0.12"}
    expected |= {"count=17", "first_record=7", "last_record=90", "service=http", "weighed.serror_rate=0.41"}
    assert set(record["alert"]["metadata"]["tag"]) == expected


def test_a_hostile_name_stays_within_its_line(tmp_path: Path) -> None:
    with EveSink.open(tmp_path / "eve.json") as sink:
        sink.write(alert(service='a"\n{"event_type":"alert"}\u2028', attack_class="x\ny"))
    (line,) = (tmp_path / "eve.json").read_text().split("\n")[:-1]
    assert 'service=a"\n{"event_type":"alert"}\u2028' in valid(line)["alert"]["metadata"]["tag"]


def test_signature_ids_are_distinct_and_documented() -> None:
    from juggler.alerts.sinks import eve  # noqa: PLC0415

    numbers = {
        c: eve_record(alert(attack_class=c))["alert"]["signature_id"]
        for c in ("dos", "probe", "r2l", "u2r", "?")
    }
    assert len(set(numbers.values())) == 5
    documented = re.sub(r"\s+", " ", eve.__doc__ or "")
    for name, number in numbers.items():
        assert (f"{number} any class" if name == "?" else f"{number} {name}") in documented


def test_each_alert_is_seen_at_once_and_the_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    with EveSink.open(path) as sink:
        for count in (1, 2):
            sink.write(alert(count))
            assert len(path.read_text().splitlines()) == count
    with EveSink.open(str(path)) as sink:
        sink.write(alert(3))
        assert sink.written == 1
    assert [
        t
        for line in path.read_text().splitlines()
        for t in valid(line)["alert"]["metadata"]["tag"]
        if "alert=" in t
    ] == [
        "alert=1",
        "alert=2",
        "alert=3",
    ]
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    sink.close()


def test_a_line_that_a_crash_tore_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    path.write_text('{"timestamp": "20')
    with EveSink.open(path) as sink:
        sink.write(alert())
    torn, whole = path.read_text().splitlines()
    assert torn == '{"timestamp": "20'
    valid(whole)


def test_standard_output_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    for target in (None, "-"):
        with open_sink("eve", target) as sink:
            sink.write(alert())
    lines = capfd.readouterr().out.splitlines()
    assert [valid(line)["event_type"] for line in lines] == ["alert", "alert"]


def test_a_full_disk_is_said_and_counted() -> None:
    sink = EveSink.open("/dev/full")
    with pytest.raises(
        SinkError, match=r"write alert 1 to /dev/full: No space left on device after 0 .*Make room"
    ) as caught:
        sink.write(alert())
    assert (caught.value.written, sink.written) == (0, 0)
    sink.close()


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from contracts_sinks import alert
from juggler.alerts.sink import SinkError
from juggler.alerts.sinks.eve import EveSink
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
sink = EveSink.open(sys.argv[1])
try:
    for n in range(100):
        sink.write(alert(n))
except SinkError as error:
    print(error.written)
"""


def test_a_line_that_does_not_fit_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    arguments = [sys.executable, "-c", LIMITED, str(path), HELPERS]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=300)
    lines = path.read_text().splitlines()
    assert len(lines) == int(done.stdout) > 0
    assert path.read_text().endswith("\n")
    for line in lines:
        valid(line)


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from contracts_sinks import alert
from juggler.alerts.sinks.eve import EveSink
with EveSink.open(sys.argv[1]) as sink:
    for n in range(int(sys.argv[3])):
        sink.write(alert(n + 1, weighed={f"feature{k}": 0.1 for k in range(n % 40)}))
"""


def test_two_writers_share_a_file_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    arguments = [sys.executable, "-c", WRITER, str(path), HELPERS, "400"]
    writers = [subprocess.Popen(arguments) for _ in range(2)]
    assert [w.wait(300) for w in writers] == [0, 0]
    records = [valid(line) for line in path.read_text().splitlines()]
    runs = [next(t for t in r["alert"]["metadata"]["tag"] if t.startswith("run=")) for r in records]
    assert len(records) == 800
    assert len(set(runs)) == 2
    assert all(runs.count(run) == 400 for run in runs[:1])


def test_a_killed_writer_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    arguments = [sys.executable, "-c", WRITER, str(path), HELPERS, "100000000"]
    writer = subprocess.Popen(arguments)
    while not path.exists() or path.stat().st_size < 100_000:
        assert writer.poll() is None
    writer.send_signal(signal.SIGKILL)
    writer.wait(300)
    assert path.read_text().endswith("\n")
    for line in path.read_text().splitlines()[-50:]:
        valid(line)


def test_a_reader_who_hung_up_is_a_broken_pipe() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    sink = EveSink(write_end, "a pipe", owned=True)
    with pytest.raises(BrokenPipeError):
        sink.write(alert())
    sink.close()


def test_a_slow_reader_of_a_non_blocking_pipe_loses_nothing() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    slow = subprocess.Popen(
        [sys.executable, "-c", "import sys, time; time.sleep(0.2); print(len(sys.stdin.readlines()))"],
        stdin=read_end,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(read_end)
    with EveSink(write_end, "a pipe", owned=True) as sink:
        for n in range(500):
            sink.write(alert(n))
    out, _ = slow.communicate(timeout=300)
    assert out.strip() == "500"


@pytest.mark.parametrize("target", ["/nonexistent/folder/eve.json", "/"])
def test_a_target_that_cannot_be_opened_is_refused_with_a_remedy(target: str) -> None:
    with pytest.raises(SinkError, match=r"folder that exists"):
        EveSink.open(target)


@pytest.mark.parametrize("name", SINKS.names())
def test_every_sink_keeps_the_contract(name: str, tmp_path: Path) -> None:
    check_sink(SINKS.get(name), name, tmp_path / "alerts")


def test_the_contract_catches_a_sink_that_does_not_count(tmp_path: Path) -> None:
    class Forgetful(NullSink):
        def write(self, alert: Alert) -> None:
            pass

    with pytest.raises(AssertionError):
        check_sink(Forgetful, "null", tmp_path / "alerts")


def test_a_sink_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'eve'"):
        open_sink("evee")


def test_standard_output_that_is_closed_is_said() -> None:
    code = "from juggler.detect import open_sink; open_sink('eve')"
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", code]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    assert "SinkError: open standard output for alerts: it is closed" in done.stderr


@pytest.mark.parametrize("what", ["moved", "removed", "replaced"])
def test_an_alert_file_that_was_moved_away_is_made_anew(tmp_path: Path, what: str) -> None:
    path, old = tmp_path / "eve.json", tmp_path / "eve.json.1"
    with EveSink.open(path) as sink:
        sink.write(alert(1))
        if what == "removed":
            path.unlink()
        else:
            path.rename(old)
        if what == "replaced":
            path.write_text('{"half":', encoding="utf-8")
        sink.write(alert(2))
        sink.write(alert(3))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [valid(line)["alert"]["metadata"]["tag"][1] for line in lines[-2:]] == ["alert=2", "alert=3"]
    assert len(lines) == (3 if what == "replaced" else 2)
    assert what == "removed" or len(old.read_text(encoding="utf-8").splitlines()) == 1


def test_where_no_new_file_can_be_made_the_moved_one_is_written_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    with EveSink.open(folder / "eve.json") as sink:
        sink.write(alert(1))
        folder.rename(tmp_path / "old")
        sink.write(alert(2))
        assert (tmp_path / "old" / "eve.json").read_text(encoding="utf-8").count("\n") == 2
        (tmp_path / "old" / "eve.json").unlink()
        with pytest.raises(SinkError, match="which was removed"):
            sink.write(alert(3))


def test_reopening_is_for_files(tmp_path: Path) -> None:
    with EveSink.open(tmp_path / "eve.json") as sink:
        assert sink.reopen()
        sink.write(alert(1))
    with EveSink.open("/dev/null") as sink:
        assert not sink.reopen()
    assert not EveSink.open("-").reopen()


def test_addresses_and_ports_have_fields_of_their_own_and_what_is_none_is_a_tag() -> None:
    ends = {"src_ip": "192.0.2.1", "src_port": "1024", "dst_ip": "2001:DB8::1", "dst_port": "several"}
    record = eve_record(alert(context={"time": "2026-01-01 10:00", **ends}))
    valid(json.dumps(record))
    assert (record["src_ip"], record["src_port"], record["dest_ip"]) == ("192.0.2.1", 1024, "2001:db8::1")
    assert "dest_port" not in record
    assert {"time=2026-01-01 10:00", "dst_port=several"} <= {*record["alert"]["metadata"]["tag"]}
    for port in ("70000", "-1", "1e3", "\u0661"):
        assert "src_port" not in eve_record(alert(context={"src_port": port}))
