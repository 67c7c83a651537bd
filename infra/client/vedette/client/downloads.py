"""Writes responses to files, with progress."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from vedette.client.session import Session

Progress = Callable[[int, int | None], object]
"""Called with the bytes that have arrived, and the bytes in all, or None where that is not known."""


def download(
    session: Session,
    path: str,
    file: str | os.PathLike[str],
    progress: Progress | None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Path:
    """Write the body of a response to ``file``. The file appears when it is complete."""
    target = Path(file)
    partial = target.with_name(f"{target.name}.part")
    try:
        with partial.open("wb") as out:
            write_body(session, path, {}, out, progress, headers=headers)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def write_body(
    session: Session,
    path: str,
    parameters: Mapping[str, Any],
    out: IO[bytes],
    progress: Progress | None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Mapping[str, str]:
    """Write the body of a response to an open file; return the headers."""
    with session.open("GET", path, parameters, headers=headers) as response:
        length = response.headers.get("content-length", "")
        total = int(length) if length.isdecimal() and "content-encoding" not in response.headers else None
        done = 0
        for chunk in response.iter_bytes(64 * 1024):
            out.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
        return response.headers
