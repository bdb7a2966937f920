import io
import os
import struct
import warnings
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from juggler.data import DataNotFound, Source, examples, load_set
from juggler.data.readers.decode import is_jpeg, rgb, square
from juggler.data.readers.folder import listing
from juggler.errors import ConfigError, DataError
from made_pictures import compressed, drawn, write_folder

BOTH = {"train/cat": 4, "train/dog": 5, "test/cat": 2, "test/dog": 3}


def folder_set(root, size=8, **options):
    found = load_set("image_folder", Source(folder=root, cache=root.parent / "cache", **options))
    return found.with_size(size)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pictures"


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".jpg"])
def test_a_folder_a_class_is_read(root, suffix):
    found = folder_set(write_folder(root, BOTH, suffix=suffix))
    train, test = found.training(), found.load("test")
    assert train.classes == test.classes == ("cat", "dog")
    assert train.counts().tolist() == [4, 5] and test.counts().tolist() == [2, 3]
    assert train.notes == test.notes == () and str(root) in train.source
    if suffix in (".png", ".bmp"):
        np.testing.assert_array_equal(train.images[:4], drawn(4, 1, seed=0, size=8)[0])
        np.testing.assert_array_equal(test.images[2:], drawn(3, 1, seed=3, size=8)[0])
    images, labels, classes = examples(found, "test")
    assert images.dtype == np.uint8 and (labels.tolist(), classes) == ([0, 0, 1, 1, 1], ("cat", "dog"))
    np.testing.assert_array_equal(images, test.images)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test"])
def test_the_part_to_test_on_has_several_names(root, name):
    found = folder_set(
        write_folder(root, {"train/cat": 2, "train/dog": 2, f"{name}/cat": 1, f"{name}/dog": 3})
    )
    assert found.load("test").counts().tolist() == [1, 3]


def test_of_two_parts_to_test_on_the_test_part_is_taken_and_that_is_said(root):
    found = folder_set(write_folder(root, BOTH | {"val/cat": 7, "val/dog": 7}))
    assert len(found.load("test")) == 5
    assert found.training().notes == ("val/ was left alone: test/ is the test part",)


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_a_fixed_share_is_held_out_where_there_is_no_part_to_test_on(root, prefix):
    found = folder_set(write_folder(root, {f"{prefix}cat": 10, f"{prefix}dog": 25, f"{prefix}eel": 2}))
    train, test = found.training(), found.load("test")
    assert test.counts().tolist() == [2, 5, 1] and train.counts().tolist() == [8, 20, 1]
    assert not {image.tobytes() for image in train.images} & {image.tobytes() for image in test.images}
    assert train.notes == test.notes and "20% of each class" in test.notes[0]
    assert test.sha256 == found.load("test").sha256


def test_what_is_held_out_does_not_depend_on_the_place(root, tmp_path):
    layout = {"cat": 10, "dog": 10}
    first = folder_set(write_folder(root, layout)).load("test").sha256
    assert folder_set(write_folder(tmp_path / "elsewhere" / "there", layout)).load("test").sha256 == first


def test_what_is_no_picture_is_passed_over(root):
    write_folder(root, BOTH)
    (root / "train" / "cat" / "README.txt").write_text("about cats")
    (root / "train" / "cat" / ".hidden.png").write_bytes(b"no picture")
    (root / "train" / ".git").mkdir()
    (root / "train" / "notes.txt").write_text("about both")
    write_folder(root, {"train/cat/more/deeper": 3})
    assert folder_set(root).training().counts().tolist() == [7, 5]


def test_what_is_passed_over_is_counted_by_kind_in_the_part_that_has_it(root):
    write_folder(root, BOTH)
    for place in (
        "train/cat/a.GIF",
        "train/dog/b.gif",
        "train/dog/deep/c.tiff",
        "train/cat/README",
        "test/cat/d.heic",
    ):
        (root / place).parent.mkdir(exist_ok=True)
        (root / place).write_bytes(b"no picture that is read")
    found = folder_set(root)
    assert found.training().notes == (
        f"4 files in {root}/train were passed over (2 .gif, 1 without a suffix, 1 .tiff): "
        "only .jpg, .jpeg, .png, .webp, .bmp are read",
    )
    assert "1 files in" in found.load("test").notes[0] and "1 .heic" in found.load("test").notes[0]
    (root / "train/cat/e\x1b[31m.g\x1b[0mif").write_bytes(b"")  # no note is taken from the cache
    assert "5 files" in found.training().notes[0] and "\x1b" not in found.training().notes[0]
    for picture in (root / "train" / "dog").glob("*.png"):
        picture.unlink()
    with pytest.raises(DataError, match=r"no file ends in .*, and 1 \.gif, 1 \.tiff"):
        found.training()


def test_a_folder_that_cannot_be_looked_into_is_named(root, monkeypatch):
    write_folder(root, BOTH | {"train/cat/deeper": 1})
    scan = os.scandir

    def closed(place):  # as for a user without the right: root, who runs tests too, has all
        if os.fspath(place).endswith("deeper"):
            raise PermissionError(13, "Permission denied", os.fspath(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(DataError, match="train/cat/deeper: Permission denied"):
        folder_set(root).load("train")


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({}, "0 folders"),
        ({"cat": 3}, "1 folders"),
        ({"train/cat": 3}, "1 folders"),
        ({"cat": 3, "dog": 0}, "dog: no file ends in .jpg"),
        (BOTH | {"test/dog": 0}, "test/dog: no file ends in"),
        (BOTH | {"test/eel": 1}, "classes that .*train does not have: eel"),
        ({"test/cat": 3, "test/dog": 3}, "test/ without train/"),
        ({"cat": 3, "dog": 1}, "dog: one picture"),
    ],
)
def test_folders_that_make_no_data_set_are_refused(root, layout, message):
    root.mkdir()
    write_folder(root, layout)
    with pytest.raises(DataError, match=message):
        folder_set(root).load("test")


