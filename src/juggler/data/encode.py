"""Encode records as small images: one cell a feature, its code across the channels.

The encoder is fitted on training records, by type, and travels with the artefact as JSON.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from juggler.data.codes import CHANNELS, Code, fit_code, lines_of, neutral_image
from juggler.data.records import Records, TrainRecords
from juggler.errors import ConfigError, DataError
from juggler.nouns import Noun

_BATCH = 2048


class _Plan(NamedTuple):
    """The codes as arrays over all cells: a cell of a word or of nothing has `low` and `slope` 0."""

    number_rows: NDArray[np.intp]
    number_cells: NDArray[np.intp]
    count_rows: NDArray[np.intp]
    low: NDArray[np.float32]
    slope: NDArray[np.float32]
    words: tuple[tuple[int, int, NDArray[np.float32]], ...]


@dataclass(frozen=True)
class Encoder(Noun):
    """Turn records into float32 images `[n, channels, height, width]`.

    Attributes:
        schema: name of the schema of the records it takes.
        schema_version: that schema's version.
        numeric: the schema's numeric columns, the rows of `Records.numbers`.
        categorical: the schema's categorical columns, the rows of `Records.codes`.
        channels: channels of the image.
        height: rows of cells.
        width: cells in a row.
        codes: one for each feature, in the order of the cells.
    """

    schema: str
    schema_version: int
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    channels: int
    height: int
    width: int
    codes: tuple[Code, ...]

    def __post_init__(self) -> None:
        names = {*self.numeric, *self.categorical}
        for code in self.codes:
            numeric = code.feature in self.numeric and len(code.knots) == self.channels + 1
            widths = {len(row) for row in code.table}
            word = code.feature in self.categorical and widths == {code.cells * self.channels}
            if code.feature not in names or not (numeric or word):
                raise ConfigError(
                    f"make an encoder of {self.channels} channels",
                    f"{code.feature!r} has {len(code.knots)} knots and {len(code.table)} table rows",
                    "Fit the encoder anew; its JSON was changed by hand or by another release",
                )
        cells = sum(code.cells for code in self.codes)
        if not 0 < cells <= self.height * self.width:
            raise ConfigError(
                f"make an encoder of {self.height} x {self.width} cells",
                f"{len(self.codes)} features that fill {cells}",
                "Give it features that fill at least one cell and no more than there are",
            )

    @classmethod
    def fit(cls, train: TrainRecords, features: Sequence[str] | None = None) -> Encoder:
        """Fit an encoder on training records and on nothing else.

        Args:
            train: the training records; the type says that they are no validation or test records.
            features: columns to encode, None for those that packet headers supply.

        Raises:
            ConfigError: the records are not TrainRecords, or a feature is unknown or given twice.
            DataError: there are no normal records to take the neutral values from.
        """
        if not isinstance(train, TrainRecords):
            raise ConfigError(
                "fit an encoder",
                f"{type(train).__name__} from {getattr(train, 'source', 'somewhere')}",
                "Fit on Split.train or DataSet.training() only, which are TrainRecords",
            )
        names = tuple(train.schema.header_features if features is None else features)
        strange = [name for name in names if name not in train.schema.column]
        if strange or not names or len({*names}) != len(names):
            raise ConfigError(
                f"encode {len(names)} features",
                f"unknown: {strange}" if strange else "none, or one given twice",
                f"There are: {', '.join(train.schema.all_features)}",
            )
        classes = train.classes()
        if not (classes == 0).any():
            raise DataError(f"fit an encoder on {train.source}", "no normal record", "Give some to train on")
        codes = tuple(fit_code(train.schema.column[name], train[name], classes) for name in names)
        height, width = grid(sum(code.cells for code in codes))
        return cls(
            schema=train.schema.name,
            schema_version=train.schema.version,
            numeric=train.schema.numeric,
            categorical=train.schema.categorical,
            channels=CHANNELS,
            height=height,
            width=width,
            codes=codes,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return `(channels, height, width)`."""
        return self.channels, self.height, self.width

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of the features, in the order of the cells."""
        return tuple(code.feature for code in self.codes)

    @cached_property
    def feature_cells(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """Return the cells, as (row, column), that each feature fills."""
        ends = itertools.accumulate((code.cells for code in self.codes), initial=0)
        return {
            code.feature: tuple(divmod(first + i, self.width) for i in range(code.cells))
            for code, first in zip(self.codes, ends, strict=False)
        }

    @cached_property
    def neutral(self) -> dict[str, NDArray[np.float32]]:
        """Return the code of each feature's neutral value, `[cells, channels]`."""
        return {code.feature: neutral_image(code, self.channels) for code in self.codes}

    def encode(self, records: Records) -> NDArray[np.float32]:
        """Return the records as images, float32 `[n, channels, height, width]`.

        Raises:
            DataError: the records are of another schema.
        """
        if (records.schema.name, records.schema.version) != (self.schema, self.schema_version):
            raise DataError(
                f"encode records of {self.schema} version {self.schema_version}",
                f"{records.source} holds {records.schema.name} version {records.schema.version}",
                "Use the schema that the encoder was fitted for",
            )
        n = len(records)
        out = np.empty((n, self.channels, self.height * self.width), dtype=np.float32)
        for start in range(0, n, _BATCH):  # a batch stays in the processor's cache
            stop = min(start + _BATCH, n)
            self._fill(out[start:stop], records.numbers[:, start:stop], records.codes[:, start:stop])
        return out.reshape(n, *self.shape)

    def encode_without(self, records: Records, feature: str) -> NDArray[np.float32]:
        """Return the images with one feature set to its neutral value, to see what it weighs.

        Raises:
            ConfigError: the encoder has no such feature.
            DataError: the records are of another schema.
        """
        if feature not in self.feature_cells:
            raise ConfigError(
                f"encode without {feature!r}", "not a feature", f"There are: {', '.join(self.features)}"
            )
        images = self.encode(records)
        for (row, column), code in zip(self.feature_cells[feature], self.neutral[feature], strict=True):
            images[:, :, row, column] = code
        return images

    def encode_without_each(self, record: Records) -> NDArray[np.float32]:
        """Return one record with each feature in turn neutral, `[features, channels, height, width]`.

        Raises:
            ConfigError: there is not exactly one record.
        """
        if len(record) != 1:
            raise ConfigError(
                "encode one record without each feature", f"{len(record)} records", "Take one of them"
            )
        images = np.repeat(self.encode(record), len(self.codes), axis=0)
        for i, name in enumerate(self.features):
            for (row, column), code in zip(self.feature_cells[name], self.neutral[name], strict=True):
                images[i, :, row, column] = code
        return images

    def _fill(self, out: NDArray[np.float32], numbers: NDArray[np.float64], codes: NDArray[np.int16]) -> None:
        """Write the images of a batch into `out`, `[n, channels, cells]`."""
        plan = self._plan
        values = numbers[plan.number_rows]
        values[plan.count_rows] = np.log1p(values[plan.count_rows])
        cells = np.zeros((len(out), out.shape[2]), dtype=np.float32)
        cells[:, plan.number_cells] = values.T
        np.subtract(cells[:, None, :], plan.low, out=out)
        np.multiply(out, plan.slope, out=out)
        np.maximum(out, 0, out=out)
        np.minimum(out, 1, out=out)
        for row, cell, table in plan.words:
            # Code -1 takes the last row: unknown words.
            out[:, :, cell : cell + table.shape[2]] = table[codes[row]]

    @cached_property
    def _plan(self) -> _Plan:
        first = {name: cells[0][0] * self.width + cells[0][1] for name, cells in self.feature_cells.items()}
        numbers = [(first[code.feature], code) for code in self.codes if code.feature in self.numeric]
        low = np.zeros((self.channels, self.height * self.width), dtype=np.float32)
        slope = np.zeros_like(low)
        for cell, code in numbers:
            low[:, cell], slope[:, cell] = lines_of(code)
        return _Plan(
            number_rows=np.array([self.numeric.index(code.feature) for _, code in numbers], dtype=np.intp),
            number_cells=np.array([cell for cell, _ in numbers], dtype=np.intp),
            count_rows=np.array([i for i, (_, c) in enumerate(numbers) if c.kind == "count"], dtype=np.intp),
            low=low,
            slope=slope,
            words=tuple(
                (
                    self.categorical.index(code.feature),
                    first[code.feature],
                    _by_cell(code, self.channels),
                )
                for code in self.codes
                if code.feature in self.categorical
            ),
        )


def _by_cell(code: Code, channels: int) -> NDArray[np.float32]:
    """Return a word's table as `[words + 1, channels, cells]`."""
    table = np.array(code.table, dtype=np.float32).reshape(len(code.table), code.cells, channels)
    return np.ascontiguousarray(table.transpose(0, 2, 1))


def grid(features: int) -> tuple[int, int]:
    """Return the height and width of the smallest grid, at most twice as wide as high, that holds them."""
    widths = [
        w for w in range(1, features + 1) if math.ceil(features / w) <= w <= 2 * math.ceil(features / w)
    ]
    width = min(widths, key=lambda w: (math.ceil(features / w) * w, w))
    return math.ceil(features / width), width
