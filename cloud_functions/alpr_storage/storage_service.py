"""``StorageService``: stores and finds plate reads as dicts under the column names of ALPR storage services."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self
from uuid import UUID

from psycopg.conninfo import make_conninfo
from pydantic_core import to_json

from cloud_functions.alpr_storage.pooled_database import PooledDatabase
from cloud_functions.db.plates.alpr_rows import alpr_row, image_addresses
from cloud_functions.db.plates.record import PlateEvent
from cloud_functions.db.types import Connection
from cloud_functions.ingest.dead_letters import NoDeadLetters
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.ingest.sources.messages import Invocation, Message
from cloud_functions.privacy import plate_store
from cloud_functions.privacy.plate_store import PlateStats
from shared.errors import VedetteError

_SMALLEST_STEP: Final = timedelta(microseconds=1)


class StorageService:
    """Plate reads in a Vedette database. Thread-safe; writes run one after another.

    Reads are written through ingest, so statistics, watch-lists and protected plates are the same as for reads from
    devices. The plates of protected sites are None in results.
    """

    def __init__(  # noqa: PLR0917 - clients pass these in the documented order
        self,
        host: str = "localhost",
        port: int = 5432,
        database: str = "alpr_db",
        user: str = "alpr",
        password: str | None = None,
        min_conn: int = 1,
        max_conn: int = 10,
        *,
        api_url: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start a pool of ``min_conn`` to ``max_conn`` connections, without waiting for the server.

        ``api_url``: the address of the API. Snapshots of devices are linked through it; without it they have no
        address. ``variables``: the environment variables of the ingest function, for example ``EVENTS_TOPIC_ARN``;
        by default those of the process.

        Raises:
            ConfigurationError: the sizes of the pool or a variable are invalid.
        """
        conninfo = make_conninfo("", host=host, port=port, dbname=database, user=user, password=password)
        self._database = PooledDatabase(conninfo, min_size=min_conn, max_size=max_conn)
        self._ingest = build_ingest(variables, database=self._database, dead_letters=NoDeadLetters())
        self._write_lock = threading.Lock()
        self._api_url = None if api_url is None else api_url.rstrip("/")

    def insert_event(self, event: Mapping[str, Any]) -> bool:
        """Store a read; return whether it is stored, also if it was stored before.

        False means that the read is invalid or that the database is unavailable; the log has the reason. A second
        read with the same ``event_id`` and another time is invalid.
        """
        return self.insert_batch([event]) == 1

    def insert_batch(self, events: Sequence[Mapping[str, Any]]) -> int:
        """Store reads; return how many of them are stored, including those that were stored before."""
        messages = [_message(str(number), event) for number, event in enumerate(events)]
        with self._write_lock:
            result = self._ingest.process(Invocation(messages, [], partial=True))
        return len(messages) - len(result.failed | result.rejected)

    def get_event_by_id(self, event_id: str | UUID) -> dict[str, Any] | None:
        """Return the read with this UUID, or None. Raises TransientError while the database is unavailable."""
        try:
            uuid = UUID(str(event_id))
        except ValueError:
            return None

        def find(connection: Connection) -> list[PlateEvent]:
            read = plate_store.get_event_by_id(connection, uuid)
            return [] if read is None else [read]

        return next(iter(self._rows(find)), None)

    def get_events_by_plate(self, plate_text: str, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """Return the reads of one complete plate, newest first; case and separators do not matter."""
        return self._rows(
            lambda connection: plate_store.get_events_by_plate(connection, plate_text, limit=limit, offset=offset)
        )

    def get_events_by_camera(
        self,
        camera_id: str,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Return one camera's reads, newest first. Both times are inclusive; a time without a zone is UTC."""
        start, end = _utc(start_time), _utc(end_time)
        end = None if end is None else end + _SMALLEST_STEP
        return self._rows(
            lambda connection: plate_store.get_events_by_camera(
                connection, camera_id, start=start, end=end, limit=limit
            )
        )

    def get_recent_events(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the newest reads of all cameras."""
        return self._rows(lambda connection: plate_store.get_recent_events(connection, limit=limit))

    def get_stats(self) -> dict[str, Any]:
        """Return exact totals and averages, and ``is_connected``; without a database all others are None."""
        try:
            with self._database.transaction() as connection:
                return {"is_connected": True} | asdict(plate_store.get_stats(connection))
        except VedetteError:
            return {"is_connected": False} | dict.fromkeys(field.name for field in fields(PlateStats))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self, find: Callable[[Connection], list[PlateEvent]]) -> list[dict[str, Any]]:
        with self._database.transaction() as connection:
            reads = find(connection)
            images = image_addresses(connection, reads)
        return [alpr_row(read, images, api_url=self._api_url) for read in reads]


def _message(message_id: str, event: Mapping[str, Any]) -> Message:
    # Values of other types, such as a number of numpy, are written as text, which the mapping reads again.
    payload = to_json(dict(event), inf_nan_mode="null", fallback=str)
    return Message(message_id, payload.decode(), None, payload, time.time_ns() // 1_000_000)


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
