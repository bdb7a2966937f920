"""Who made an artefact: Ed25519 signatures in a file beside it, checked offline against a key one was handed.

The digest within an artefact shows damage; who changes the file changes the digest too. A signature covers
the whole file, a name and the moment of signing, so that neither another file nor an older one of the same
name passes: the newest moment that was seen for a key and a name is kept in the user's state folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import warnings
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from platformdirs import user_state_dir

from juggler.errors import ConfigError, Unavailable
from juggler.extras import install_command
from juggler.files import write_atomically
from juggler.reading.content import read_content
from juggler.reading.documents import DocumentLimits, parse_object, read_json
from juggler.reading.request import Request

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = 1
SUFFIX = ".signature"
PUBLIC = ".pub"
PRIVATE_MODE = 0o600
_KEY_BYTES = 16_384
_LIMITS = DocumentLimits(size=16_384, depth=2)
_DOMAIN = b"juggler artefact signature 1\n"  # what is signed can be mistaken for nothing else


@dataclass(frozen=True)
class Signature:
    """What is signed, beside the signature itself.

    Attributes:
        name: what the artefact is for; an older one of the same name is refused.
        sha256: of the whole file.
        signed_at: when, in UTC, to the second, as ISO 8601.
        key: the first 16 digits of the SHA-256 of the public key.
        format: of this record.
    """

    name: str
    sha256: str
    signed_at: str
    key: str
    format: int = FORMAT

    def message(self) -> bytes:
        """Return the bytes that are signed."""
        return _DOMAIN + json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()


def new_key(path: Path) -> Path:
    """Make a pair of keys: the private one in `path`, for its owner's eyes only, the public one beside it.

    Returns:
        The file of the public key, which goes to whoever checks.

    Raises:
        ConfigError: one of the files is there already, or cannot be written.
        Unavailable: cryptography is not installed.
    """
    ed25519, serialization = _cryptography()
    public = path.with_name(path.name + PUBLIC)
    for file in (path, public):
        if file.exists():
            raise ConfigError(f"make the key {path}", f"there is {file} already", "Name another file")
    key = ed25519.Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Never readable by others, not even for a moment; and never over what is there.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        with os.fdopen(handle, "wb") as target:
            target.write(secret)
    except OSError as error:
        raise ConfigError(
            f"make the key {path}", error.strerror or str(error), "Name another file"
        ) from error
    return write_atomically(
        public,
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


def sign(artefact: Path, content: bytes, key: Path, name: str | None = None) -> Path:
    """Sign a file; return the path of the signature, which lies beside it.

    Args:
        artefact: the file.
        content: its bytes.
        key: file of the private key.
        name: what the artefact is for; the file's own name where it is left out.

    Raises:
        ConfigError: no private key, one that others may read, or the signature cannot be written.
        Unavailable: cryptography is not installed.
    """
    private = _private_key(key)
    record = Signature(
        name=name or artefact.name,
        sha256=hashlib.sha256(content).hexdigest(),
        signed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        key=_key_id(private.public_key()),
    )
    fields = asdict(record) | {"signature": base64.b64encode(private.sign(record.message())).decode()}
    return write_atomically(signature_path(artefact), f"{json.dumps(fields, indent=1)}\n".encode())


def verify(artefact: Path, content: bytes, key: Path, *, state: Path | None = None) -> Signature:
    """Check that a file is as its owner signed it, and not older than one that was seen before.

    Args:
        artefact: the file, beside which its signature lies.
        content: its bytes.
        key: file of the public key.
        state: folder that keeps the newest moment by key and name; None is the user's.

    Raises:
        ArtefactError: it is not signed, signed with another key, changed since, or older.
        ConfigError: no public key.
        Unavailable: cryptography is not installed.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # after the check for the package

    public = _public_key(key)
    request = Request(f"trust {artefact}", "Take it from its owner again, with its signature")
    path = signature_path(artefact)
    if not path.exists():
        raise request.refusal(f"it is not signed: there is no {path.name} beside it")
    fields = read_json(path, request, _LIMITS)
    with request.refusing("signature"):
        raw = base64.b64decode(fields.pop("signature"), validate=True)
        record = Signature(**fields)
        if not all(
            isinstance(text, str) for text in (record.name, record.sha256, record.signed_at, record.key)
        ):
            raise ValueError("a field that is no text")
        moment = datetime.fromisoformat(record.signed_at)
    if record.format != FORMAT or record.key != _key_id(public):
        raise request.refusal(f"it is signed with the key {record.key}, not with {_key_id(public)}")
    try:
        public.verify(raw, record.message())
    except InvalidSignature as error:
        raise request.refusal("its signature is not by this key") from error
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise request.refusal("it was changed after it was signed")
    _refuse_older(record, moment, request, state or Path(user_state_dir("juggler")) / "trusted")
    return record


def signature_path(artefact: Path) -> Path:
    """Return where the signature of a file lies."""
    return artefact.with_name(artefact.name + SUFFIX)


def _refuse_older(record: Signature, moment: datetime, request: Request, state: Path) -> None:
    """Refuse what was signed before the newest of its key and name, and keep the newest.

    Raises:
        ArtefactError: it is older.
    """
    path = state / f"{record.key}.json"
    # A damaged note is an error, and no leave to begin anew.
    notes = parse_object(read_content(path, request, 1 << 20), request) if path.exists() else {}
    with request.refusing(f"note of what was trusted, in {path}"):
        newest = datetime.fromisoformat(notes[record.name]) if record.name in notes else None
        is_older = newest is not None and moment < newest
    if is_older:
        raise request.refusal(
            f"it was signed at {record.signed_at}; one of {notes[record.name]} was seen before"
        )
    if newest is None or moment > newest:
        try:
            write_atomically(path, json.dumps(notes | {record.name: record.signed_at}, indent=1).encode())
        except ConfigError as error:
            warnings.warn(
                f"what was trusted cannot be noted ({error.found}): an older artefact would pass next time",
                UserWarning,
                stacklevel=2,
            )


def _private_key(path: Path) -> Ed25519PrivateKey:
    ed25519, serialization = _cryptography()
    request = Request(
        f"sign with {path}", "Name a private key that `juggler sign --new-key` made", ConfigError
    )
    content = read_content(path, request, _KEY_BYTES)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise ConfigError(request.asked, f"others may read it (mode {mode:o})", f"chmod 600 {path}")
    with request.refusing("private key"):
        key = serialization.load_pem_private_key(content, password=None)
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise request.refusal("a key of another kind than Ed25519")
    return cast("Ed25519PrivateKey", key)


def _public_key(path: Path) -> Ed25519PublicKey:
    ed25519, serialization = _cryptography()
    request = Request(f"check with {path}", "Name the .pub file of `juggler sign --new-key`", ConfigError)
    with request.refusing("public key"):
        key = serialization.load_pem_public_key(read_content(path, request, _KEY_BYTES))
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise request.refusal("a key of another kind than Ed25519")
    return cast("Ed25519PublicKey", key)


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _cryptography() -> tuple[Any, Any]:
    """Return the modules that make keys, and that read and write them.

    Raises:
        Unavailable: cryptography is not installed.
    """
    try:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # an extra
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError as error:
        raise Unavailable(
            "sign or check a signature", f"cryptography is not installed ({error})", install_command("sign")
        ) from error
    return ed25519, serialization
