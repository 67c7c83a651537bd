"""Space, inodes and write access of the folders of a one-machine stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infra.admin.doctor.context import DoctorContext
from shared.diagnosis import Finding
from shared.disk_space import disk_findings


def disk(context: DoctorContext) -> Iterator[Finding]:
    """The state folder with its queues and logs, the database and the objects; each file system once."""
    if context.state is None:
        yield Finding("disk", "skipped", "the database and the bucket are on other machines: see their metrics")
        return
    folders = {"queues and logs": context.state.path}
    if (context.state.path / "postgres").is_dir():
        folders["database"] = context.state.path / "postgres"
    folders["objects"] = Path(context.state.description().get("objects") or context.state.objects)
    yield from disk_findings(folders, limits=context.space)
