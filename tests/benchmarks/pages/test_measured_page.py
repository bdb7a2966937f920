from __future__ import annotations

import json
from pathlib import Path

import pytest

import made_up_results as made_up
from benchmarks import machine_files
from benchmarks.pages import measured_besides, measured_page, measured_tables
from juggler.errors import DataError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path):
    """Return a copy of the page without results, and an empty folder for machines, as options."""
    page = tmp_path / "measured.md"
    markers = "\n".join(f"<!-- {name}:begin -->\nold\n<!-- {name}:end -->" for name in BLOCKS)
    page.write_text(f"before\n{markers}\nafter\n")
    (tmp_path / "machines").mkdir()
    return ["--page", str(page), "--machines", str(tmp_path / "machines")]


BLOCKS = (
    *("machines", "table2", "table3", "merge_penalty", "fig8", "fig9"),
    *("gain", "precisions", "memory", "ceiling", "layers", "energy", "remarks"),
)


def add(folder: Path, slug: str, name: str) -> Path:
    path = folder / "machines" / f"{slug}.json"
    path.write_text(made_up.results(name).to_json())
    return path


def section(text: str, name: str) -> list[str]:
    start, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    return text[text.index(start) + len(start) : text.index(end)].strip().splitlines()


def row(text: str, name: str, *cells: str) -> list[str]:
    """Return the cells of the first row of a block's tables that begins with these."""
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section(text, name)]
    return next(row for row in rows if tuple(row[: len(cells)]) == cells)


def test_the_page_agrees_with_the_machines_files(capsys):
    assert measured_page.main(["--check"]) == 0, capsys.readouterr().err


def test_without_a_machine_every_block_says_so(place, tmp_path):
    assert measured_page.main(place) == 0
    text = (tmp_path / "measured.md").read_text()
    assert text.count("*No machine has been measured yet.*") == len(BLOCKS) and "old" not in text
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert measured_page.main([*place, "--check"]) == 0


def test_check_writes_nothing_and_sees_every_drift(place, tmp_path, capsys):
    main, page = measured_page.main, tmp_path / "measured.md"
    file = add(tmp_path, "one", "Machine one")
    assert main([*place, "--check"]) == 1
    assert "old" in page.read_text() and not (tmp_path / "measured").exists()
    assert main(place) == 0 and main([*place, "--check"]) == 0
    drawn = sorted(path.name for path in (tmp_path / "measured").iterdir())
    assert drawn == [f"{n}-one.svg" for n in ("fig8", "fig9", "layers", "merge-penalty", "table2", "table3")]

    good = page.read_text()
    page.write_text(good.replace("**230**", "**330**"))
    assert main([*place, "--check"]) == 1 and "measured.md" in capsys.readouterr().err
    page.write_text(good)

    picture = tmp_path / "measured" / "fig8-one.svg"
    kept = picture.read_text()
    picture.unlink()
    assert main([*place, "--check"]) == 1 and "fig8-one.svg" in capsys.readouterr().err
    picture.write_text(kept)
    (tmp_path / "measured" / "fig8-gone.svg").write_text(kept)
    assert main([*place, "--check"]) == 1 and "fig8-gone.svg" in capsys.readouterr().err
    (tmp_path / "measured" / "fig8-gone.svg").unlink()

    values = json.loads(file.read_text())
    values["reproductions"][3]["settings"]["most_rounds"] = 7  # shown in no table
    file.write_text(json.dumps(values))
    assert main([*place, "--check"]) == 1, "the picture is of other results"


