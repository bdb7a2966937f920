"""Reproductions: what was measured and what was published are shown, apart, and sums come out right."""

from __future__ import annotations

import dataclasses
import io
import re
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console
from rich.table import Table

import made_up_results as made_up
from juggler.errors import ConfigError
from juggler.report import gain_table, gains, reproduction_figure, reproduction_table, standalone
from juggler.report.kit import units
from juggler.report.kit.theme import DARK, LIGHT
from juggler.report.reproduction.sheets import gain_sheet, reproduction_sheet

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314  # our own text
    return ["".join(t.itertext()).strip() for t in root.iter(f"{SVG}text")]


def test_table2_shows_rates_the_ceiling_and_published_values_apart() -> None:
    svg = reproduction_figure(made_up.table2(("onnxruntime", "openvino")))
    found = texts(svg)
    assert {"onnxruntime", "openvino", "published", "vgg", "bottleneck+", "230", "150", "220"} <= set(found)
    assert "16,566" in found and "published (NVIDIA V100), on its own scale" in found
    assert "ceiling: a matrix product in the same race" in found
    assert "not run" not in found


def test_the_ceiling_is_drawn_in_multiply_accumulates() -> None:
    """A ceiling of 500 GFLOP/s is 250 GMAC/s: a bar of that rate ends on its line."""
    result = made_up.table2(("onnxruntime",))
    cell = dataclasses.replace(
        result.cells[0], rows=(dataclasses.replace(result.cells[0].rows[0], gmac_per_s=250.0),)
    )
    svg = reproduction_figure(dataclasses.replace(result, cells=(cell,), published=()))
    bar = re.search(rf'<path d="([^"]+)"[^>]*style="fill: var\(--op-conv, {LIGHT["op-conv"]}', svg)
    lines = re.findall(r'<path d="M (\S+) \S+ \nL (\S+) \S+ \n"[^>]*style="[^"]*stroke: var\(--ink', svg)
    assert bar is not None
    edge = max(float(x) for x in re.findall(r"[ML] (\S+) ", bar[1]))
    upright = [float(a) for a, b in lines if a == b]
    assert edge == pytest.approx(min(upright, key=lambda x: abs(x - edge)), abs=0.01)


def test_a_module_that_was_not_run_is_said() -> None:
    result = made_up.table2(("onnxruntime",))
    cell = dataclasses.replace(result.cells[0], rows=result.cells[0].rows[:-1])
    assert texts(reproduction_figure(dataclasses.replace(result, cells=(cell,)))).count("not run") == 1


def test_table3_names_every_convolution() -> None:
    found = texts(reproduction_figure(made_up.table3()))
    assert {f"{k}×{k}, {c}" for k in (1, 3, 5, 7) for c in (512, 1024, 2048)} <= set(found)
    assert found.count("6,003") == 3, "published values stand by kernel and channels"


def test_merging_shows_how_much_slower_with_its_interval_and_the_published_band() -> None:
    found = texts(reproduction_figure(made_up.merge_penalty(("openvino",))))
    words = "1.16 (1.10 to 1.22)   parameters ×1.39 (published ×1.39)"
    assert " ".join(words.split()) in {" ".join(text.split()) for text in found}
    assert "published (NVIDIA V100): 12.5 to 20.7 % slower" in found
    assert "basicblock, openvino" in found and "bottleneck, openvino" in found


def test_fig8_shows_every_backend_size_and_ratio() -> None:
    found = texts(reproduction_figure(made_up.fig8()))
    assert found[0] != "" and {f"{b}: 224 px, batch 1" for b in made_up.BACKENDS[:3]} <= set(found)
    assert "openvino: 256 px, batch 8" in found
    assert found.count("2.10") == 2 * 4, "depths 18 and 34 on onnxruntime, in four cells each"
    assert "published (NVIDIA V100 and Tx2, PyTorch): 2.05 to 4.31" in found
    assert "published besides: up to 3.95 on NVIDIA Tx2; up to 3.17 on TensorRT" in found


def test_fig9_marks_peaks_and_only_dips_that_are_beyond_doubt() -> None:
    result = made_up.fig9()
    found = texts(reproduction_figure(result))
    assert found.count("peak 493 at 66") == 2 and found.count("peak 246 at 66") == 2
    assert found.count("-10.0 %") == 2, "plain at 18, on two backends"
    doubtful = tuple(
        dataclasses.replace(
            cell, comparisons=tuple(dataclasses.replace(c, high=max(c.high, 1.0)) for c in cell.comparisons)
        )
        for cell in result.cells
    )
    assert "-10.0 %" not in texts(reproduction_figure(dataclasses.replace(result, cells=doubtful)))
    said = next(text for text in found if text.startswith("Published (NVIDIA V100)"))
    assert "flat peaks at batch 10" in said and "plain 6.51 % less at batch 18 than at 16" in said


@pytest.mark.parametrize("make", made_up.ALL)
def test_a_picture_can_be_drawn_of_what_little_there_is(make) -> None:
    assert "nothing was run" in texts(reproduction_figure(made_up.bare(make())))


