import math
from importlib.metadata import distribution

import pytest

from juggler.errors import ConfigError
from juggler.survey import Amount, Survey
from juggler.survey.published import accuracy, note, paper
from juggler.survey.run import estimated_power
from made_up_survey import made_up_survey


@pytest.mark.parametrize(
    ("value", "origin", "source", "words"),
    [
        (1.0, "guessed", "me", "origin 'guessed'"),
        (None, "measured", "a clock", "Give a number with its source"),
        (1.0, "unavailable", "no clock", "Give a number with its source"),
        (1.0, "measured", "", "Give a number with its source"),
        (math.nan, "measured", "a clock", "finite"),
    ],
)
def test_a_figure_without_origin_or_number_is_refused(value, origin, source, words):
    with pytest.raises(ConfigError, match=words):
        Amount(value, origin, source)


def test_power_is_energy_over_time():
    energy, time = Amount(6.0, "modelled", "a device"), Amount(3.0, "measured", "here", 2.0, 4.0)
    found = estimated_power(energy, time, Amount.none("no meter"))
    assert (found.value, found.low, found.high) == (2.0, 1.5, 3.0)
    assert found.origin == "estimated"
    assert all(words in found.source for words in ("modelled", "measured", "a device", "no meter"))


def test_there_is_no_power_without_a_time():
    found = estimated_power(Amount(6.0, "modelled", "x"), Amount.none("no time"), Amount.none("no meter"))
    assert (found.value, found.origin, found.source) == (None, "unavailable", "no time")


def test_the_papers_table_is_as_printed():
    printed = {
        "alexnet_grouped": (52.09, 76.06, 60.96, 1.27, 90.81, None),
        "vgg16": (64.27, 85.59, 138.36, 31.06, 818.54, 200),
        "vgg19": (64.73, 85.88, 143.67, 39.40, 1010, 215),
        "resnet50": (67.99, 88.35, 25.64, 7.80, 332.2, 145),
        "resnet152": (70.63, 89.78, 60.50, 22.83, 808.51, 155),
        "inceptionv3": (76.27, 93.75, 23.85, 11.51, 740.8, 175),
        "xception": (77.52, 93.03, 22.91, 16.87, 709.34, 145),
    }
    keys = ("top1", "top5", "parameters_m", "gflop", "latency_ms", "power_w")
    for name, row in printed.items():
        found = paper(name)
        assert tuple(found[key].value if key in found else None for key in keys) == row
        assert all(
            amount.origin == "quoted" and "Table I, Fig. " in amount.source for amount in found.values()
        )
    assert "1.45" in note("alexnet_grouped")
    assert paper("mine") == {} == accuracy("mine")


def test_quoted_accuracies_are_those_of_the_tables_that_are_named():
    pytest.importorskip("pytorchcv.models.resnet")
    package = distribution("pytorchcv")
    if package.version != "0.0.74":
        pytest.skip("another release of pytorchcv, whose table may have changed")
    rows: dict[str, list[str]] = {}
    for line in (package.read_text("METADATA") or "").splitlines():
        cells = line.split("|")
        if len(cells) > 6:
            rows.setdefault(cells[1].strip(), cells)  # ImageNet's table comes first
    names = {
        "alexnet": "AlexNet",
        "vgg16": "VGG-16",
        "vgg19": "VGG-19",
        "resnet50": "ResNet-50",
        "resnet152": "ResNet-152",
        "inceptionv3": "InceptionV3",
        "xception": "Xception",
    }
    for name, told in names.items():
        found = accuracy(name)
        assert found["top1"].value == pytest.approx(100 - float(rows[told][2])), name
        assert found["top5"].value == pytest.approx(100 - float(rows[told][3])), name
        assert "pytorchcv 0.0.74" in found["top1"].source


def test_a_survey_is_read_back_as_it_was_written():
    found = made_up_survey()
    assert Survey.from_json(found.to_json()) == found