def test_published_values_come_first_and_machines_after(place, tmp_path):
    add(tmp_path, "one", "Machine one")
    add(tmp_path, "two", "Two | <b>")
    assert measured_page.main(place) == 0
    text = (tmp_path / "measured.md").read_text()
    head = row(text, "table2", "what")
    assert head[3:] == ["published: NVIDIA V100, batch 32", "Machine one", "Two \\| &lt;b&gt;"]
    ours = "**230** (16.1 ms, 92 %)"
    assert row(text, "table2", "vgg", "onnxruntime", "1")[3:] == ["16,566 (7.15 ms)", ours, ours]
    penalty = row(text, "merge_penalty", "bottleneck")
    assert penalty[1] == "×2.76, ×2.76" and penalty[4] == "1.125 to 1.207; parameters ×2.76"
    assert penalty[5] == "**2.30** (2.19 to 2.42)"
    fig8 = row(text, "fig8", "50", "224", "1", "2.28", "openvino")
    assert fig8[5:7] == ["2.05 to 4.31", "**2.48** (2.31 to 2.68)"]
    assert section(text, "fig8")[0].startswith("![Made-up fig8, Machine one](measured/fig8-one.svg)")
    assert "(measured/fig8-two.svg)" in "\n".join(section(text, "fig8"))


def test_fig9_compares_peaks_and_dips_with_the_published_ones(place, tmp_path):
    add(tmp_path, "one", "Machine one")
    measured_page.main(place)
    text = (tmp_path / "measured.md").read_text()
    found = {
        what: row(text, "fig9", "openvino", "56", what)[3:]
        for what in (
            "plain: batch of its peak",
            "plain: 18 over 16",
            "flat at its peak over plain at its own",
            "plain: dips at 2^n + 2 beyond doubt",
            "flat: dips at 2^n + 2 beyond doubt",
        )
    }
    assert list(found.values()) == [
        ["64 (V100), 48 (Tx2)", "**66** (246 inputs/s)"],
        ["0.935 (V100), 0.901 (Tx2)", "**0.90** (0.87 to 0.94)"],
        ["3.22 (V100), 1.38 (Tx2)", "**2.00**"],
        ["–", "18 (-10.0 %)"],
        ["–", "none"],
    ]


def test_what_the_paper_lacks_is_told_too(place, tmp_path):
    add(tmp_path, "one", "Machine one")
    measured_page.main(place)
    text = (tmp_path / "measured.md").read_text()
    gain = row(text, "gain", "18", "224", "1", "openvino")
    assert gain[4:] == ["2.18", "2.03-2.35", "2.00", "1.09", "1.01-1.18", "2.00", "2.00", "80", "87"]
    assert "×2.00 its float32, ×2.39 plain" in row(text, "precisions", "50", "224", "1", "onnxruntime")[5]
    assert row(text, "memory", "50")[5] == "plain 300 (120), flat 300 (120), wide 300 (120)"
    assert row(text, "ceiling", "Machine one", "openvino")[3] == "87 % (87 to 87)"
    layer = row(text, "layers", "stem: 7x7, 3 to 64, 224 px", "openvino", "1")
    assert layer[3:] == ["**100** (4.00 ms, 40 %)"], "no published column where the paper has nothing"
    assert section(text, "energy")[0].startswith("- Machine one: no meter")
    assert "- not run: bfloat16 on openvino (6 races): the processor has no AMX" in section(text, "remarks")
    assert row(text, "machines", "Machine one (2026-01-02)")[4:] == [
        *("small, 2", "float32 497, int8 1,000", "11.0"),
    ]


def test_energy_is_shown_where_there_is_a_meter(place, tmp_path):
    values = made_up.results("Metered").to_dict()
    fig8 = next(r for r in values["reproductions"] if r["experiment"] == "fig8")
    fig8["cells"][0]["rows"][0]["energy_mj"] = 123.4
    (tmp_path / "machines" / "metered.json").write_text(json.dumps(values))
    measured_page.main(place)
    text = (tmp_path / "measured.md").read_text()
    assert row(text, "energy", "18", "224", "1", "onnxruntime")[5] == "plain 123 mJ"
    assert "no meter" not in text


def test_a_flat_network_below_its_share_is_named():
    values = made_up.results("Slow").to_dict()
    fig8 = next(r for r in values["reproductions"] if r["experiment"] == "fig8")
    slow = next(r for r in fig8["cells"][2]["rows"] if (r["subject"], r["precision"]) == ("flat", "float32"))
    slow["ceiling_share"] = 0.5
    column = machine_files.Column("slow", made_up.MachineResults.from_dict(values))
    table = measured_besides.ceiling([column])
    assert "1: depth 34, 224 px, batch 1 |" in table and "(50 to 84)" in table


