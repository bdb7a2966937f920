"""What ResPerfNet published, read from the package's own file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from juggler.reading.documents import parse_toml
from juggler.reading.request import Request

PHASES = ("pre", "exec", "post")
LAYERS = ("conv", "pool", "dense")  # the paper's convolutional, pooling and dense ones
# The paper's column of each learner; what is tuned or new here has none there.
COLUMN = {
    "polynomial": "polynomial",
    "svr": "svr",
    "xgboost_raw": "xgboost",
    "perfnet": "perfnet",
    "resperfnet_paper": "resperfnet",
}


@dataclass(frozen=True)
class PublishedErrors:
    """What one phase of one layer's predictor reached, as printed.

    Attributes:
        table: where it stands.
        framework: that ran the layers.
        device: that they ran on.
        family: of the layers.
        phase: `pre`, `exec` or `post`.
        mape: in percent.
        rmse_ms: in milliseconds.
        mae_ms: in milliseconds.
    """

    table: str
    framework: str
    device: str
    family: str
    phase: str
    mape: float
    rmse_ms: float
    mae_ms: float


@lru_cache(maxsize=1)
def published() -> dict[str, Any]:
    """Return the whole file."""
    text = files("juggler.report").joinpath("resperfnet.toml").read_text(encoding="utf-8")
    return parse_toml(text, Request("read what was published", "Install juggler again"))


def published_layers() -> tuple[PublishedErrors, ...]:
    """Return Tables 2 and 5 to 8, and TensorRT's of appendix H, a row a layer and phase."""
    return tuple(
        PublishedErrors(
            layer["table"], layer["framework"], layer["device"], family, phase, *layer[family][phase]
        )
        for layer in published()["layers"]
        for family in LAYERS
        for phase in PHASES
    )


def published_learners(learner: str) -> dict[str, float]:
    """Return the MAPE in percent that Table 1 gives for a learner, by framework."""
    column = COLUMN.get(learner, "")
    return {str(row["framework"]): float(row[column]) for row in published()["table1"] if column in row}
