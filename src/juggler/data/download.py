"""Fetch one file over HTTPS: checked, atomic, and leaving nothing behind where it fails."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from juggler.errors import DataError
from juggler.files import sweep
from juggler.nouns import Progress, ReportProgress

_CHUNK_BYTES = 1 << 16
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class DownloadFailed(DataError):  # noqa: N818  # it names what happened, as `Refused` does
    """One public copy gave no good file; another may."""


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, *answer: Any) -> Any:
        """Follow a redirect only to where a download may go in the first place."""
        check_url(answer[-1])
        return super().redirect_request(req, *answer)


def check_url(url: str) -> None:
    """Raise DownloadFailed unless the address is HTTPS, or HTTP on this very machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise DownloadFailed(f"fetch {url}", f"scheme {parts.scheme!r}", "Only HTTPS is fetched")


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    max_bytes: int,
    timeout_s: float = 30.0,
    deadline_s: float = 3600.0,
    progress: ReportProgress | None = None,
) -> Path:
    """Fetch `url` into `target` if its digest is the expected one; `target` is whole or not there.

    The bytes go to a nameless temporary file in the same folder, so that a killed process leaves none, and
    take the target's name in one step, so that several processes may fetch the same file at once.

    Args:
        url: the address.
        target: the file to be.
        sha256: of the right bytes.
        max_bytes: what is longer is not taken.
        timeout_s: how long the answer may be silent.
        deadline_s: how long the whole of it may take: an answer that drips is never silent.
        progress: told the bytes.

    Raises:
        DownloadFailed: the address answers with an error, too slowly, too much, too little, or other bytes.
        DataError: the folder cannot be written, or the disk is full.
    """
    check_url(url)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent) as partial:
            digest = _receive(url, partial, max_bytes, (timeout_s, deadline_s), progress)
            if digest != sha256:
                raise DownloadFailed(
                    f"fetch {url}", f"its SHA-256 is {digest}, expected {sha256}", "Nothing was kept"
                )
            partial.seek(0)
            _publish(partial, target)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DataError(
            f"write {target}",
            "the disk is full" if full else error.strerror or str(error),
            "Make room there" if full else "Check the folder's permissions, or set XDG_CACHE_HOME",
        ) from error
    return target


def _receive(
    url: str,
    partial: IO[bytes],
    max_bytes: int,
    limits_s: tuple[float, float],
    progress: ReportProgress | None,
) -> str:
    """Copy the answer into `partial` and return its SHA-256; it may be silent, and take, so many seconds."""
    timeout_s, deadline_s = limits_s
    begun = time.monotonic()
    opener = urllib.request.build_opener(_CheckedRedirects)
    request = urllib.request.Request(url, headers={"User-Agent": "juggler"})  # noqa: S310  # checked above
    digest, done = hashlib.sha256(), 0
    with _open(opener, request, timeout_s) as answer:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        while chunk := _next(answer, url):
            done += len(chunk)
            if time.monotonic() - begun > deadline_s:
                fault = f"{done} bytes after {deadline_s:g} s"
                raise DownloadFailed(f"fetch {url}", fault, "Nothing was kept. Try again, or elsewhere")
            if done > max_bytes:
                raise DownloadFailed(f"fetch {url}", f"more than {max_bytes} bytes", "Nothing was kept")
            partial.write(chunk)
            digest.update(chunk)
            if progress is not None:
                progress(Progress("download", done, total, "bytes"))
    if total is not None and done != total:
        raise DownloadFailed(
            f"fetch {url}", f"it broke off after {done} of {total} bytes", "Nothing was kept"
        )
    partial.flush()
    return digest.hexdigest()


def _open(opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout_s: float) -> Any:
    try:
        return opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed(
            f"fetch {request.full_url}", f"HTTP status {error.code} ({error.reason})", "Nothing was kept"
        ) from error
    except (OSError, http.client.HTTPException) as error:  # URLError, timeouts and broken connections
        reason = getattr(error, "reason", error)
        raise DownloadFailed(
            f"fetch {request.full_url}", f"no answer ({reason})", "Nothing was kept"
        ) from error


def _next(answer: Any, url: str) -> bytes:
    """Read what has come; a network error is told apart from an error of the disk."""
    try:
        chunk: bytes = answer.read1(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise DownloadFailed(f"fetch {url}", f"it broke off ({error})", "Nothing was kept") from error
    return chunk


def _publish(partial: IO[bytes], target: Path) -> None:
    """Give the bytes the target's name in one step."""
    sweep(target)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:64]}.")
    try:
        with os.fdopen(handle, "wb") as named:
            shutil.copyfileobj(partial, named)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
