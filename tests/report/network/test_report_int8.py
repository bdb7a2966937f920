"""A certificate that travels with an int8 graph is shown with its figures."""

from __future__ import annotations

import dataclasses

from juggler.nouns import Quantization
from juggler.report.html import tiles
from juggler.report.network import sheets
from juggler.report.story import Story
from report_parts import make_certificate

RECORD = Quantization(
    "a_tool", "1.2", "c" * 64, "openvino", 96, 500, 34.24, 0.01, 497, 500, 20.0, 0.99, ("/0/Conv",)
)


def test_the_figures_stand_in_tile_and_note() -> None:
    proof = dataclasses.replace(make_certificate(), int8=RECORD)
    (tile,) = tiles(Story("int8", certificate=proof))
    assert tile.style == "good"
    assert "int8 34.2 dB (at least 20.0), 99.4 % of 500 classes kept" in tile.detail
    note = sheets.certificate_sheet(proof).note
    assert "Quantised by a_tool 1.2 on 96 inputs; on 500 others: int8 34.2 dB" in note
    assert "in float32: /0/Conv." in note


def test_what_is_beyond_its_budget_fails() -> None:
    for change in ({"signal_to_noise_db": 19.9}, {"classes_agreed": 490}):
        proof = dataclasses.replace(make_certificate(), int8=dataclasses.replace(RECORD, **change))
        assert [tile.style for tile in tiles(Story("int8", certificate=proof))] == ["bad"]


def test_exact_answers_and_answers_without_classes_are_said() -> None:
    exact = dataclasses.replace(
        RECORD, signal_to_noise_db=None, classes_compared=0, classes_agreed=0, spared=()
    )
    proof = dataclasses.replace(make_certificate(), int8=exact)
    note = sheets.certificate_sheet(proof).note
    assert note.endswith("on 500 others: int8 exact (at least 20.0).")


def test_a_certificate_without_int8_says_nothing_of_it() -> None:
    assert "int8" not in sheets.certificate_sheet(make_certificate()).note