def spoil(values, *path, value):
    *way, last = path
    for step in way:
        values = values[step]
    values[last] = value


FIRST_ROW = ("reproductions", 0, "cells", 0, "rows", 0)
FAULTS = {
    "another format": (("format",), "juggler.measured/0", "not of format"),
    "no name": (("name",), " ", "name of 1 to 80"),
    "unknown experiment": (("reproductions", 0, "experiment"), "table9", "unknown experiment 'table9'"),
    "one twice": (("reproductions", 1, "experiment"), "table2", "table2 is there twice"),
    "text for a number": ((*FIRST_ROW, "median_ms"), "fast", "'fast' is no float"),
    "infinite": ((*FIRST_ROW, "p99_ms"), float("inf"), "Infinity is not a number"),
    "not a number": ((*FIRST_ROW, "gmac_per_s"), float("nan"), "NaN is not a number"),
    "overflowing": (("reproductions", 0, "bandwidth_gb_per_s"), "1e999", "is no float"),
    "out of order": ((*FIRST_ROW, "p95_ms"), 0.001, "not positive and in order"),
    "negative": ((*FIRST_ROW, "batch"), -1, "must be positive"),
    "truth for a count": ((*FIRST_ROW, "calls"), True, "True is no int"),
    "unknown precision": ((*FIRST_ROW, "precision"), "float4", "'float4'"),
    "unknown field": ((*FIRST_ROW, "extra"), 1, "unknown fields ['extra']"),
    "a list for a row": (FIRST_ROW, [1], "a list where its fields belong"),
    "no work": (("reproductions", 0, "cells", 0, "shapes", "vgg"), [], "a list where its fields belong"),
    "outside": (
        ("reproductions", 3, "cells", 0, "comparisons", 0, "low"),
        9.0,
        "not within its own interval",
    ),
    "another network": (
        ("reproductions", 3, "cells", 0, "rows", 0, "subject"),
        "mine",
        "unknown network 'mine'",
    ),
    "a home": (("reproductions", 3, "cells", 0, "not_run", 0, "why"), "/home/me/x.so", "home folder"),
}


@pytest.mark.parametrize(("path", "value", "said"), FAULTS.values(), ids=FAULTS)
def test_a_bad_file_is_refused_by_name(  # noqa: PLR0917  # fixtures
    path, value, said, place, tmp_path, capsys
):
    values = json.loads(made_up.results().to_json())
    spoil(values, *path, value=value)
    text = json.dumps(values).replace('"1e999"', "1e999")
    (tmp_path / "machines" / "bad.json").write_text(text)
    assert measured_page.main(place) == 1
    told = capsys.readouterr().err
    assert told.startswith("read bad.json: ") and said in told
    assert "old" in (tmp_path / "measured.md").read_text(), "nothing was written"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "juggler.measured/1"}', "\udcff"])
def test_what_is_no_result_is_refused(text, tmp_path):
    path = tmp_path / "odd.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=r"odd\.json"):
        machine_files.read_machine(path)


def test_names_of_files_and_machines_are_held_apart(tmp_path):
    (tmp_path / "machines").mkdir()
    add(tmp_path, "one", "The same")
    add(tmp_path, "two", "The same")
    with pytest.raises(DataError, match="another machine is called 'The same' too"):
        machine_files.read_machines(tmp_path / "machines")
    with pytest.raises(DataError, match="small letters"):
        machine_files.read_machine(add(tmp_path, "Two machines", "Other"))


def test_a_page_without_a_marker_is_refused(place, tmp_path, capsys):
    page = tmp_path / "measured.md"
    page.write_text(page.read_text().replace("<!-- fig9:end -->", ""))
    assert measured_page.main(place) == 1
    assert "where fig9 goes" in capsys.readouterr().err


def test_names_cannot_bring_markup_into_the_page():
    escaped = measured_tables.escaped
    assert escaped("<script>|`a`|") == "&lt;script&gt;\\|\\`a\\`\\|"
    assert escaped("![x](y)\n") == "\\!\\[x\\](y)\ufffd"
