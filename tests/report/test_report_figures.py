"""Figures: the marks stand where the numbers say."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import matplotlib as mpl
import pytest

from juggler.nouns import Timing
from juggler.report import certificate_figure, confusion_figure, curve_figure, latency_figure
from juggler.report.detector.figures import thinned
from juggler.report.kit.theme import DARK, LIGHT, subject_colours
from report_parts import make_certificate, make_scores, make_timing

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314  # our own text
    return ["".join(t.itertext()).strip() for t in root.iter(f"{SVG}text")]


def test_latency_shows_every_median_and_one_panel_a_batch() -> None:
    timings = [
        make_timing(s, b, n, m)
        for s, b, n, m in (
            ("wide", "onnxruntime", 1, 0.412),
            ("flat", "onnxruntime", 1, 0.127),
            ("wide", "onnxruntime", 16, 3.21),
            ("flat", "openvino", 16, 1.13),
        )
    ]
    found = texts(latency_figure(timings))
    assert {"0.412", "0.127", "3.21", "1.13", "batch 1", "batch 16", "wide", "flat"} <= set(found)
    assert found.count("milliseconds a call") == 2
    assert {"onnxruntime", "openvino"} <= set(found)


def test_latency_bars_are_as_long_as_their_medians() -> None:
    svg = latency_figure([make_timing("wide", "a", 1, 0.8), make_timing("flat", "a", 1, 0.2)])
    lengths = {}
    for subject in ("wide", "flat"):
        colour = re.escape(f"fill: var(--{subject}, ")
        paths = re.findall(rf'<path d="([^"]+)"[^>]*style="{colour}', svg)
        xs = [float(x) for x in re.findall(r"[ML] (\S+) ", max(paths, key=len))]
        spans = [
            max(v) - min(v) for v in ([float(x) for x in re.findall(r"[ML] (\S+) ", p)] for p in paths) if v
        ]
        assert xs
        lengths[subject] = max(spans)
    assert lengths["wide"] == pytest.approx(4 * lengths["flat"], rel=1e-3)


def test_a_timing_of_a_whole_zero_does_not_break_the_axis() -> None:
    zero = Timing("wide", "none", 1, 10, 0.0, 0.0, 0.0, 0.0)
    assert "batch 1" in texts(latency_figure([zero]))


def test_confusion_shows_counts_and_row_per_cent() -> None:
    found = texts(confusion_figure(make_scores(), ("normal", "dos")))
    assert {"49", "98.0 %", "1", "2.0 %", "14", "20.0 %", "56", "80.0 %"} <= set(found)
    empty = make_scores(confusion=((0, 0), (1, 3)))
    assert "–" in texts(confusion_figure(empty, ("normal", "dos")))


def test_alike_curves_are_drawn_once_and_counted() -> None:
    scores = [("flat", make_scores()), ("wide", make_scores()), ("other", make_scores(detection_rate=0.5))]
    found = texts(curve_figure(scores))
    assert "flat (+1 alike)" in found and "other" in found and "wide" not in found
    assert {"1 %", "10 %", "100 %"} <= set(found)


def test_thinning_keeps_the_shape_and_both_ends() -> None:
    curve = [(i / 20000, (i / 20000) ** 0.1) for i in range(20001)]
    kept = thinned(curve, 1e-4)
    assert len(kept) < 1500
    assert kept[0] == (1e-4, pytest.approx((2 / 20000) ** 0.1)) and kept[-1] == (1.0, 1.0)
    assert all(b[0] >= a[0] and b[1] >= a[1] for a, b in pairwise(kept))


def test_an_error_beyond_its_limit_is_drawn_in_another_colour() -> None:
    good, bad = certificate_figure(make_certificate()), certificate_figure(make_certificate(error=1e-3))
    assert "var(--bad" not in good and "var(--bad" in bad
    assert {"inside", "border", "output", "0", "10⁻¹²"} <= set(texts(good))


def test_a_certificate_of_exact_zeros_can_be_drawn() -> None:
    proof = make_certificate()
    zeros = tuple(dataclasses.replace(c, inside=0.0, border=0.0, output=0.0) for c in proof.checks)
    assert "0" in texts(certificate_figure(dataclasses.replace(proof, checks=zeros)))


def test_figures_leave_the_global_settings_alone() -> None:
    before = dict(mpl.rcParams)
    curve_figure([("a", make_scores())])
    assert dict(mpl.rcParams) == before


def test_both_schemes_name_the_same_colours_and_light_ones_are_distinct() -> None:
    assert set(LIGHT) == set(DARK)
    assert len(set(LIGHT.values())) == len(LIGHT)


def test_the_wide_network_is_always_grey() -> None:
    colours = subject_colours(("flat", "wide", "int8"))
    assert colours["wide"] == LIGHT["wide"] and len(set(colours.values())) == 3
