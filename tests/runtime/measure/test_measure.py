"""Measurement: what is asked for is measured or reported as skipped; no test judges a duration."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from juggler.errors import ConfigError, Unavailable
from juggler.runtime.export import export
from juggler.runtime.int8.quantization import quantize
from juggler.runtime.machine import machine
from juggler.runtime.measure.contenders import Entry, Forms, normal, open_contenders
from juggler.runtime.measure.peak import measure_peak, peak_rss_mib
from juggler.runtime.measure.speed import Measured, measure

SHAPE = (2, 6, 6)
QUICK = {"rounds": 3, "min_block_ms": 0.2, "warmup_s": 0.0}


def network(channels: int) -> nn.Module:
    parts = (
        nn.Conv2d(2, channels, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 3),
    )
    return nn.Sequential(*parts).eval()


def test_every_network_backend_and_batch_is_timed(tmp_path: Path) -> None:
    path = export(network(2), torch.zeros(1, *SHAPE), tmp_path / "small.onnx")
    turns: list[tuple[int, int]] = []
    measured = measure(
        {"wide": network(4), "flat": path},
        ["onnxruntime", "torch_eager", "tensorrt"],
        shape=SHAPE,
        batches=(1, 3),
        threads=1,
        progress=lambda value: turns.append((value.done, value.total)),
        **QUICK,  # type: ignore[arg-type]
    )
    wanted = {(s, b, n) for s in ("wide", "flat") for b in ("onnxruntime", "torch_eager") for n in (1, 3)}
    assert {(t.subject, t.backend, t.batch) for t in measured.timings} == wanted
    assert all(0 < t.min_ms <= t.median_ms <= t.p95_ms <= t.p99_ms for t in measured.timings)
    assert all(t.calls >= 3 and t.peak_rss_mib is None for t in measured.timings)
    assert measured.peaks == ()
    assert turns[-1] == (24, 24)
    assert {(s.subject, s.baseline, s.backend, s.batch) for s in measured.speedups} == {
        ("flat", "wide", b, n) for _, b, n in wanted
    }
    assert all(0 < s.low <= s.median <= s.high for s in measured.speedups)
    assert [skip.what for skip in measured.skipped] == ["tensorrt"]
    assert "tensorrt" in measured.skipped[0].reason
    assert measured.skipped[0].remedy
    assert Measured.from_json(measured.to_json()) == measured


def test_the_peak_of_a_network_is_its_own_and_grows_with_it(tmp_path: Path) -> None:
    peaks = []
    for width in (256, 2048):  # weights of 0.25 and of 16 MiB
        module = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)).eval()
        path = export(module, torch.zeros(1, width), tmp_path / f"{width}.onnx")
        peaks.append(measure_peak(path, "onnxruntime", (3, width), threads=1))
    small, large = peaks
    assert (small.subject, small.backend, small.precision, small.batch) == (
        "256",
        "onnxruntime",
        "float32",
        3,
    )
    assert 0 <= small.network_mib < 16 < large.network_mib < large.process_mib
    assert small.network_mib < small.process_mib < large.process_mib
    assert type(small).from_json(small.to_json()) == small


def test_peaks_are_measured_in_every_precision() -> None:
    measured = measure(
        {"small": network(2)},
        ["onnxruntime"],
        shape=SHAPE,
        batches=(1, 2),
        precisions=("float32", "int8"),
        memory=True,
        **QUICK,  # type: ignore[arg-type]
    )
    assert [(p.subject, p.precision, p.batch) for p in measured.peaks] == [
        ("small", "float32", 2),
        ("small", "int8", 2),
    ]
    by_precision = {p.precision: p.process_mib for p in measured.peaks}
    assert all(t.peak_rss_mib == by_precision[t.precision] for t in measured.timings)


def test_peak_memory_is_that_of_a_process_of_its_own() -> None:
    ballast = bytearray(b"x" * (200 << 20))
    measured = measure(
        {"small": network(2)},
        ["onnxruntime"],
        shape=SHAPE,
        memory=True,
        **QUICK,  # type: ignore[arg-type]
    )
    peak = measured.timings[0].peak_rss_mib
    assert peak is not None
    assert 10 < peak < 190, "the ballast of this process must not count"
    assert len(ballast) == 200 << 20


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_text("a text")
    with pytest.raises(Unavailable, match=r"bad\.onnx"):
        peak_rss_mib(tmp_path / "bad.onnx", "onnxruntime", (1, 2))


def test_precisions_are_raced_beside_each_other_and_those_lacking_are_reported(tmp_path: Path) -> None:
    path = export(network(2), torch.zeros(1, *SHAPE), tmp_path / "small.onnx")
    measured = measure(
        {"wide": network(4), "flat": path},
        ["onnxruntime", "torch_eager"],
        shape=SHAPE,
        precisions=("int8", "float32"),
        **QUICK,  # type: ignore[arg-type]
    )
    wanted = {("onnxruntime", "int8"), ("onnxruntime", "float32"), ("torch_eager", "float32")}
    assert {(t.subject, t.backend, t.precision) for t in measured.timings} == {
        (subject, *pair) for subject in ("wide", "flat") for pair in wanted
    }
    assert {(s.subject, s.backend, s.precision) for s in measured.speedups} == {("flat", *p) for p in wanted}
    assert [s.what for s in measured.skipped] == ["torch_eager in int8"]
    assert "torch_eager in int8 was not run" in str(measured.skipped[0])
    assert "onnxruntime" in measured.skipped[0].remedy
    assert Measured.from_json(measured.to_json()) == measured


def test_figures_written_before_there_were_precisions_are_float32() -> None:
    measured = measure({"a": network(2)}, ["onnxruntime"], shape=SHAPE, **QUICK)  # type: ignore[arg-type]
    old = measured.to_dict()
    del old["timings"][0]["precision"]
    assert Measured.from_dict(old) == measured


def test_contenders_can_be_raced_beside_others() -> None:
    options = {"shape": SHAPE, "batches": (1, 2), "precisions": ("float32", "int8")}
    with open_contenders({"a": network(2)}, ["onnxruntime", "tensorrt"], **options) as contenders:  # type: ignore[arg-type]
        wanted = [Entry("a", "onnxruntime", p, n) for p in ("float32", "int8") for n in (1, 2)]
        assert list(contenders.calls) == wanted
        for entry, call in contenders.calls.items():
            (answer,) = call()  # type: ignore[misc]
            assert answer.shape == (entry.batch, 3)
        assert [s.what for s in contenders.skipped] == ["tensorrt"]
    with pytest.raises(ConfigError, match="closed"):
        contenders.calls[wanted[0]]()


def test_a_graph_that_is_quantised_already_is_taken_as_int8() -> None:
    graph = quantize(export(network(2), torch.zeros(1, *SHAPE)), normal((4, *SHAPE), seed=0))
    forms = Forms({"a": graph}, SHAPE)
    assert forms.source("a", "onnx", "int8").graph == graph


def test_nothing_but_unavailable_backends_is_an_empty_result() -> None:
    measured = measure({"small": network(2)}, ["tensorrt"], shape=SHAPE, **QUICK)  # type: ignore[arg-type]
    assert measured.timings == ()
    assert len(measured.skipped) == 1


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"models": {}}, "no models"),
        ({"batches": ()}, "no batches"),
        ({"batches": (0,)}, r"batches \[0\]"),
        ({"batches": (1, 1)}, r"batches \[1, 1\]"),
        ({"precisions": ()}, r"precisions \[\]"),
        ({"precisions": ("int8", "int8")}, "precisions"),
        ({"precisions": ("float8",)}, "no precision 'float8'"),
        ({"shape": (2, 0)}, r"shape \[2, 0\]"),
        ({"backends": ["abacus"]}, "abacus"),
        ({"rounds": 0}, "0 rounds"),
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, object], found: str) -> None:
    options = {"models": {"a": network(2)}, "backends": ["onnxruntime"], "shape": SHAPE, **QUICK, **change}
    with pytest.raises(ConfigError, match=found):
        measure(**options)  # type: ignore[arg-type]


def test_the_machine_is_described() -> None:
    found = machine()
    assert found.cpu
    assert found.cores >= 1
    assert found.memory_gib > 0
    assert found.packages["torch"] == version("torch")  # torch.__version__ may name a build of it besides
    assert type(found).from_json(found.to_json()) == found


def graph_with(kind: str, batch: int | str) -> bytes:
    floats, helper = onnx.TensorProto.FLOAT, onnx.helper
    ends = [helper.make_tensor_value_info(name, floats, [batch, 4, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def test_a_backend_that_fails_loses_only_its_own_row() -> None:
    models = {
        "fixed": graph_with("Relu", 1),
        "free": graph_with("Relu", "N"),
        "odd": graph_with("Hardmax", "N"),
    }
    backends = ["onnxruntime", "torch_eager"]
    measured = measure(models, backends, shape=(4, 4), batches=(1, 3), **QUICK)  # type: ignore[arg-type]
    timed = {(t.subject, t.backend, t.batch) for t in measured.timings}
    assert {("free", name, batch) for name in backends for batch in (1, 3)} <= timed
    assert {("odd", "onnxruntime", 1), ("odd", "onnxruntime", 3), ("fixed", "onnxruntime", 1)} <= timed
    reasons = {skip.what: skip.reason for skip in measured.skipped}
    assert "Hardmax" in reasons["odd on torch_eager"]
    assert "shape [3, 4, 4]" in reasons["fixed on onnxruntime at batch 3"]
    assert {(s.subject, s.batch) for s in measured.speedups if s.backend == "onnxruntime"} == {
        ("free", 1),
        ("odd", 1),
    }, "what the first one was not timed at has no speed-up"


def test_where_nothing_runs_the_first_reason_is_the_error() -> None:
    with pytest.raises(ConfigError, match=r"shape \[3, 4, 4\]"):
        measure({"a": graph_with("Relu", 1)}, ["onnxruntime"], shape=(4, 4), batches=(3,), **QUICK)  # type: ignore[arg-type]


class Words(nn.Module):
    """Takes words and a picture; returns a dict."""

    def forward(self, words: torch.Tensor, picture: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"score": words.to(torch.float32).mean(1) + picture.mean((1, 2, 3))}


def test_networks_of_several_inputs_and_integers_are_timed(tmp_path: Path) -> None:
    example = (torch.zeros(1, 6, dtype=torch.int64), torch.zeros(1, *SHAPE))
    path = export(Words().eval(), example, tmp_path / "words.onnx")
    options = {"shape": ((6,), SHAPE), "batches": (2,), "memory": True, **QUICK}
    module = measure({"module": Words().eval()}, ["torch_eager"], dtypes=("int64", "float32"), **options)  # type: ignore[arg-type]
    file = measure({"file": path}, ["onnxruntime", "openvino"], **options)  # type: ignore[arg-type]
    assert [(t.subject, t.backend) for t in (*module.timings, *file.timings)] == [
        ("module", "torch_eager"),
        ("file", "onnxruntime"),
        ("file", "openvino"),
    ]
    assert len(file.peaks) == 2 and all(peak.process_mib > 0 for peak in file.peaks)
