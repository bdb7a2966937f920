"""Layer times of Justus et al. (2018), TensorFlow on two GPUs: third-party data to try learners on.

D. Justus, J. Brennan, S. Bonner, A. S. McGough: Predicting the Computational Cost of Deep Learning Models.
IEEE Big Data 2018; data under Apache-2.0. Inference rows, in float32. Each time is the median of a few runs.
The columns come as `juggler.predict.kernels.table.KernelTable` names them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from juggler.arrays import Floats
from juggler.data.source import RemoteFile, Source
from juggler.errors import ConfigError, DataError
from juggler.reading.request import Request
from juggler.reading.tables import open_table

CITATION = "Justus et al., Predicting the Computational Cost of Deep Learning Models, IEEE Big Data 2018"
LICENCE = "Apache-2.0"
FILES = {
    ("conv", "1080ti"): RemoteFile(
        "convolution_1080ti.parquet", "0afa678689072d332aa48079610e4400e8a5848b88cfa858d43d853c8d4a6fef", ()
    ),
    ("conv", "p100"): RemoteFile(
        "convolution_P100.parquet", "77c6ca12b6384a3ae5e21150e9d361ae3ac2f80f44421686a01a76d5d81859db", ()
    ),
    ("dense", "1080ti"): RemoteFile(
        "dense_1080ti.parquet", "a8a79facfaf1f8c06fa80f1b0b4ba8b8de3fee24dedce4de0cedff26b5dc5f07", ()
    ),
}
_ACTIVATIONS = {"act_None": "none", "act_relu": "relu", "act_sigmoid": "sigmoid", "act_tanh": "tanh"}
_TIMES = ("timeUsed_median", "timeUsed_std", "batchsize")
_CONV = ("matsize", "kernelsize", "channels_in", "channels_out", "strides", "padding", "use_bias")
_DENSE = ("dim_input", "dim_output")


@dataclass(frozen=True, eq=False)
class LayerTimes:
    """Layers of one family, and what they took on one GPU.

    Attributes:
        family: `conv` or `dense`.
        device: `1080ti` or `p100`.
        columns: by name, `[n]`: what the layers are.
        latency_ms: `[n]`, the median over runs.
        spread_ms: `[n]`, the standard deviation over runs: how noisy a label is, never a feature.
        sha256: of the file.
    """

    family: str
    device: str
    columns: dict[str, npt.NDArray[np.generic]]
    latency_ms: Floats
    spread_ms: Floats
    sha256: str

    def __len__(self) -> int:
        return len(self.latency_ms)


def read_layer_times(family: str, device: str, source: Source | None = None) -> LayerTimes:
    """Read the times of a family's layers on a GPU.

    Raises:
        ConfigError: no such family or GPU; the message lists those there are.
        DataNotFound: no place that the source looks in holds the file.
        DataError: the file has another digest than expected, or is no such table.
    """
    file = FILES.get((family, device.lower()))
    if file is None:
        known = ", ".join(f"{f} on {d}" for f, d in FILES)
        raise ConfigError(f"read times of {family!r} layers on {device!r}", "there are none", f"Take {known}")
    copy = (source or Source()).fetch(file)
    with open_table(copy.data, Request(f"read {copy.origin}", "Fetch it again", DataError)) as content:
        table = content.read()
    names = (*_TIMES, *_ACTIVATIONS, *(_CONV if family == "conv" else _DENSE))
    missing = sorted(set(names) - set(table.column_names))
    if missing:
        raise DataError(f"read {copy.origin}", f"no columns {', '.join(missing)}", "Fetch it again")
    raw = {name: table[name].to_numpy().astype(np.float64) for name in names}
    columns = _convolutions(raw) if family == "conv" else _dense(raw)
    columns |= {"batch": raw["batchsize"], "activation": _activations(raw)}
    times = raw["timeUsed_median"], raw["timeUsed_std"]
    return LayerTimes(family, device.lower(), columns, *times, copy.sha256)


def _convolutions(raw: dict[str, Floats]) -> dict[str, npt.NDArray[np.generic]]:
    columns: dict[str, npt.NDArray[np.generic]] = {
        **{"in_channels": raw["channels_in"], "out_channels": raw["channels_out"], "bias": raw["use_bias"]},
        **{name: raw["matsize"] for name in ("height", "width")},
        **{f"kernel_{side}": raw["kernelsize"] for side in ("height", "width")},
        **{f"stride_{side}": raw["strides"] for side in ("height", "width")},
    }
    before, after = same_pads(raw["matsize"], raw["kernelsize"], raw["strides"])
    same = raw["padding"] == 1.0
    columns |= {name: np.where(same, before, 0.0) for name in ("pad_top", "pad_left")}
    return columns | {name: np.where(same, after, 0.0) for name in ("pad_bottom", "pad_right")}


def same_pads(size: Floats, kernel: Floats, stride: Floats) -> tuple[Floats, Floats]:
    """Return the zeros before and after that TensorFlow's padding `same` adds; the odd one goes after."""
    total = np.maximum((np.ceil(size / stride) - 1.0) * stride + kernel - size, 0.0)
    before = np.floor(total / 2.0)
    return before, total - before


def _dense(raw: dict[str, Floats]) -> dict[str, npt.NDArray[np.generic]]:
    return {"in_channels": raw["dim_input"], "out_channels": raw["dim_output"]}


def _activations(raw: dict[str, Floats]) -> npt.NDArray[np.str_]:
    flags = np.stack([raw[name] for name in _ACTIVATIONS], axis=1)
    words: npt.NDArray[np.str_] = np.array(list(_ACTIVATIONS.values()))[flags.argmax(axis=1)]
    return words
