import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from juggler.data import DataNotFound, Source
from juggler.data.sets.cifar10 import SET as CIFAR10
from juggler.data.sets.cifar100 import SET as CIFAR100
from juggler.errors import DataError
from made_pictures import compressed, drawn, parts_of, table, write_parquet

FILE = "test-00000-of-00001.parquet"
cifars = pytest.mark.parametrize("cifar", [CIFAR10, CIFAR100], ids=lambda cifar: cifar.name)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.setenv("JUGGLER_OFFLINE", "1")
    monkeypatch.delenv("JUGGLER_DATA", raising=False)


def read(folder, cifar=CIFAR10, part="test"):
    return cifar.at(Source(folder=folder, cache=folder / "cache", allow_modified=True)).load(part)


def with_names(made, label, names):
    """Return the table with class names beside its columns, as Hugging Face writes them."""
    features = {label: {"names": list(names), "_type": "ClassLabel"}}
    return made.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write(folder, made, name=FILE):
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(made, folder / name)
    return folder


def cells(count=2, kind="PNG", size=32):
    images, _ = drawn(count, 1, size=size)
    return [compressed(image, kind) for image in images]


@cifars
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("column", ["img", "image"])
def test_shards_are_read_in_order(tmp_path, cifar, shards, column):
    write_parquet(tmp_path, cifar, shards=shards, column=column)
    for part, (images, labels) in parts_of(cifar).items():
        pictures = read(tmp_path, cifar, part)
        np.testing.assert_array_equal(pictures.images, images)
        np.testing.assert_array_equal(pictures.labels, labels)
        assert "SHA-256" in pictures.source and pictures.notes == ()


@cifars
def test_jpeg_is_told_by_the_bytes_whatever_the_name_says(tmp_path, cifar):
    write_parquet(tmp_path, cifar, kind="JPEG")  # their paths end in .png
    (note,) = read(tmp_path, cifar).notes
    assert (
        note == f"this copy of {cifar.title} is JPEG-compressed: compare within it, not with published tables"
    )
    assert read(tmp_path, cifar).notes == (note,), "a cached copy says so too"


@pytest.mark.parametrize("home", ["cifar10", "CIFAR-10", "cifar_10", "uoft-cs--cifar10/plain_text"])
def test_files_without_class_names_are_known_by_their_folder(tmp_path, home):
    write(tmp_path / home, table(cells(), [3, 5]))
    assert read(tmp_path).labels.tolist() == [3, 5]


@pytest.mark.parametrize("home", ["cifar100", "mnist", "cifar-10x/deep/er/still"])
def test_files_without_class_names_in_another_folder_are_passed_over(tmp_path, home):
    write(tmp_path / home, table(cells(), [3, 5]))
    with pytest.raises(DataNotFound):
        read(tmp_path)
    assert home.startswith("cifar-10x") or len(read(tmp_path / home)) == 2, (
        "the very folder that was named is taken"
    )


