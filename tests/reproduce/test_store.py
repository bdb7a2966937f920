"""What was measured is kept whole, found again, and guarded against a second run."""

from __future__ import annotations

import csv
import io

import pytest

from juggler.errors import ConfigError
from juggler.nouns import Machine
from juggler.reproduce.results import Cell, Comparison, MachineResults, Reproduction, Row, Shape, to_csv
from juggler.reproduce.store import Store, locked, machine_name, slug, write_machine, write_reproduction

MACHINE = Machine("Some(R) CPU 9000 @ 3.00GHz", 4, 8.0, "Linux 6", "3.12.1", {"juggler": "0.1.0"})
ROWS = tuple(Row(name, "onnxruntime", "float32", 2, 10, 1.0, 2.0, 3.0, 4.0, 5.5, 0.25) for name in ("a", "b"))
CELL = Cell(
    name="depth 18",
    case={"depth": 18},
    shapes={"a": Shape(11, 12, 13, 14), "b": Shape(21, 22, 23, 24)},
    rows=ROWS,
    comparisons=(Comparison("b", 2, "a", 2, "onnxruntime", "float32", 1.5, 1.4, 1.6),),
    ceilings={"float32": 44.0},
    rounds=10,
    rejected=1,
)
RESULT = Reproduction("table2", "Table II", "2026-01-01", MACHINE, 20.0, {"paper": False}, (CELL,), ())


def test_a_cell_comes_back_as_it_was(tmp_path):
    store = Store(tmp_path)
    path = store.path("table2", {"threads": 1})
    assert store.read(path) is None
    store.write(path, CELL)
    assert store.read(path) == CELL


def test_what_a_cell_depends_on_tells_it_apart(tmp_path):
    store = Store(tmp_path)
    assert store.path("t", {"threads": 1}) == store.path("t", {"threads": 1})
    assert store.path("t", {"threads": 1}) != store.path("t", {"threads": 2})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": 3}', "\x00\xff"])
def test_a_damaged_cell_is_measured_again(tmp_path, text):
    store = Store(tmp_path)
    path = store.path("t", {})
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    assert store.read(path) is None


def test_two_runs_at_a_time_are_refused(tmp_path):
    with locked(tmp_path), pytest.raises(ConfigError, match="another run"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError), locked(tmp_path / "file" / "below"):
        pass


def test_csv_holds_rows_shapes_and_comparisons(tmp_path):
    lines = list(csv.DictReader(io.StringIO(to_csv(RESULT))))
    assert [line["subject"] for line in lines] == ["a", "b"]
    assert [line["macs"] for line in lines] == ["11", "21"]
    assert [line["times"] for line in lines] == ["", "1.5"]
    assert {line["throughput_per_s"] for line in lines} == {"1000.0"}
    data, table = write_reproduction(RESULT, tmp_path)
    assert Reproduction.from_json(data.read_text(encoding="utf-8")) == RESULT
    assert table.read_text(encoding="utf-8") == to_csv(RESULT)


def test_a_machine_is_one_file_under_its_name(tmp_path):
    path = write_machine([RESULT], "My Machine, 4 cores!", tmp_path)
    assert path.name == "my-machine-4-cores.json"
    found = MachineResults.from_json(path.read_text(encoding="utf-8"))
    assert (found.name, found.reproductions) == ("My Machine, 4 cores!", (RESULT,))


def test_names_of_machines():
    assert machine_name(MACHINE) == "Some 9000, 4 cores"
    assert slug("Ärger & 2 cores") == "rger-2-cores"
    with pytest.raises(ConfigError, match="no letter"):
        slug("...")
