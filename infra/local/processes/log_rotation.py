"""Keeps the logs of the stack bounded while their writers run.

Each writer holds its file open and appends, so a log is copied to ``NAME.log.1`` and then cut to nothing in place
(logrotate's ``copytruncate``): no writer has to be told. Lines written between the copy and the cut are lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

LARGEST_LOG_BYTES = 10 * 1024 * 1024
"""A log is rotated beyond this; with the one kept before it, each part takes at most about twice as much."""


def rotate_logs(folder: Path, *, largest_bytes: int = LARGEST_LOG_BYTES) -> list[Path]:
    """Rotate every log in ``folder`` that is larger than ``largest_bytes``; return those that were.

    A log that cannot be copied (the disk is full) is cut all the same, so that the disk gets room again.
    """
    return [path for path in sorted(folder.glob("*.log")) if _size(path) > largest_bytes and _rotate(path)]


def _rotate(path: Path) -> bool:
    kept = path.with_suffix(".log.1")
    try:
        shutil.copyfile(path, kept)
    except OSError as error:
        with contextlib.suppress(OSError):
            kept.unlink()
        log.warning("%s is cut without a copy: %s", path.name, error.strerror)
    try:
        os.truncate(path, 0)
    except OSError as error:
        log.warning("%s cannot be rotated: %s", path.name, error.strerror)
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
