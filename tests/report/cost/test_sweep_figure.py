import re
import xml.etree.ElementTree as ET

import pytest

from juggler.cost.hardware.gemm import network_gemms
from juggler.cost.hardware.sweep import sweep, widest_within
from juggler.cost.workloads import resnet
from juggler.errors import ConfigError
from juggler.report.cost.sweep import sweep_figure

NETWORK = network_gemms(list(resnet(18).values()))


def test_a_sweep_is_drawn_with_its_best_arrays():
    found = sweep(NETWORK, *widest_within(1024))
    svg = sweep_figure(found)
    ET.fromstring(svg)  # noqa: S314  # our own
    best = found.best()
    assert f"{best.dataflow.replace('_', ' ')}: " in svg
    assert f"at {best.rows}×{best.columns}" in svg
    assert "rows of an array of 1,024 elements" in svg
    bare = re.findall(r"#[0-9a-f]{6}\b", re.sub(r"var\([^)]*\)", "", svg))
    assert not bare, "colours are the page's"
    assert svg == sweep_figure(found)


def test_one_number_of_rows_is_no_curve():
    with pytest.raises(ConfigError, match="only arrays of 8 rows"):
        sweep_figure(sweep(NETWORK, [8, 8], [4, 8]))
