"""NSL-KDD: train on KDDTrain+ only, report on KDDTest+ and KDDTest-21."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from juggler.data.dataset import FoldedSet, Provenance, Records, Schema, check_choice
from juggler.data.parse import read_bytes
from juggler.data.schemas.nsl_kdd import FOLDS, SCHEMA
from juggler.data.source import RemoteFile, Source

_COPIES = (
    "https://raw.githubusercontent.com/jmnwong/NSL-KDD-Dataset/master/",
    "https://raw.githubusercontent.com/defcom17/NSL_KDD/master/",
)
_DIGESTS = {
    "KDDTrain+.txt": "1b86d2f957b33082081bba410fe129b475efebcc13c9014c3f447c8271aadf95",
    "KDDTest+.txt": "fa46b0935342616aa83b7c2578db355b6a7aaabbc492248172c7a1e8b7ab8f84",
    "KDDTest-21.txt": "746993ac9e25868827cacf09eab450050a2a1056e1ce48a1ad39f5dc801d531d",
}
_PARTS = {"train": "KDDTrain+.txt", "test": "KDDTest+.txt", "test-21": "KDDTest-21.txt"}
FILES = {
    part: RemoteFile(name, _DIGESTS[name], tuple(url + name.replace("+", "%2B") for url in _COPIES))
    for part, name in _PARTS.items()
}

_PROVENANCE = Provenance(
    name="nsl_kdd",
    synthetic=False,
    citation=(
        "M. Tavallaee, E. Bagheri, W. Lu, A. Ghorbani: A detailed analysis of the KDD CUP 99 data set. "
        "IEEE CISDA 2009; https://www.unb.ca/cic/datasets/nsl.html"
    ),
    licence="may be redistributed and used if the paper and the page are cited",
    sha256={part: file.sha256 for part, file in FILES.items()},
)


@dataclass(frozen=True)
class NslKdd(FoldedSet):
    """The data set as published, its files looked for by `source`."""

    source: Source = field(default_factory=Source)
    name: str = "nsl_kdd"
    synthetic: bool = False
    schema: Schema = SCHEMA
    parts: tuple[str, ...] = tuple(_PARTS)
    provenance: Provenance = _PROVENANCE
    held_out: tuple[tuple[str, ...], ...] = FOLDS

    def at(self, source: Source) -> NslKdd:
        """Return the same set, its files looked for by `source`."""
        return replace(self, source=source)

    def load(self, part: str) -> Records:
        """Return the records of `train`, `test` or `test-21`.

        Raises:
            ConfigError: there is no such part.
            DataError: its file is not found, was modified, or cannot be read.
        """
        check_choice("load a part of nsl_kdd", part, self.parts)
        file = self.source.fetch(FILES[part])
        return read_bytes(file.data, self.schema, file.origin)


SET = NslKdd()
