"""Any folder of pictures: one folder a class, the pictures resized and cut to squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from juggler.data.dataset import Provenance, check_choice
from juggler.data.picture_cache import Batch, decoded, key_of
from juggler.data.pictures import Pictures, TrainPictures
from juggler.data.readers.folder import Listing, listing
from juggler.data.source import DataNotFound, Source
from juggler.errors import ConfigError
from juggler.nouns import Progress

_LARGEST_SIZE = 4096

_PROVENANCE = Provenance(
    name="image_folder",
    synthetic=False,
    citation="the user's own folder of pictures",
    licence="as the owner of the pictures says",
    sha256={},
)


@dataclass(frozen=True)
class ImageFolder:
    """The pictures in the source's folder; no other place is looked in.

    Attributes:
        source: its folder holds train/CLASS/ and test/CLASS/, or only CLASS/ folders.
        size: height and width of the pictures in pixels: the short side is resized to it, the middle taken.
    """

    source: Source = field(default_factory=Source)
    size: int = 32
    name: str = "image_folder"
    synthetic: bool = False
    parts: tuple[str, ...] = ("train", "test")
    provenance: Provenance = _PROVENANCE

    def __post_init__(self) -> None:
        if not 1 <= self.size <= _LARGEST_SIZE:
            raise ConfigError(
                "read a folder of pictures",
                f"size {self.size}",
                f"Give a size from 1 to {_LARGEST_SIZE} pixels",
            )

    def at(self, source: Source) -> ImageFolder:
        """Return the same set, its pictures in the folder of `source`."""
        return replace(self, source=source)

    def with_size(self, size: int) -> ImageFolder:
        """Return the same pictures in another size.

        Raises:
            ConfigError: no picture can have that size.
        """
        return replace(self, size=size)

    def load(self, part: str) -> Pictures:
        """Return the pictures of `train` or `test`, uint8 `[n, 3, size, size]`, decoded once and then mapped.

        Raises:
            ConfigError: there is no such part.
            DataError: there is no such folder, or no classes in it, or a class or a picture is refused.
            Unavailable: Pillow is not installed.
        """
        check_choice("load a part of image_folder", part, self.parts)
        paths = listing(self._root(), part)
        key = key_of(self.name, self.size, paths.classes, str(paths.root.resolve()), paths.facts())
        pictures = decoded(self.source.cache_folder / "pictures", key, lambda: self._with_progress(paths))
        return Pictures(
            pictures.images,
            pictures.labels,
            paths.classes,
            f"{self._root()}, {part} part",
            pictures.sha256,
            paths.notes,
        )

    def training(self) -> TrainPictures:
        """Return the training pictures; errors as `load`."""
        return TrainPictures.of(self.load("train"))

    def _root(self) -> Path:
        root = self.source.folder
        if root is None or not Path(root).is_dir():
            raise DataNotFound(
                "find a folder of pictures",
                "no folder was named" if root is None else f"{root} is no folder",
                "Name the folder that holds train/CLASS/ and test/CLASS/, or CLASS/ folders: "
                "Source(folder=...) in Python, --data on the command line",
            )
        return Path(root)

    def _with_progress(self, paths: Listing) -> Iterator[Batch]:
        """Pass batches on, and tell how many pictures are done."""
        done = 0
        for batch in paths.batches(self.size):
            done += len(batch.labels)
            if self.source.decoding is not None:
                self.source.decoding(Progress("decode", done, len(paths.files), "pictures"))
            yield batch


SET = ImageFolder()