def test_class_names_tell_a_copy_wherever_it_is(tmp_path):
    write(tmp_path / "a", with_names(table(cells(), [0, 1]), "label", ["zero", "one"]))
    write(tmp_path / "b", with_names(table(cells(), [4, 5]), "label", CIFAR10.classes))
    write(tmp_path / "cifar10", with_names(table(cells(), [0, 1]), "label", [*CIFAR10.classes[::-1]]))
    assert read(tmp_path).labels.tolist() == [4, 5]
    misspelt = ["cra" if name == "crab" else name for name in CIFAR100.classes]
    made = with_names(table(cells(), [26, 99], label="fine_label"), "fine_label", misspelt)
    write(tmp_path / "c", made.append_column("label", pa.array([1, 2])))
    assert read(tmp_path, CIFAR100).labels.tolist() == [26, 99]
    assert read(tmp_path).labels.tolist() == [4, 5], "a file with fine labels is not CIFAR-10"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (table([cells(1)[0], b"\x89PNG\r\n\x1a\n broken"], [1, 2]), "picture 1: no picture that can be read"),
        (table([cells(1)[0], b""], [1, 2]), "picture 1: no picture"),
        (table([cells(1)[0], None], [1, 2]), "picture 1: the file does not hold it"),
        (table(cells(2), [1, None]), "labels of type int64, or none"),
        (table(cells(2), [1, 10]), "picture 1 has the label 10"),
        (table(cells(2), [-1, 1]), "picture 0 has the label -1"),
        (table(cells(2, size=28), [1, 2]), r"the shape \(3, 28, 28\)"),
        (table([*cells(1), *cells(1, size=30)], [1, 2]), r"picture 1: shape \(3, 30, 30\)"),
        (table(cells(2), [3, 1], paths=["x/cat/0.png", "x/dog/1.png"]), "came from a folder 'dog'"),
        (table([], []), "there are none"),
    ],
)  # fmt: skip
def test_hostile_tables_are_refused(tmp_path, made, message):
    write(tmp_path / "cifar10", made)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_paths_of_their_class_are_well(tmp_path):
    write(tmp_path / "cifar10", table(cells(3), [3, 5, 0], paths=["x/cat/0.png", None, "0.png"]))
    assert len(read(tmp_path)) == 3


@pytest.mark.parametrize("damage", ["empty", "truncated", "no parquet", "a label that is text"])
def test_broken_files_are_refused(tmp_path, damage):
    path = write(tmp_path / "cifar10", table(cells(), [3, 5])) / FILE
    content = path.read_bytes()
    if damage == "a label that is text":
        parquet.write_table(pa.table({"img": table(cells(), [3, 5])["img"], "label": ["3", "5"]}), path)
    else:
        path.write_bytes({"empty": b"", "truncated": content[:-9], "no parquet": b"no" * 999}[damage])
    with pytest.raises(DataError, match=FILE):
        read(tmp_path)


def test_a_part_of_the_file_that_is_damaged_is_found(tmp_path):
    path = write(tmp_path / "cifar10", table(cells(9), [1] * 9)) / FILE
    content = bytearray(path.read_bytes())
    content[200:2000] = bytes(1800)
    path.write_bytes(content)
    with pytest.raises(DataError):
        read(tmp_path)


@pytest.mark.parametrize("columns", [["img"], ["label"], []])
def test_other_columns_are_of_another_data_set(tmp_path, columns):
    write(tmp_path / "cifar10", table(cells(), [1, 2]).select(columns))
    with pytest.raises(DataNotFound):
        read(tmp_path)
    write(tmp_path / "cifar10", pa.table({"img": [b"1"], "label": [1]}))
    with pytest.raises(DataNotFound):
        read(tmp_path)


def test_a_missing_shard_and_a_mixture_are_refused(tmp_path):
    home = write_parquet(tmp_path, CIFAR10, shards=3)
    (home / "test-00001-of-00003.parquet").unlink()
    with pytest.raises(DataError, match="2 files, said to be one of 3"):
        read(tmp_path)
    write_parquet(tmp_path, CIFAR10, shards=3)
    write_parquet(tmp_path, CIFAR10, shards=1)
    with pytest.raises(DataError, match="4 files, said to be one of 1, 3"):
        read(tmp_path)


def test_a_shard_with_other_classes_than_the_first_is_refused(tmp_path):
    home = tmp_path / "cifar10"
    write(home, with_names(table(cells(), [1, 2]), "label", CIFAR10.classes), "test-00000-of-00002.parquet")
    write(
        home,
        with_names(table(cells(), [1, 2]), "label", CIFAR10.classes[::-1]),
        "test-00001-of-00002.parquet",
    )
    with pytest.raises(DataError, match="other columns or classes than the rest"):
        read(tmp_path)


def test_more_pictures_than_were_published_are_refused(tmp_path):
    write_parquet(tmp_path, CIFAR10)
    few = replace(CIFAR10, most=20)
    assert len(read(tmp_path, few)) == 10
    with pytest.raises(DataError, match="30 pictures or more"):
        read(tmp_path, few, part="train")
