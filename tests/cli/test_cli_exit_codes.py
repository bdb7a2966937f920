"""The exit codes that are documented are those that occur, each with a message and without a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from commands import PLAN, Program, Workshop, run
from juggler.cli.app import VERBS
from juggler.nouns import Certificate


def test_all_is_well(program: Program, workshop: Workshop, elsewhere: Path) -> None:
    line = ("detect", workshop.csv, "--artefact", workshop.artefact, "--out", "alerts.json")
    done = program(*line, "--summary", "sub/summary.json").check(0, "2,900 records")
    summary = json.loads((elsewhere / "sub" / "summary.json").read_text(encoding="utf-8"))
    assert summary["records"] == 2900 and summary["bad_rows"] == 0 and summary["unwritten"] == 0
    alerts = (elsewhere / "alerts.json").read_text(encoding="utf-8").splitlines()
    assert len(alerts) == 2 * summary["alerts"] > 0, "each alert opens and closes"
    assert done.out == "", "results go to the file, all else to standard error"


def test_alerts_go_to_standard_output_and_nothing_else_does(program: Program, workshop: Workshop) -> None:
    done = program("detect", workshop.csv, "--artefact", workshop.artefact).check(0)
    assert {json.loads(line)["event_type"] for line in done.out.splitlines()} == {"alert"}
    quiet = program("detect", workshop.csv, "--artefact", workshop.artefact, "--sink", "null").check(0)
    assert quiet.out == ""


def test_one_with_fail_on_alert(program: Program, workshop: Workshop) -> None:
    line = ("detect", workshop.csv, "--artefact", workshop.artefact, "--out", "a.json", "--fail-on-alert")
    program(*line).check(1, "alerts")
    program(*line, "--threshold", "1").check(0, "0 alarms in 0 alerts")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("detect {csv} --artefact {artefact} --threshold 1.5", "threshold"),
        ("detect {csv} --artefact {artefact} --threshold nan", "threshold"),
        ("detect {csv} --artefact {artefact} --threshold x", "--threshold"),
        ("detect {csv} --artefact {artefact} --window-records 0", "window_records"),
        ("detect {csv} --artefact {artefact} --window-s nan", "window_s"),
        ("detect {csv} --artefact {artefact} --backend onnxruntim", "Did you mean 'onnxruntime'"),
        ("detect {csv} --artefact {artefact} --sink eva", "Did you mean 'eve'"),
        ("detect {csv} --artefact {artefact} --sink null --summary {csv}/s.json", "s.json"),
        ("detect", "records"),
        ("evaluate {artefact} --set synthetical", "Did you mean 'synthetic'"),
        ("evaluate {artefact} --set synthetic --parts tst", "train, test"),
        ("evaluate {artefact} --set synthetic --parts test --backends onnx", "onnxruntime"),
        ("measure {artefact} --batches 1,x", "batch sizes"),
        ("measure {artefact} --batches 0", "batches"),
        ("measure {artefact} --rounds 0 --backends onnxruntime", "rounds"),
        ("measure {artefact} --threads 0 --backends onnxruntime", "threads"),
        ("measure {csv} --shape 3,32,32", "ending is unknown"),
        ("measure resnet18", "--shape"),
        ("flatten resnet81", "resnet18"),
        ("flatten resnet18 --shape 3,x", "3,224,224"),
        ("flatten resnet18 --shape 1,32,32", "example"),
        ("flatten resnet18 --shape 3,32,32 --policy often", "work"),
        ("train synthetical --plan {plan}", "Did you mean 'synthetic'"),
        ("train nslkdd", "Did you mean 'nsl_kdd'"),
        ("train synthetic --plan {csv}", "TOML"),
        ("train synthetic --plan nowhere.toml", "nowhere.toml"),
        ("train synthetic --plan {plan} --epochs 0", "epochs"),
        ("train synthetic --plan {plan} --false-alarm-rate 2", "false_alarm_rate"),
        ("train synthetic --plan {plan} --features most", "header"),
        ("train synthetic --plan {plan} --accelerator abacus", "abacus"),
        ("train synthetic --plan {plan} --out {csv}", "plan.toml"),
        ("dance", "dance"),
        ("info --jsn", "--jsn"),
    ],
)
def test_two_for_wrong_options(line: str, word: str, program: Program, workshop: Workshop) -> None:
    names = {"csv": workshop.csv, "artefact": workshop.artefact, "plan": workshop.folder / "plan.toml"}
    program(*(part.format(**names) for part in line.split())).check(2, word)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("detect nowhere.csv --artefact {artefact}", "nowhere.csv"),
        ("detect {folder} --artefact {artefact}", "folder"),
        ("evaluate {artefact} --set nsl-kdd", "KDDTest+.txt"),
        ("train nsl-kdd", "JUGGLER_DATA"),
        ("train nsl-kdd --data nowhere", "nowhere"),
    ],
)
def test_three_for_data(line: str, word: str, program: Program, workshop: Workshop) -> None:
    names = {"artefact": workshop.artefact, "folder": workshop.folder}
    program(*(part.format(**names) for part in line.split())).check(3, word)


def test_three_for_another_data_set(program: Program, workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "KDDTest+.txt").write_text("5.1,3.5,1.4,0.2,setosa\n" * 3, encoding="utf-8")
    line = ("evaluate", workshop.artefact, "--set", "nsl-kdd", "--parts", "test", "--data", tmp_path)
    program(*line).check(3, "SHA-256")


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "truncated", "changed", "plain", "text"])
def test_four_for_artefacts(kind: str, program: Program, workshop: Workshop, tmp_path: Path) -> None:
    whole = workshop.artefact.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 3] ^= 1
    contents = {"empty": b"", "truncated": whole[:-100], "changed": bytes(changed), "text": b"hello\n" * 50}
    path = tmp_path / "artefact.onnx"
    if kind == "folder":
        path.mkdir()
    elif kind == "plain":
        program("flatten", "plain18", "--shape", "3,32,32", "--out", path).check(0)
    elif kind != "missing":
        path.write_bytes(contents[kind])
    for line in (("info", path), ("detect", workshop.csv, "--artefact", path), ("evaluate", path)):
        extra = ("--set", "synthetic", "--parts", "test") if line[0] == "evaluate" else ()
        program(*line, *extra).check(4, "artefact.onnx")


@pytest.mark.parametrize("name", ["nowhere.safetensors", "broken.safetensors", "broken.onnx"])
def test_four_for_checkpoints(name: str, program: Program, elsewhere: Path) -> None:
    for broken in ("broken.safetensors", "broken.onnx"):
        (elsewhere / broken).write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    program("flatten", name, "--shape", "1,8,8").check(4, name)
    program("measure", name, "--shape", "1,8,8", "--backends", "onnxruntime").check(4, name)


def test_five_for_what_is_not_installed(program: Program, workshop: Workshop) -> None:
    line = ("detect", workshop.csv, "--artefact", workshop.artefact, "--backend", "tensorrt")
    program(*line).check(5, "not here", "pip install")
    line = ("evaluate", workshop.artefact, "--set", "synthetic", "--parts", "test", "--backends", "tensorrt")
    program(*line).check(5, "pip install")


def test_eight_for_alerts_that_cannot_be_written(program: Program, workshop: Workshop) -> None:
    line = ("detect", workshop.csv, "--artefact", workshop.artefact)
    program(*line, "--out", "/dev/full").check(8, "No space left", "ended by an error")
    program(*line, "--out", "no/such/folder/a.json").check(8, "Name a file in a folder that exists")
    program(*line, "--out", workshop.folder).check(8, "Is a directory")


def test_eight_where_the_results_find_no_room(workshop: Workshop) -> None:
    with Path("/dev/full").open("wb") as full:
        run("info", workshop.artefact, "--json", stdout=full).check(8, "disk is full")
        run("detect", workshop.csv, "--artefact", workshop.artefact, stdout=full).check(8, "No space left")


def test_ten_for_bad_rows(program: Program, workshop: Workshop, tmp_path: Path) -> None:
    lines = workshop.csv.read_text(encoding="utf-8").splitlines()[:60]
    lines[30] = lines[30].replace(",", ",nan,", 1)
    lines[40] = "what [is] this"
    path = tmp_path / "some.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    done = program("detect", path, "--artefact", workshop.artefact, "--out", "a.json")
    done.check(10, "line 31:", "line 41:", "58 records", "2 bad rows")


def test_info_gives_the_certificate_back_whole(program: Program, workshop: Workshop) -> None:
    for path, form in ((workshop.artefact, "flat"), (workshop.wide, "wide")):
        found = json.loads(program("info", path, "--json").check(0).out)
        assert found["form"] == form and found["provenance"]["data"]["synthetic"] is True
        certificate = Certificate.from_dict(found["certificate"])
        assert certificate == workshop.deployed.flattened.certificate
        assert certificate.passed and certificate.classes_compared == 2900
        assert found["provenance"]["weights_sha256"] == workshop.trained.provenance["weights_sha256"]


def test_the_plan_of_the_workshop_is_what_was_trained(workshop: Workshop) -> None:
    assert (workshop.folder / "plan.toml").read_text(encoding="utf-8") == PLAN
    assert workshop.trained.provenance["plan"]["recipe"]["epochs"] == 2


@pytest.mark.parametrize(
    "error", [ValueError("a \x1b[31mfault"), OSError(5, "odd"), RecursionError(), MemoryError()]
)
def test_a_fault_of_our_own_has_a_code_of_its_own(
    program: Program, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> None:
        """Fail."""
        raise error

    get = VERBS.get
    monkeypatch.setattr(VERBS, "get", lambda name: fail if name == "doctor" else get(name))
    done = program("doctor")
    assert done.code == 70 and "Traceback" in done.err and "`juggler doctor` prints" in done.err
    assert "\x1b" not in done.err, "what an error holds is shown, and not obeyed"


def test_twelve_where_a_network_could_not_be_compared_with_its_file(
    program: Program, elsewhere: Path
) -> None:
    """ONNX Runtime has no convolution of doubles: what was read of this file was held against nothing."""
    from onnx import TensorProto, helper  # noqa: PLC0415  # the workshop's

    weight = helper.make_tensor("w", TensorProto.DOUBLE, [4, 3, 3, 3], [0.1] * 108)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "doubles",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 4, 6, 6])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (elsewhere / "doubles.onnx").write_bytes(model.SerializeToString())
    done = program("flatten", "doubles.onnx", "--shape", "3,8,8").check(12)
    assert "NOT COMPARED" in done.out


def test_networks_of_several_inputs_are_measured_beside_what_fails(program: Program, elsewhere: Path) -> None:
    floats, integers, helper = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32, onnx.helper
    ends = [
        helper.make_tensor_value_info(name, kind, ["N", 4])
        for name, kind in (("words", integers), ("picture", floats), ("y", floats))
    ]
    nodes = [
        helper.make_node("Cast", ["words"], ["cast"], to=floats),
        helper.make_node("Hardmax", ["cast"], ["h"]),
    ]
    nodes.append(helper.make_node("Add", ["h", "picture"], ["y"]))
    graph = helper.make_graph(nodes, "g", ends[:2], ends[2:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        elsewhere / "two.onnx",
    )
    line = ("measure", "two.onnx", "--backends", "onnxruntime,torch_eager", "--rounds", "2")
    done = program(*line, "--shape", "4", "--shape", "4").check(0)
    assert "onnxruntime" in done.out and "two on torch_eager was not run: " in done.out
    program(*line).check(0)  # the file's own sizes are fixed
    program(*line, "--shape", "4").check(2, "1 arrays")
