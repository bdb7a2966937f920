"""CIFAR-10 and CIFAR-100 in every form, made up small; the real CIFAR-10 where it is on this machine."""

import gzip
import hashlib
import http.server
import io
import os
import re
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import made_pictures
from juggler.data import DataNotFound, Source, load_set
from juggler.data.sets.cifar10 import SET as CIFAR10
from juggler.data.sets.cifar100 import SET as CIFAR100
from juggler.errors import DataError, Unavailable
from juggler.extras import install_command
from juggler.reading import tars
from made_pictures import (
    KINDS,
    form_of,
    official_files,
    packed,
    parts_of,
    python2,
    write_archive,
    write_unpacked,
)

SETS = {"cifar10": CIFAR10, "cifar100": CIFAR100}
cifars = pytest.mark.parametrize("cifar", SETS.values(), ids=SETS)
kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, request):
    monkeypatch.setenv("JUGGLER_OFFLINE", "1")
    if request.node.get_closest_marker("data") is None:
        monkeypatch.delenv("JUGGLER_DATA", raising=False)


def within(folder: Path, **options) -> Source:
    options = {"allow_modified": True, "cache": folder / "cache"} | options
    return Source(folder=folder, **options)


def check(pictures, images, labels):
    np.testing.assert_array_equal(pictures.images, images)
    np.testing.assert_array_equal(pictures.labels, labels)


@cifars
@kinds
@pytest.mark.parametrize("write", [write_archive, write_unpacked])
def test_official_forms_give_the_same_pictures(tmp_path, cifar, kind, write):
    path = write(tmp_path, cifar, kind)
    found = cifar.at(within(tmp_path))
    for part, (images, labels) in parts_of(cifar).items():
        pictures = found.load(part)
        check(pictures, images, labels)
        assert str(path) in pictures.source and kind in pictures.source
        assert pictures.classes == cifar.classes and pictures.notes == ()


@cifars
def test_all_forms_have_one_digest(tmp_path, cifar):
    homes = [tmp_path / str(i) for i in range(5)]
    for home in homes:
        home.mkdir()
    for i, kind in enumerate(KINDS):
        write_archive(homes[i], cifar, kind)
        write_unpacked(homes[2 + i], cifar, kind)
    made_pictures.write_parquet(homes[4], cifar)
    digests = [cifar.at(within(home)).load("train").sha256 for home in homes]
    assert len({*digests}) == 1


def test_the_fine_label_of_cifar_100_is_taken(tmp_path):
    content = bytes([3, 17]) + bytes(3072)
    files = official_files(CIFAR100, "binary") | {"test.bin": content}
    form = form_of(CIFAR100, "binary")
    (tmp_path / form.archive.name).write_bytes(packed(files, form.folder))
    assert CIFAR100.at(within(tmp_path)).load("test").labels.tolist() == [17]


def test_pictures_are_decoded_once(tmp_path):
    told = []
    write_archive(tmp_path, CIFAR10, "binary")
    found = CIFAR10.at(within(tmp_path, decoding=lambda value: told.append((value.done, value.total))))
    first, second = found.load("train"), found.load("train")
    assert told == [(6 * i, 50_000) for i in range(1, 6)], "told batch by batch, once"
    assert isinstance(first.images, np.memmap) and first.sha256 == second.sha256
    write_archive(tmp_path, CIFAR10, "binary", parts_of(CIFAR10, train=made_pictures.drawn(30, 10, seed=9)))
    assert found.load("train").sha256 != first.sha256, "another archive is decoded anew"
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"pictures"}


@cifars
@kinds
def test_another_archive_than_the_published_one_is_refused_unless_allowed(tmp_path, cifar, kind):
    write_archive(tmp_path, cifar, kind)
    digest = form_of(cifar, kind).archive.sha256
    with pytest.raises(DataError, match=f"expected {digest}"):
        cifar.at(within(tmp_path, allow_modified=False)).load("train")
    assert cifar.provenance.sha256[form_of(cifar, kind).archive.name] == digest


