"""CIFAR-10: 60,000 pictures of 32 x 32 pixels in ten classes, 10,000 of them to test on."""

from __future__ import annotations

from juggler.data.readers.cifar_binary import BinaryLayout
from juggler.data.readers.cifar_python import PythonLayout
from juggler.data.readers.parquet import ParquetLayout
from juggler.data.sets._cifar import Cifar, Form, archive, folder_called

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))

SET = Cifar(
    name="cifar10",
    title="CIFAR-10",
    classes=CLASSES,
    forms=(
        Form(
            kind="binary",
            archive=archive(
                "cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
            ),
            folder="cifar-10-batches-bin",
            parts={"train": tuple(f"{name}.bin" for name in _TRAIN), "test": ("test_batch.bin",)},
            names="batches.meta.txt",
            layout=BinaryLayout(label_bytes=1, label_at=0),
        ),
        Form(
            kind="python",
            archive=archive(
                "cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
            ),
            folder="cifar-10-batches-py",
            parts={"train": _TRAIN, "test": ("test_batch",)},
            names="batches.meta",
            layout=PythonLayout(labels="labels", names="label_names"),
        ),
    ),
    parquet=ParquetLayout(
        folder=folder_called("cifar", "10"),
        label="label",
        classes=CLASSES,
        jpeg_note=("this copy of CIFAR-10 is JPEG-compressed: compare within it, not with published tables"),
    ),
)
