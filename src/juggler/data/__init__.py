"""Bytes to arrays: find a data set, read its records, hold attack types out, encode rows as small images.

    nsl_kdd = data.load_set("nsl-kdd")
    split = nsl_kdd.fold(0, seed=1)
    encoder = data.Encoder.fit(split.train)
    images = encoder.encode(split.validation)      # float32 [n, channels, height, width]

A data set is one file in `data/sets` offering `SET`; a record schema one in `data/schemas` offering `SCHEMA`.
"""

from juggler.data.dataset import DataSet, Provenance, Records, Schema, Split, TrainRecords
from juggler.data.encode import Encoder
from juggler.data.parse import BadRow, parse_block, parse_line, read
from juggler.data.source import DataNotFound, Source
from juggler.registry import Registry

SETS: Registry[DataSet] = Registry("set", "juggler.data.sets")
SCHEMAS: Registry[Schema] = Registry("schema", "juggler.data.schemas")

__all__ = [
    "SCHEMAS",
    "SETS",
    "BadRow",
    "DataNotFound",
    "DataSet",
    "Encoder",
    "Provenance",
    "Records",
    "Schema",
    "Source",
    "Split",
    "TrainRecords",
    "load_set",
    "parse_block",
    "parse_line",
    "read",
]


def load_set(name: str, source: Source | None = None) -> DataSet:
    """Return a data set by name, its files looked for by `source`; nothing is read yet.

    Raises:
        ConfigError: no data set has that name; the message lists those there are.
    """
    found = SETS.get(name)
    return found if source is None else found.at(source)
