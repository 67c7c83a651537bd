"""Free space, free inodes and write access of folders, as findings of ``doctor``."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.diagnosis import Finding, Status

_GIB: Final = 1024**3


@dataclass(frozen=True, slots=True)
class SpaceLimits:
    """What is left below which a folder is reported. A small disk may have less than ``warn_bytes`` in all."""

    warn_bytes: int = 2 * _GIB
    fault_bytes: int = 200 * 1024**2
    warn_inodes_ratio: float = 0.05


def disk_findings(folders: Mapping[str, Path], *, limits: SpaceLimits | None = None) -> Iterator[Finding]:
    """Yield a finding for each file system of ``folders`` (by what is in them), and for folders that refuse writes."""
    by_device: dict[int, tuple[list[str], Path]] = {}
    for name, folder in folders.items():
        try:
            device = folder.stat().st_dev
        except OSError as error:
            yield Finding("disk", "fault", f"{folder} ({name}) cannot be read: {error.strerror}", "create or mount it")
            continue
        by_device.setdefault(device, ([], folder))[0].append(name)
        if (problem := _write_problem(folder)) is not None:
            text = f"{folder} ({name}) cannot be written: {problem}"
            yield Finding("disk", "fault", text, "free space, mount it for writing, or correct its owner and mode")
    for names, folder in by_device.values():
        yield _space(", ".join(names), folder, limits or SpaceLimits())


def _space(names: str, folder: Path, limits: SpaceLimits) -> Finding:
    usage = shutil.disk_usage(folder)
    inodes = os.statvfs(folder)
    text = f"{usage.free / _GIB:.1f} of {usage.total / _GIB:.1f} GiB are free for {names} in {folder}"
    if inodes.f_files and inodes.f_favail < inodes.f_files * limits.warn_inodes_ratio:
        text = f"{inodes.f_favail} of {inodes.f_files} inodes are free for {names} in {folder}"
        return Finding(
            "disk", "warning" if inodes.f_favail else "fault", text, "delete small files, or enlarge the disk"
        )
    if usage.free >= limits.warn_bytes:
        return Finding("disk", "ok", text)
    status: Status = "fault" if usage.free < limits.fault_bytes else "warning"
    return Finding("disk", status, text, "enlarge the disk, or keep events and pictures for a shorter time")


def _write_problem(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
