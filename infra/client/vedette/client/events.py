"""Events, their statistics and their pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Final, TypedDict, Unpack

from vedette.client.downloads import Progress, download, write_body
from vedette.client.errors import NotFoundError
from vedette.client.paging import by_cursor
from vedette.client.session import Session
from vedette.client.types import (
    DeleteEventResponse,
    DeleteEventsRequest,
    DeleteEventsResponse,
    EventResponse,
    EventStatisticsResponse,
    SignedUrlResponse,
)

PATH: Final = "/api/events"
EventRef = int | str
"""The ``id`` or the ``event_id`` of an event."""
Time = datetime | str
"""An aware datetime, or RFC 3339 text; a time without a zone is UTC."""


class EventConditions(TypedDict, total=False):
    """Conditions that events meet, all of them."""

    camera_id: str
    event_type: str
    class_name: str
    min_confidence: float
    zone: str
    site_id: str
    license_plate: str
    start_time: Time
    end_time: Time


class Events:
    """``client.events``."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, *, page_size: int = 100, **conditions: Unpack[EventConditions]) -> Iterator[EventResponse]:
        """Yield events, newest first; pages of ``page_size`` (at most 500) are requested as they are needed."""
        return by_cursor(self._session, PATH, "events", {**conditions, "page_size": page_size})

    def get(self, event: EventRef) -> EventResponse:
        """Return one event."""
        return self._session.json("GET", f"{PATH}/{event}")

    def statistics(self, **conditions: Unpack[EventConditions]) -> EventStatisticsResponse:
        """Return exact totals by type and by camera."""
        return self._session.json("GET", f"{PATH}/stats", dict(conditions))

    def recent(self, *, limit: int = 100) -> Sequence[EventResponse]:
        """Return the newest events of all cameras."""
        return self._session.json("GET", f"{PATH}/recent", {"limit": limit})["events"]

    def delete_matching(self, conditions: DeleteEventsRequest) -> DeleteEventsResponse:
        """Delete a batch of the events that meet the conditions; repeat while ``remaining`` is not 0."""
        return self._session.json("POST", f"{PATH}/delete", body=conditions)

    def snapshot_url(self, event: EventRef) -> SignedUrlResponse:
        """Return an address from which anyone can load the snapshot until it expires."""
        return self._session.json("GET", f"{PATH}/{event}/snapshot-url")

    def delete(self, event: EventRef, *, delete_snapshot: bool = False) -> DeleteEventResponse:
        """Delete one event, and its snapshot on request."""
        return self._session.json("DELETE", f"{PATH}/{event}", {"delete_snapshot": delete_snapshot})

    def snapshot(self, event: EventRef, *, wait_s: float = 0.0) -> bytes:
        """Return the annotated image. A device may send it later than the event: wait up to ``wait_s`` for it."""
        return self._image(f"{PATH}/{event}/snapshot", wait_s)

    def thumbnail(self, event: EventRef, *, wait_s: float = 0.0) -> bytes:
        """Return a small JPEG of the snapshot."""
        return self._image(f"{PATH}/{event}/thumbnail", wait_s)

    def download_snapshot(
        self, event: EventRef, file: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> Path:
        """Write the snapshot to a file."""
        return download(self._session, f"{PATH}/{event}/snapshot", file, progress)

    def export(
        self,
        out: IO[bytes],
        *,
        form: str = "ndjson",
        progress: Progress | None = None,
        **conditions: Unpack[EventConditions],
    ) -> None:
        """Write all events to an open file as ``ndjson`` or ``csv``, also where the API sends them in parts."""
        parameters = {**conditions, "format": form, "cursor": None}
        while True:
            begin = out.tell() if form == "csv" and parameters["cursor"] else None
            headers = write_body(self._session, f"{PATH}/export", parameters, out, progress)
            if begin is not None:
                _remove_first_line(out, begin)
            parameters["cursor"] = headers.get("x-next-cursor")
            if not parameters["cursor"]:
                return

    def _image(self, path: str, wait_s: float) -> bytes:
        deadline_s = time.monotonic() + wait_s
        while True:
            try:
                with self._session.open("GET", path) as response:
                    return response.read()
            except NotFoundError as error:
                pause_s = min(error.retry_after_s or 1.0, max(deadline_s - time.monotonic(), 0.0))
                if error.code != "snapshot-pending" or pause_s <= 0:
                    raise
                time.sleep(pause_s)


def _remove_first_line(file: IO[bytes], begin: int) -> None:
    """Remove the heading of a CSV part, which the first part has already."""
    file.seek(begin)
    part = file.read()
    file.seek(begin)
    file.truncate()
    file.write(part.partition(b"\n")[2])