@pytest.mark.parametrize(
    "result",
    [
        made_up.table2(("onnxruntime",)),
        made_up.table3(("openvino",)),
        made_up.merge_penalty(("onnxruntime",)),
        made_up.fig8(("onnxruntime",), (50,), ((64, 1),)),
        made_up.fig9(("onnxruntime",), (4,)),
    ],
    ids=lambda result: result.experiment,
)
def test_one_backend_and_one_cell_are_enough(result) -> None:
    found = texts(reproduction_figure(dataclasses.replace(result, published=())))
    assert any(result.cells[0].rows[0].backend in text for text in found)
    assert not any("published" in text for text in found)


def test_an_experiment_without_a_picture_is_refused() -> None:
    with pytest.raises(ConfigError, match="draw table9"):
        reproduction_figure(dataclasses.replace(made_up.table2(), experiment="table9"))


def test_a_file_of_its_own_brings_both_schemes() -> None:
    drawn = reproduction_figure(made_up.table2())
    file = standalone(drawn)
    assert texts(file) == texts(drawn)
    assert f"--ink:{LIGHT['ink']}" in file and f"--ink:{DARK['ink']}" in file
    assert "prefers-color-scheme:dark" in file


def shown(table: Table, width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None, force_terminal=False).print(table)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("make", made_up.ALL)
def test_tables_fit_with_every_number_whole(make) -> None:
    result = make(("torch_compile",))
    lines = shown(reproduction_table(result), 90)
    assert max(map(len, lines)) <= 90
    sheet = reproduction_sheet(result)
    wanted = {row[i] for row in sheet.rows for i, column in enumerate(sheet.columns) if column.numeric}
    text = " ".join(lines)
    assert all(cell in text for cell in wanted)


def test_rates_stand_beside_published_ones() -> None:
    rows = reproduction_sheet(made_up.table2(("openvino",))).rows
    assert rows[0] == ("vgg", "openvino", "1", "3.70", "16.1", "230", "92", "7.15", "16,566")
    note = " ".join(reproduction_sheet(made_up.table2()).note.split())
    assert "Published: the paper's own, on NVIDIA V100 (Table II)." in note and "batch 32" in note
    table3 = reproduction_sheet(made_up.table3(("openvino",))).rows
    assert next(row for row in table3 if row[0] == "5x5, 1024 channels")[-1] == "6,005"


def test_merging_is_told_as_how_many_times_the_latency() -> None:
    sheet = reproduction_sheet(made_up.merge_penalty(("openvino",)))
    assert sheet.rows[1] == (
        "bottleneck",
        "openvino",
        "15.0",
        "41.4",
        "2.30",
        "2.19-2.42",
        "2.76",
        "2.76",
        "2.76",
    )
    assert sheet.note.startswith("Batch 1. ") and "12.5 to 20.7 % slower" in sheet.note


def test_every_precision_of_fig8_has_a_row() -> None:
    sheet = reproduction_sheet(made_up.fig8(("openvino",), (50,), ((224, 1),)))
    assert [row[4] for row in sheet.rows] == ["float32", "int8"]
    assert sheet.rows[0][:4] == ("50", "224", "1", "openvino") and sheet.rows[0][7] == "2.39"
    assert "2.05 to 4.31 times as fast on NVIDIA V100 and Tx2, PyTorch" in sheet.note


def test_fig9_tells_the_peak_and_the_deepest_dip() -> None:
    rows = reproduction_sheet(made_up.fig9(("openvino",))).rows
    assert rows[0] == ("openvino", "plain", "56", "246", "66", "125", "0.90", "0.87-0.94", "18")
    assert rows[1][:5] == ("openvino", "flat", "56", "493", "66")


def test_an_experiment_without_a_table_is_refused() -> None:
    with pytest.raises(ConfigError, match="show table9"):
        reproduction_sheet(dataclasses.replace(made_up.table2(), experiment="table9"))


def test_the_gain_is_parted_into_work_and_shape() -> None:
    result = made_up.fig8(("openvino",), (50,), ((224, 1),))
    (gain,) = gains(result)
    plain, flat = made_up.MACS[50]
    assert gain.macs == pytest.approx(plain / flat)
    assert gain.shape == pytest.approx(1.05) and gain.times == pytest.approx(gain.macs * gain.shape)
    assert gain.shape_interval == pytest.approx((1.05 * 0.93, 1.05 * 1.08))
    assert gain.kernels == 2 and gain.moved == 2
    found = {name: result.cells[0].row(name, "openvino", 1) for name in ("plain", "flat")}
    assert (gain.plain_share, gain.flat_share) == tuple(row and row.ceiling_share for row in found.values())
    (row,) = gain_sheet(result).rows
    assert row[4:9] == ("2.39", "2.22-2.58", "2.28", "1.05", "0.98-1.13")
    assert "1.05" in " ".join(shown(gain_table(result), 100))


def test_no_gain_is_told_where_the_work_was_not_counted() -> None:
    result = made_up.fig8(("openvino",), (50,), ((224, 1),))
    uncounted = tuple(dataclasses.replace(cell, shapes={}) for cell in result.cells)
    assert gains(dataclasses.replace(result, cells=uncounted)) == ()
    unshared = tuple(
        dataclasses.replace(cell, rows=tuple(dataclasses.replace(r, ceiling_share=None) for r in cell.rows))
        for cell in result.cells
    )
    (row,) = gain_sheet(dataclasses.replace(result, cells=unshared)).rows
    assert row[-2:] == (units.DASH, units.DASH)
