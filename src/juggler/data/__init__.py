"""Bytes to arrays: find a data set, read its records, hold attack types out, encode rows as small images.

    nsl_kdd = data.load_set("nsl-kdd")
    split = nsl_kdd.fold(0, seed=1)
    encoder = data.Encoder.fit(split.train)
    images = encoder.encode(split.validation)      # float32 [n, channels, height, width]

Sets of pictures come through the same door, decoded once and then mapped from a cache:

    cifar10 = data.load_set("cifar10")
    rest, held_out = cifar10.training().split(5000, seed=1)
    standard = data.Standard.fit(rest)

A data set is one file in `data/sets` offering `SET`; a record schema one in `data/schemas` offering `SCHEMA`.
"""

from juggler.data.dataset import DataSet, Provenance, Records, Schema, Split, TrainRecords
from juggler.data.encode import Encoder
from juggler.data.examples import Examples, examples
from juggler.data.parse import BadRow, parse_block, parse_line, read
from juggler.data.pictures import Pictures, PictureSet, TrainPictures, is_pictures
from juggler.data.source import DataNotFound, Source
from juggler.data.standard import Standard
from juggler.errors import ConfigError
from juggler.registry import Registry

SETS: Registry[DataSet | PictureSet] = Registry("set", "juggler.data.sets", alias="juggler.sets")
SCHEMAS: Registry[Schema] = Registry("schema", "juggler.data.schemas", alias="juggler.schemas")

__all__ = [
    "SCHEMAS",
    "SETS",
    "BadRow",
    "DataNotFound",
    "DataSet",
    "Encoder",
    "Examples",
    "PictureSet",
    "Pictures",
    "Provenance",
    "Records",
    "Schema",
    "Source",
    "Split",
    "Standard",
    "TrainPictures",
    "TrainRecords",
    "examples",
    "is_pictures",
    "load_record_set",
    "load_set",
    "parse_block",
    "parse_line",
    "read",
]


def load_set(name: str, source: Source | None = None) -> DataSet | PictureSet:
    """Return a data set by name, of records or of pictures; nothing is read yet.

    Its files are looked for by `source`; `is_pictures` tells the two kinds apart.

    Raises:
        ConfigError: no data set has that name; the message lists those there are.
    """
    data_set = SETS.get(name)
    return data_set if source is None else data_set.at(source)


def load_record_set(name: str, source: Source | None = None) -> DataSet:
    """Return a data set by name where only records will do; nothing is read yet.

    Raises:
        ConfigError: no data set has that name, or it holds pictures.
    """
    data_set = load_set(name, source)
    if is_pictures(data_set):
        raise ConfigError(
            f"take {data_set.name} as records", "it holds pictures", "Name a set of records, such as nsl-kdd"
        )
    return data_set
