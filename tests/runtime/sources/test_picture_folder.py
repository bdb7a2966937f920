"""A folder of pictures, listed and cropped as ImageNet's are."""

import numpy as np
import pytest
from PIL import Image

from juggler.data.source import DataNotFound
from juggler.data.standard import Standard
from juggler.errors import ConfigError
from juggler.runtime.sources.picture_folder import crops, picture_folder, resized

PLAIN = Standard((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def fill(root, classes=("ant", "bee"), count=8, size=(8, 8)):
    rng = np.random.default_rng(0)
    for name in classes:
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


def test_a_folder_of_classes_is_tested_on_but_for_what_calibrates(tmp_path):
    found = picture_folder(fill(tmp_path))
    assert found.classes == ("ant", "bee")
    assert (len(found), len(found.calibration.files)) == (12, 4)
    assert not {*found.test.files} & {*found.calibration.files}
    assert np.bincount(found.test.labels).tolist() == [6, 6]
    assert "4 to calibrate on" in found.taken
    assert [path.parent.name for path in found.test.files] == [found.classes[i] for i in found.test.labels]


def test_a_folder_with_parts_is_tested_on_its_test_part(tmp_path):
    fill(tmp_path / "train", count=6)
    fill(tmp_path / "val", count=3)
    found = picture_folder(tmp_path)
    assert len(found) == 6
    assert all("val" in path.parts for path in found.test.files)
    assert all("train" in path.parts for path in found.calibration.files)


def test_a_sample_takes_each_class_in_proportion(tmp_path):
    found = picture_folder(fill(tmp_path), sample=4)
    assert np.bincount(found.test.labels).tolist() == [2, 2]
    assert "a sample of 4" in found.taken
    assert len(picture_folder(tmp_path, sample=10_000)) == 12


def test_the_middle_is_cut_out_after_resizing(tmp_path):
    assert (resized(224), resized(299), resized(7)) == (256, 342, 8)
    found = picture_folder(fill(tmp_path))
    ((images, labels),) = crops(found.test, 7, PLAIN)
    assert images.shape == (12, 3, 7, 7)
    first = np.asarray(Image.open(found.test.files[0])).transpose(2, 0, 1)
    assert np.allclose(images[0], first[:, :7, :7] / 255)
    assert labels.tolist() == found.test.labels.tolist()


def test_pixels_are_standardised_by_imagenet(tmp_path):
    found = picture_folder(fill(tmp_path))
    ((plain, _),) = crops(found.test, 7, PLAIN)
    ((usual, _),) = crops(found.test, 7)
    assert np.allclose(usual[:, 0], (plain[:, 0] - 0.485) / 0.229, atol=1e-6)


def test_what_is_no_folder_is_told(tmp_path):
    with pytest.raises(DataNotFound, match="is no folder"):
        picture_folder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="Give 1 or more"):
        picture_folder(fill(tmp_path), sample=0)