def test_no_folder_is_no_data_set(tmp_path):
    for source in (Source(), Source(folder=tmp_path / "nowhere")):
        with pytest.raises(DataNotFound, match="Name the folder that holds train/CLASS/"):
            load_set("image_folder", source).load("train")
    with pytest.raises(ConfigError, match="There are: train, test"):
        load_set("image_folder").load("val")
    for size in (0, -1, 5000):
        with pytest.raises(ConfigError, match="from 1 to 4096"):
            load_set("image_folder").with_size(size)


def test_pictures_are_decoded_once_until_one_changes(root):
    told = []
    write_folder(root, BOTH)
    found = folder_set(root, decoding=lambda value: told.append((value.done, value.total)))
    first = found.load("train")
    assert found.load("train").sha256 == first.sha256 and told == [(9, 9)]
    assert isinstance(first.images, np.memmap)
    (root / "train" / "cat" / "000.png").write_bytes(compressed(np.zeros((3, 8, 8), np.uint8)))
    assert found.load("train").sha256 != first.sha256 and told == [(9, 9)] * 2
    assert found.with_size(4).load("train").shape == (3, 4, 4)


def test_a_picture_that_cannot_be_read_is_named(root):
    write_folder(root, BOTH)
    bad = root / "train" / "dog" / "002.png"
    for content in (b"", b"no picture", bad.read_bytes()[:-30], bad.read_bytes()[:40]):
        bad.write_bytes(content)
        with pytest.raises(DataError, match=r"train/dog/002\.png: no picture that can be read"):
            folder_set(root).load("train")
    bad.unlink()
    bad.symlink_to(root / "nowhere")
    with pytest.raises(DataError, match=r"002\.png"):
        folder_set(root).load("train")


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 90), (90, 40), (5, 9)])
def test_the_short_side_is_resized_and_the_middle_taken(height, width):
    image = np.zeros((3, height, width), np.uint8)
    image[0] = 200
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    image[1, top : top + short, left : left + short] = 255
    found = square(compressed(image), "a test", 10)
    assert found.shape == (3, 10, 10)
    assert (found[0] == 200).all() and (found[1, 1:-1, 1:-1] > 250).all() and (found[2] == 0).all()


def encoded(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "RGB"])
def test_every_kind_of_eight_bits_becomes_rgb(mode):
    image = Image.fromarray(np.full((6, 7, 3), 255, np.uint8)).convert(mode)
    options = {"transparency": b"\x00\xff"} if mode == "P" else {}
    found = rgb(encoded(image, **options), "a test")
    assert found.shape == (3, 6, 7) and found.dtype == np.uint8 and (found == 255).all()


def test_more_bits_are_refused_and_not_clipped():
    deep = Image.fromarray(np.full((4, 4), 4000, np.uint16))
    with pytest.raises(DataError, match="more than 8 bits a channel"):
        rgb(encoded(deep), "a test")


def test_photographs_are_turned_upright():
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    image.paste((250, 250, 250), (0, 0, 8, 4))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    found = square(encoded(image, "JPEG", quality=95, exif=exif), "a test", 8)
    assert found[:, :3].max() < 20 and found[:, 5:].min() > 230


def test_other_formats_than_four_are_not_even_tried():
    image = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    for kind in ("TIFF", "GIF", "PPM", "EPS"):
        with pytest.raises(DataError, match="no picture that can be read"):
            rgb(encoded(image, kind), "a test.png")
    assert is_jpeg(encoded(image, "JPEG")) and not is_jpeg(encoded(image))


def png_of(width, height):
    """Return a PNG that claims a size and holds a thousandth of it."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 60_000])
@pytest.mark.parametrize("strict", [True, False])
def test_decompression_bombs_are_refused_before_they_unpack(side, strict):
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore", Image.DecompressionBombWarning)
        with pytest.raises(DataError, match="too many pixels"):
            rgb(png_of(side, side), "a test")


def test_files_larger_than_any_picture_are_refused(root):
    small = replace(listing(write_folder(root, BOTH), "train"), file_bytes=100)
    with pytest.raises(DataError, match=r"cat/000\.png.* more than 100 bytes"):
        next(small.batches(8))


def test_many_pictures_come_in_order(root):
    write_folder(root, {"train/cat": 11, "train/dog": 3, "test/cat": 1})
    batches = [*replace(listing(root, "train"), at_once=4).batches(8)]
    assert [len(batch.labels) for batch in batches] == [4, 4, 4, 2]
    images = np.concatenate([batch.images for batch in batches])
    np.testing.assert_array_equal(images[:11], drawn(11, 1, seed=0, size=8)[0])


def test_names_that_are_no_text_are_names_too(root):
    write_folder(root, BOTH)
    odd = os.fsdecode(b"\xff\xfe odd.png")
    (root / "train" / "cat" / odd).write_bytes(compressed(drawn(1, 1, size=8)[0][0]))
    assert folder_set(root).training().counts().tolist() == [5, 5]