@pytest.mark.parametrize(
    "write", [lambda home, cifar: write_unpacked(home, cifar, "binary"), made_pictures.write_parquet]
)
def test_without_a_digest_the_number_of_pictures_is_checked(tmp_path, write):
    write(tmp_path, CIFAR10)
    with pytest.raises(DataError, match="30 pictures or more, published were 50000"):
        CIFAR10.at(within(tmp_path, allow_modified=False)).load("train")


@cifars
def test_where_nothing_is_found_every_place_and_every_form_is_named(tmp_path, monkeypatch, cifar):
    monkeypatch.setenv("JUGGLER_DATA", str(tmp_path / "nowhere"))
    (tmp_path / "cifar9").mkdir()
    with pytest.raises(DataNotFound) as error:
        cifar.at(within(tmp_path)).load("test")
    for words in (str(tmp_path), "$JUGGLER_DATA", "does not exist", "the cache", "JUGGLER_OFFLINE"):
        assert words in error.value.found
    for form in cifar.forms:
        assert form.archive.name in error.value.remedy and f"{form.folder}/" in error.value.remedy
    assert f"{cifar.name}/ with test-00000-of-00001.parquet" in error.value.remedy


def test_the_users_folder_comes_before_the_environments(tmp_path, monkeypatch):
    for name in ("mine", "theirs"):
        (tmp_path / name).mkdir()
    made_pictures.write_parquet(tmp_path / "mine", CIFAR10)
    write_archive(tmp_path / "theirs", CIFAR10, "binary")
    monkeypatch.setenv("JUGGLER_DATA", str(tmp_path / "theirs"))
    source = within(tmp_path / "mine", cache=tmp_path / "cache")
    assert "parquet" in CIFAR10.at(source).load("test").source
    assert "binary" in CIFAR10.at(replace(source, folder=None)).load("test").source


def test_a_download_is_the_last_resort_and_is_checked_like_the_rest(tmp_path):
    source = Source(cache=tmp_path)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"damaged")
    with pytest.raises(DataNotFound, match="holds a damaged copy"):
        CIFAR10.at(source).load("test")
    for form in (*CIFAR10.forms, *CIFAR100.forms):
        assert form.archive.urls == (f"https://www.cs.toronto.edu/~kriz/{form.archive.name}",)
        assert form.archive.max_bytes > 170_498_071, "the largest of the four fits"


def replaced(cifar, kind, **changes):
    """Return the archive of a form with some files changed, those set to None taken out."""
    form = form_of(cifar, kind)
    files = official_files(cifar, kind) | {name.replace("__", "."): data for name, data in changes.items()}
    return packed({name: data for name, data in files.items() if data is not None}, form.folder)


def binary(**changes):
    return "binary", replaced(CIFAR10, "binary", **changes)


def pickled(test_batch):
    content = test_batch if isinstance(test_batch, bytes) else python2(test_batch)
    return "python", replaced(CIFAR10, "python", test_batch=content)


