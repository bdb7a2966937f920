"""CIFAR-100: 60,000 pictures of 32 x 32 pixels in a hundred classes, the fine ones, 10,000 to test on."""

from __future__ import annotations

from juggler.data.readers.cifar_binary import BinaryLayout
from juggler.data.readers.cifar_python import PythonLayout
from juggler.data.readers.parquet import ParquetLayout
from juggler.data.sets._cifar import Cifar, Form, archive, folder_called

_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard
    lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
    pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal
    shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
    telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CLASSES = tuple(_NAMES.split())

SET = Cifar(
    name="cifar100",
    title="CIFAR-100",
    classes=CLASSES,
    forms=(
        Form(
            kind="binary",
            archive=archive(
                "cifar-100-binary.tar.gz", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"
            ),
            folder="cifar-100-binary",
            parts={"train": ("train.bin",), "test": ("test.bin",)},
            names="fine_label_names.txt",
            layout=BinaryLayout(label_bytes=2, label_at=1),  # the coarse label comes first
        ),
        Form(
            kind="python",
            archive=archive(
                "cifar-100-python.tar.gz", "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
            ),
            folder="cifar-100-python",
            parts={"train": ("train",), "test": ("test",)},
            names="meta",
            layout=PythonLayout(labels="fine_labels", names="fine_label_names"),
        ),
    ),
    parquet=ParquetLayout(
        folder=folder_called("cifar", "100"),
        label="fine_label",
        classes=CLASSES,
        misspelt={"cra": "crab"},  # in the names that Hugging Face's copy carries
        jpeg_note=("this copy of CIFAR-100 is JPEG-compressed: compare within it, not with published tables"),
    ),
)
