"""Reads files in chunks, so that an object of any size needs little memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 1024 * 1024


class FileContent:
    """An open file, or a part of it, as the body of a WSGI response: the server iterates it once and closes it.

    A file that is replaced or deleted meanwhile is still read as it was when it was opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size_bytes = os.fstat(self._file.fileno()).st_size
        self._left = self.size_bytes

    def only(self, first: int, last: int) -> None:
        """Restrict the content to the bytes from ``first`` to ``last``, both included."""
        self._file.seek(first)
        self._left = last - first + 1

    def __iter__(self) -> Iterator[bytes]:
        while self._left > 0 and (chunk := self._file.read(min(self._left, _CHUNK_BYTES))):
            self._left -= len(chunk)
            yield chunk

    def close(self) -> None:
        self._file.close()


def file_chunks(path: Path) -> Iterator[bytes]:
    """Yield a file in chunks of at most 1 MiB."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
