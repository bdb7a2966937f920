"""What verbs ask of a network's inputs: their shapes and their element types, once for each input."""

from __future__ import annotations

from typing import Annotated

import typer

Shapes = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        help="Input without the batch: channels,height,width; once for each input. Default: the file's own, "
        "or 3,224,224.",
    ),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        "--dtype",
        help="Element type of the inputs: one for all, or once for each. Default: the network's own.",
    ),
]