ONE = np.zeros((1, 3072), np.uint8)
MINUS_ONE = python2({"data": ONE, "labels": [77]}).replace(b"KM", b"J\xff\xff\xff\xff")
OTHER_SET = packed(official_files(CIFAR100, "binary"), "cifar-100-binary")
NO_NAMES = replaced(CIFAR10, "python", batches__meta=python2({"label_names": 3}))
HOSTILE = {
    "a row cut short": (*binary(test_batch__bin=bytes(3072)), "a picture has 3073"),
    "an empty file": (*binary(test_batch__bin=b""), "0 bytes"),
    "a label out of range": (*binary(test_batch__bin=b"\x0a" + bytes(3072)), "label 10"),
    "a file missing": (*binary(test_batch__bin=None), r"lacks test_batch\.bin"),
    "other classes": (*binary(batches__meta__txt=b"cat\ndog\n"), "2 in all"),
    "classes in no text": (*binary(batches__meta__txt=b"\xff\xfe"), "no text"),
    "the archive of the other set": ("binary", OTHER_SET, "lacks"),
    "no archive": ("binary", b"nothing at all", r"broken or no \.tar\.gz"),
    "empty": ("binary", b"", r"broken or no \.tar\.gz"),
    "a broken tar": ("binary", gzip.compress(b"\x01" * 3000), r"broken or no \.tar\.gz"),
    "too few labels": (*pickled({"data": np.vstack([ONE, ONE]), "labels": [1]}), "labels of 1"),
    "labels that are no numbers": (*pickled({"data": ONE, "labels": ["1"]}), "list of n whole numbers"),
    "labels that are no list": (*pickled({"data": ONE, "labels": 1}), "that are no list"),
    "a negative label": (*pickled(MINUS_ONE), "label -1"),
    "pictures of another size": (*pickled({"data": ONE[:, :768], "labels": [1]}), r"uint8 \(1, 768\)"),
    "no pictures": (*pickled({"labels": []}), "NoneType"),
    "a pickle that runs a command": (*pickled(b"\x80\x02cos\nsystem\nU\x04true\x85R."), r"os\.system"),
    "class names that are none": ("python", NO_NAMES, "no list of label_names"),
}


