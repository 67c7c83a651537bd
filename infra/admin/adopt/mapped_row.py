"""What a row becomes: the wire message of an event, and what is set on the stored event afterwards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from infra.admin.adopt.old_database import OldRow
from shared.errors import ContractError
from shared.ids import is_segment

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_IN_SEGMENT: Final = re.compile(r"[^A-Za-z0-9_-]")
_MAX_SEGMENT: Final = 100


@dataclass(frozen=True, slots=True)
class Places:
    """The site and the device that rows without one belong to, and the camera ids that had to be changed."""

    site_id: str
    device_id: str
    cameras: Mapping[str, str]

    def camera(self, old: str) -> str:
        return self.cameras.get(old, old)


@dataclass(frozen=True, slots=True)
class MappedRow:
    """A row that can be sent to ingest."""

    event_id: str
    timestamp: datetime
    wire: dict[str, Any]
    """The event; without a snapshot."""
    pictures: tuple[str, ...]
    """Paths of pictures as the old system wrote them; the first that exists becomes the snapshot."""
    number: int | None
    """The ``id`` of the old row, which is kept where it is free."""
    created_at: datetime | None


def moment(row: OldRow, column: str) -> datetime:
    """Return a time in UTC. Raises ContractError for NULL, and for a time outside the calendar, such as infinity."""
    text = row.get(column)
    try:
        found = datetime.fromisoformat(text or "")
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        problem = "is NULL" if text is None else "is not a time of the calendar"
        raise ContractError(f"{column} {problem}", reason="invalid") from None


def optional_moment(row: OldRow, column: str) -> datetime | None:
    """Return a time in UTC, or None where there is none that can be used."""
    try:
        return moment(row, column)
    except ContractError:
        return None


def required(row: OldRow, column: str) -> str:
    """Return a text. Raises ContractError for NULL and an empty one."""
    text = (row.get(column) or "").strip()
    if not text:
        raise ContractError(f"{column} is NULL or empty", reason="invalid")
    return text


def deterministic_event_id(timestamp: datetime, *identity: str) -> str:
    """Return the same UUIDv7 for the same row on each run. Its time is that of the event, by which events are found."""
    stamp_ms = max((timestamp - _EPOCH) // timedelta(milliseconds=1), 0) & 0xFFFF_FFFF_FFFF
    digest = int.from_bytes(hashlib.sha256("\0".join(("vedette adopt", *identity)).encode()).digest()[:10])
    return str(UUID(int=stamp_ms << 80 | 7 << 76 | (digest >> 62 & 0xFFF) << 64 | 2 << 62 | digest & ((1 << 62) - 1)))


def camera_names(old_ids: Iterable[str]) -> dict[str, str]:
    """Return new ids for those that are not valid. No two cameras get the same id."""
    ids = sorted(set(old_ids))
    taken = {name for name in ids if is_segment(name)}
    changed: dict[str, str] = {}
    for old in ids:
        if old in taken:
            continue
        name = _NOT_IN_SEGMENT.sub("-", old.strip())[:_MAX_SEGMENT] or "camera"
        if name in taken or name in changed.values():
            name = f"{name[: _MAX_SEGMENT - 9]}-{hashlib.sha256(old.encode()).hexdigest()[:8]}"
        changed[old] = name
    return changed
