"""`juggler sign`: say by a signature who made an artefact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from juggler.cli.audience import PLANT
from juggler.cli.console import OUT, escape
from juggler.errors import ConfigError
from juggler.runtime.artefact import Artefact
from juggler.signatures import new_key as make_key
from juggler.signatures import sign as sign_file

File = Annotated[Path | None, typer.Argument(help="The artefact to sign.")]
Key = Annotated[Path | None, typer.Option(help="File of the private key.")]
New = Annotated[Path | None, typer.Option("--new-key", help="Make a pair of keys: FILE and FILE.pub.")]
Name = Annotated[str | None, typer.Option(help="What the artefact is for; the file's name if absent.")]


def sign(artefact: File = None, key: Key = None, new_key: New = None, name: Name = None) -> None:
    """Sign an artefact, so that `juggler detect --trust` takes it and no other.

    The signature covers the whole file, the name and the moment; it lies beside the file, in FILE.signature.
    The private key stays with who signs; the .pub file goes to the plant. Nothing is sent anywhere.

    Examples: juggler sign --new-key plant.key; juggler sign detector.onnx --key plant.key
    """
    if new_key is not None:
        public = make_key(new_key)
        OUT.print(f"[green]✓[/] {escape(new_key)}, which stays here, and {escape(public)}", soft_wrap=True)
    if artefact is None:
        if new_key is None:
            raise ConfigError("sign", "no artefact", "Name one, and --key; or make keys with --new-key FILE")
        return
    if key is None and new_key is None:
        raise ConfigError(f"sign {artefact}", "no key", "Give --key FILE; --new-key FILE makes one")
    loaded = Artefact.load(artefact)  # what is damaged is not signed
    path = sign_file(artefact, loaded.graph, key or new_key or Path(), name)
    OUT.print(f"[green]✓[/] {escape(path)}", soft_wrap=True)


VERB = sign
PANEL = PLANT