@pytest.mark.parametrize(("kind", "content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_archives_are_refused(tmp_path, kind, content, message):
    (tmp_path / form_of(CIFAR10, kind).archive.name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        CIFAR10.at(within(tmp_path)).load("test")
    assert not [*tmp_path.glob("cache/pictures/*")], "nothing is kept of it"


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "cifar-10-batches-bin/../../evil"])
def test_a_name_that_leads_out_of_the_archive_is_refused(tmp_path, name):
    files = {f"cifar-10-batches-bin/{file}": data for file, data in official_files(CIFAR10, "binary").items()}
    with pytest.raises(DataError, match="leads out of it"):
        tars.members(packed(files | {name: b"evil"}), "cifar-10-batches-bin", ["test_batch.bin"], "a test")


def linked(kind):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as made:
        member = tarfile.TarInfo("folder/file")
        member.type, member.linkname = kind, "/etc/passwd"
        made.addfile(member)
    return gzip.compress(content.getvalue())


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_links_and_the_like_are_no_files(kind):
    with pytest.raises(DataError, match="a test"):
        tars.members(linked(kind), "folder", ["file"], "a test")
    twice = io.BytesIO()
    with tarfile.open(fileobj=twice, mode="w") as made:
        for _ in range(2):
            made.addfile(tarfile.TarInfo("folder/file"))
    with pytest.raises(DataError, match="twice there"):
        tars.members(gzip.compress(twice.getvalue()), "folder", ["file"], "a test")


def test_bombs_are_bounded_by_what_they_unpack_to(tmp_path, monkeypatch):
    monkeypatch.setattr(tars, "_MAX_ALL_BYTES", 1 << 20)
    monkeypatch.setattr(tars, "_MAX_FILE_BYTES", 1 << 16)
    bomb = packed({"other": bytes(8 << 20), "file": b"x"}, "folder")
    assert len(bomb) < 1 << 16
    with pytest.raises(DataError, match="more than 1048576 bytes"):
        tars.members(bomb, "folder", ["file"], "a test")
    with pytest.raises(DataError, match="more than 65536 bytes"):
        tars.members(packed({"file": bytes(1 << 17)}, "folder"), "folder", ["file"], "a test")
    (tmp_path / "file").write_bytes(bytes(1 << 17))
    with pytest.raises(DataError, match="more than 65536 bytes"):
        tars.files(tmp_path, ["file"])


SMALL = packed({"file": b"content" * 40, "other": b"more"}, "folder")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_archives_are_read_or_refused(data):
    content = bytearray(gzip.decompress(SMALL))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, 1600))] = data.draw(st.integers(0, 255))
    damaged = gzip.compress(content, compresslevel=1)
    damaged = damaged[: data.draw(st.integers(len(damaged) // 2, len(damaged)))]
    try:
        assert {*tars.members(damaged, "folder", ["file"], "a test")} == {"file"}
    except DataError as error:
        assert "a test" in str(error)


def test_an_unpacked_folder_that_lacks_a_file_says_so(tmp_path):
    (write_unpacked(tmp_path, CIFAR10, "binary") / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"lacks data_batch_3\.bin"):
        CIFAR10.at(within(tmp_path)).load("train")


@pytest.mark.data
def test_the_real_cifar_10_is_whole_and_says_that_it_is_compressed(tmp_path):
    found = load_set("cifar10", Source(folder=Path(os.environ["JUGGLER_DATA"]), cache=tmp_path))
    train, test = found.training(), found.load("test")
    assert (train.images.shape, test.images.shape) == ((50_000, 3, 32, 32), (10_000, 3, 32, 32))
    assert train.counts().tolist() == [5000] * 10 and test.counts().tolist() == [1000] * 10
    assert train.notes == test.notes
    assert "JPEG-compressed: compare within it, not with published tables" in train.notes[0]
    again = found.load("test")
    assert again.sha256 == test.sha256 and isinstance(again.images, np.memmap)
    # The published means of CIFAR-10's channels are 0.4914, 0.4822, 0.4465.
    mean = [np.mean(train.images[:, channel], dtype=np.float64) / 255 for channel in range(3)]
    np.testing.assert_allclose(mean, (0.4914, 0.4822, 0.4465), atol=2e-3)


@pytest.fixture
def server(tmp_path):
    """Serve the files of a folder on this machine."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path / "public"))

        def log_message(self, *_):
            asked.append(self.path)

    (tmp_path / "public").mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}/", asked
        serving.shutdown()
        thread.join()


def test_the_public_archive_is_fetched_checked_and_kept(tmp_path, monkeypatch, server):
    monkeypatch.delenv("JUGGLER_OFFLINE")
    url, asked = server
    path, form, told = write_archive(tmp_path / "public", CIFAR10, "binary"), CIFAR10.forms[0], []
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    public = replace(form.archive, sha256=digest, urls=(url + path.name,))
    cifar = replace(CIFAR10, forms=(replace(form, archive=public),))
    source = Source(cache=tmp_path / "cache", progress=lambda value: told.append((value.done, value.total)))
    with pytest.raises(DataError, match="30 pictures or more, published were 50000"):
        cifar.at(source).load("train")
    check(cifar.at(replace(source, allow_modified=True)).load("test"), *parts_of(CIFAR10)["test"])
    assert asked == [f"/{path.name}"], "once"
    assert told[-1] == (path.stat().st_size,) * 2
    path.unlink()
    other = replace(cifar, forms=(replace(form, archive=replace(public, sha256="0" * 64)),))
    with pytest.raises(DataNotFound, match=r"holds a damaged copy.*404"):
        other.at(source).load("train")


def test_without_pillow_the_official_archives_are_read_and_parquet_says_what_is_missing(
    tmp_path, monkeypatch
):
    for home in ("archive", "parquet"):
        (tmp_path / home).mkdir()
    write_archive(tmp_path / "archive", CIFAR10, "binary")
    made_pictures.write_parquet(tmp_path / "parquet", CIFAR10)
    monkeypatch.setitem(sys.modules, "PIL", None)  # what an import finds where it is not installed
    assert len(CIFAR10.at(within(tmp_path / "archive")).load("test")) == 10
    with pytest.raises(Unavailable, match=re.escape(install_command("train"))):
        CIFAR10.at(within(tmp_path / "parquet")).load("test")
