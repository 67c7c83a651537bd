"""Files that only the agent may read, replaced in one step: a crash leaves the old or the new content, never a part."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from shared.errors import TransientError

_MODE = 0o600


class PreparedFile:
    """New content on disk beside the file that it is to replace."""

    def __init__(self, path: Path, content: bytes) -> None:
        """Write ``content`` to a temporary file. Raises TransientError, for example where the disk is full."""
        self._path = path
        self._temporary = path.with_name(f"{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary.unlink(missing_ok=True)  # of a process that was killed; its mode is not known
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.discard()
            raise _cannot_write(path, error) from error

    def commit(self) -> None:
        """Replace the file. Raises TransientError and leaves the old content where that fails."""
        try:
            self._temporary.replace(self._path)
        except OSError as error:
            raise _cannot_write(self._path, error) from error
        # The file is replaced. Some network file systems cannot sync a folder, which is not a reason to undo that.
        with suppress(OSError):
            _sync_folder(self._path.parent)

    def discard(self) -> None:
        """Delete the new content."""
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600 in one step. Raises TransientError where that fails."""
    PreparedFile(path, content).commit()


def _cannot_write(path: Path, error: OSError) -> TransientError:
    return TransientError(f"cannot write {path}: {error.strerror}")


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
