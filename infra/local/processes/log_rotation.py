"""Limits the size of the stack's logs while their writers run.

Writers keep their file open in append mode, so a log is copied to ``NAME.log.1`` and then truncated in place
(``copytruncate`` in logrotate); writers need no signal. Lines written between copy and truncation are lost.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

LARGEST_LOG_BYTES = 10 * 1024 * 1024
"""Size at which a log is rotated. One rotated copy is kept, so each part uses at most about twice this size."""


def rotate_logs(folder: Path, *, largest_bytes: int = LARGEST_LOG_BYTES) -> list[Path]:
    """Rotate every log in ``folder`` that is larger than ``largest_bytes``; return the rotated ones.

    A log that cannot be copied because the disk is full is truncated anyway, to free space.
    """
    return [path for path in sorted(folder.glob("*.log")) if _size(path) > largest_bytes and _rotate(path)]


def _rotate(path: Path) -> bool:
    kept = path.with_suffix(".log.1")
    try:
        shutil.copyfile(path, kept)
    except OSError as error:
        with contextlib.suppress(OSError):
            kept.unlink()
        log.warning("%s is truncated without a copy: %s", path.name, error.strerror)
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
