"""Downloads files over https or http, or copies them from disk: verified, and replaced atomically."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from shared.errors import ConfigurationError, TransientError, VedetteError
from shared.redact import redact
from shared.tls_errors import explain_tls_error

MAX_MODEL_BYTES = 512 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_SCHEMES = ("https", "http", "file")
_TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)

Progress = Callable[[int, int | None], None]
"""Called with the bytes received and the total; the total is None if the server does not declare it."""


class Fetch(Protocol):
    """Downloads a URL to ``destination`` and returns the sha256 of the file.

    Raises TransientError if a retry may help, else ConfigurationError; no file remains in either case.
    """

    def __call__(self, url: str, destination: Path, *, sha256: str | None = None) -> str: ...


class NotThereError(ConfigurationError):
    """The server or folder does not have this file."""


class Downloader:
    """A ``Fetch`` with urllib. ``timeout_s`` limits each network operation, not the whole download."""

    def __init__(
        self, *, timeout_s: float = 15.0, progress: Progress | None = None, max_bytes: int = MAX_MODEL_BYTES
    ) -> None:
        self._timeout_s = timeout_s
        self._progress = progress
        self._max_bytes = max_bytes

    def __call__(self, url: str, destination: Path, *, sha256: str | None = None) -> str:
        shown = redact(url)
        if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
            raise ConfigurationError(f"cannot fetch {shown}: only https, http and file addresses are supported")
        with replacing(destination) as file:
            found = self._fetch(url, shown, file, destination)
            if sha256 is not None and found != sha256:
                raise ConfigurationError(
                    f"{shown} is not the expected file (sha256 {found[:12]}…, expected {sha256[:12]}…): a proxy or a "
                    "login page may have answered instead; the file was discarded"
                )
        return found

    def _fetch(self, url: str, shown: str, file: IO[bytes], destination: Path) -> str:
        try:
            with urllib.request.urlopen(_request(url), timeout=self._timeout_s) as response:  # noqa: S310
                return self._copy(response, shown, file, destination)
        except urllib.error.HTTPError as error:
            error.close()
            raise _refused(shown, error.code) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _unreachable(shown, error, on_disk=url.startswith("file:")) from error

    def _copy(self, response: Any, shown: str, file: IO[bytes], destination: Path) -> str:
        total = _content_length(response)
        digest, size = hashlib.sha256(), 0
        while chunk := response.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_bytes:
                raise ConfigurationError(
                    f"{shown} is larger than {self._max_bytes:,} bytes, the limit for a model file"
                )
            with _named_write_errors(destination):
                file.write(chunk)
            digest.update(chunk)
            if self._progress is not None:
                self._progress(size, total)
        if total is not None and size < total:
            raise TransientError(f"the download of {shown} stopped after {size:,} of {total:,} bytes; try again")
        return digest.hexdigest()


@contextmanager
def replacing(destination: Path) -> Generator[IO[bytes]]:
    """Open a temporary file that atomically replaces ``destination`` when the block ends, or is deleted on an error.

    Raises ConfigurationError if the folder cannot be created or written.
    """
    with _named_write_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=destination.parent, prefix=f".{destination.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            with _named_write_errors(destination):
                file.flush()
                os.fsync(file.fileno())
        with _named_write_errors(destination):
            part.chmod(0o644)
            part.replace(destination)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _named_write_errors(destination: Path) -> Generator[None]:
    """Convert an error of the file system to a ConfigurationError that names the folder."""
    try:
        yield
    except VedetteError:
        raise
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {destination.name} to the model cache {destination.parent}: {error.strerror or error}"
        ) from error


def _request(url: str) -> urllib.request.Request:
    """Build the request. Credentials in the address become a header, which urllib does not do itself."""
    parts = urllib.parse.urlsplit(url)
    userinfo, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(  # noqa: S310 - the scheme was checked
        urllib.parse.urlunsplit(parts._replace(netloc=host)), headers={"User-Agent": "vedette"}
    )
    if at:
        credentials = base64.b64encode(urllib.parse.unquote(userinfo).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {credentials}")
    return request


def _content_length(response: Any) -> int | None:
    stated = response.headers.get("Content-Length")
    return int(stated) if stated is not None and stated.isascii() and stated.isdigit() else None


def _refused(shown: str, status: int) -> VedetteError:
    if status in _TRY_AGAIN:
        return TransientError(f"{shown} returned HTTP status {status}; try again later")
    if status in (404, 410):
        return NotThereError(f"{shown} does not exist (HTTP status {status})")
    return ConfigurationError(f"access to {shown} was refused (HTTP status {status})")


def _unreachable(shown: str, error: Exception, *, on_disk: bool) -> VedetteError:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if on_disk:
        return NotThereError(f"cannot read {shown}: {redact(str(cause))}")
    if isinstance(cause, TimeoutError):
        return TransientError(f"{shown} does not answer; check the network, or try again later")
    why = explain_tls_error(error) or str(cause)
    return TransientError(f"{shown} cannot be reached ({redact(why) or type(cause).__name__})")
