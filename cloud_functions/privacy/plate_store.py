"""Stores and finds plate reads: functions that take a connection.

A read is stored as an ``anpr`` event; triggers add it to ``plate_events`` in the same transaction (see migration 0003).
Deleting the event deletes the read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg import sql
from pydantic import ValidationError
from pydantic_core import to_json

from cloud_functions.db.cameras.scope import CAMERA_ID_IN_SCOPE, CameraScope
from cloud_functions.db.events.insert import EventRow, insert_events
from cloud_functions.db.plates.queries import PlateFilter, find_plate, newest_plates
from cloud_functions.db.plates.record import PlateEvent
from cloud_functions.db.types import Connection
from cloud_functions.privacy.sealing import seal_row
from cloud_functions.privacy.vault import PlateVault
from shared.clock import format_utc
from shared.errors import ContractError
from shared.events import AnprData, AnprEvent, contract_error
from shared.ids import Uuid7Generator
from shared.plates import normalize_plate
from shared.storage_keys import check_image_key

_new_event_id: Final = Uuid7Generator()
_STATS: Final = (
    "SELECT total_events, unique_plates, active_cameras, avg_confidence, avg_latency_ms FROM plate_events_stats"
)
# The same as the view, for the cameras of a scope. Distinct plates are not counted by camera, so their reads are read.
_STATS_IN_SCOPE: Final = sql.SQL("""
SELECT COALESCE(sum(events), 0)::bigint, (SELECT count(DISTINCT plate_normalized_text) FROM plate_events WHERE {scope}),
       count(DISTINCT camera_id),
       (sum(confidence_micros) / 1000000 / NULLIF(sum(events), 0))::double precision,
       (sum(latency_micros) / 1000 / NULLIF(sum(latency_events), 0))::double precision
FROM plate_camera_counts WHERE events > 0 AND {scope}
""").format(scope=sql.SQL(CAMERA_ID_IN_SCOPE))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPlate:
    """A plate read to store. ``event_id`` defaults to a new UUIDv7; give one to make storing idempotent."""

    site_id: str
    device_id: str
    camera_id: str
    captured_at: datetime
    plate_text: str
    confidence: float
    event_id: UUID = field(default_factory=_new_event_id)
    host: str | None = None
    track_id: int | None = None
    track_uid: str | None = None
    region: str | None = None
    vehicle_type: str | None = None
    vehicle_make: str | None = None
    vehicle_model: str | None = None
    vehicle_color: str | None = None
    vehicle_image_key: str | None = None
    plate_image_key: str | None = None
    plate_box: dict[str, float] | None = None
    latency_ms: float | None = None
    quality_score: float | None = None
    frame_number: int | None = None
    roi: str | None = None
    direction: str | None = None
    reads: int = 1


@dataclass(frozen=True, slots=True)
class PlateStats:
    """Exact totals over all stored reads; the averages are None if there are no reads."""

    total_events: int
    unique_plates: int
    active_cameras: int
    avg_confidence: float | None
    avg_latency_ms: float | None


def insert_event(connection: Connection, plate: NewPlate, *, vault: PlateVault | None = None) -> int | None:
    """Store one read; return its ``id``, or None if an event with its ``event_id`` and time is stored already.

    ``vault`` has the keys of the sites whose plates are protected.

    Raises:
        ContractError: a field violates the contract; the message names it.
        ConfigurationError: the site's plates are protected, and the vault has no key (or there is no vault).
    """
    return insert_batch(connection, [plate], vault=vault).get(str(plate.event_id))


def insert_batch(
    connection: Connection, plates: Iterable[NewPlate], *, vault: PlateVault | None = None
) -> dict[str, int]:
    """Store reads in one transaction; return the ``id`` of the new ones, by ``event_id``.

    Raises:
        ContractError, ConfigurationError: as ``insert_event``, for one of the reads; nothing was stored.
    """
    rows = {str(plate.event_id): _event_row(plate) for plate in plates}
    if not rows:
        return {}
    keys = vault or PlateVault()
    with connection.transaction():
        keys.refresh(connection)
        stored = insert_events(connection, [_protected(row, keys) for row in rows.values()], at_most=len(rows))
    return {event_id: number for event_id, (number, _) in stored.items()}


def get_event_by_id(connection: Connection, event_id: UUID) -> PlateEvent | None:
    """Return the read of the event with this ``event_id``, or None."""
    return find_plate(connection, event_id)


def get_events_by_plate(
    connection: Connection, plate: str, *, limit: int = 100, offset: int = 0, vault: PlateVault | None = None
) -> list[PlateEvent]:
    """Return the reads of one whole plate, newest first; case and separators do not matter.

    With ``vault`` the result includes protected reads.
    """
    normal_form = normalize_plate(plate)
    tokens: tuple[str, ...] = ()
    if vault is not None:
        vault.refresh(connection)
        tokens = tuple(vault.tokens(normal_form))
    return newest_plates(connection, PlateFilter(plate=normal_form, tokens=tokens), limit=limit, offset=offset)


def get_events_by_camera(
    connection: Connection,
    camera_id: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[PlateEvent]:
    """Return one camera's reads, newest first; ``start`` is included and ``end`` is not."""
    plate_filter = PlateFilter(camera_id=camera_id, start=start, end=end)
    return newest_plates(connection, plate_filter, limit=limit, offset=offset)


def get_recent_events(connection: Connection, *, limit: int = 100, offset: int = 0) -> list[PlateEvent]:
    """Return the newest reads of all cameras."""
    return newest_plates(connection, PlateFilter(), limit=limit, offset=offset)


def get_stats(connection: Connection, *, scope: CameraScope | None = None) -> PlateStats:
    """Return totals and averages, from rollups: takes milliseconds regardless of the number of reads.

    With ``scope`` the distinct plates are counted from the reads of its cameras, in time proportional to their number.
    """
    query = _STATS if scope is None else _STATS_IN_SCOPE
    row = connection.execute(query, None if scope is None else scope.parameters).fetchone()
    return PlateStats(0, 0, 0, None, None) if row is None else PlateStats(*row)


def _protected(row: EventRow, vault: PlateVault) -> EventRow:
    return seal_row(row, vault.key_of(row.site_id))[0] if vault.protects(row.site_id) else row


def _event_row(plate: NewPlate) -> EventRow:
    event = _anpr_event(plate)
    if plate.vehicle_image_key is not None:
        check_image_key(plate.vehicle_image_key, name="vehicle_image_key")
    return EventRow(
        str(event.event_id),
        event.site_id,
        event.device_id,
        event.camera_id,
        event.event_type,
        format_utc(event.timestamp),
        event.frame_number,
        None,
        None,
        plate.vehicle_image_key,
        None,
        to_json(event.event_data).decode(),
    )


def _anpr_event(plate: NewPlate) -> AnprEvent:
    """Return the read as the event that a device would send, validated in the same way."""
    extra = {"host": plate.host, "roi": plate.roi, "plate_image_key": plate.plate_image_key}
    data: dict[str, Any] = {
        "anpr_result": {"license_plate": plate.plate_text, "confidence": plate.confidence, "region": plate.region},
        "plate_normalized": normalize_plate(plate.plate_text),
        "plate_box": plate.plate_box,
        "track_id": plate.track_id,
        "track_uid": plate.track_uid,
        "vehicle": {
            "type": plate.vehicle_type,
            "make": plate.vehicle_make,
            "model": plate.vehicle_model,
            "color": plate.vehicle_color,
        },
        "direction": plate.direction,
        "reads": plate.reads,
        "quality_score": plate.quality_score,
        "latency_ms": plate.latency_ms,
    } | {name: value for name, value in extra.items() if value is not None}
    if "\x00" in "".join(value for value in _texts(plate)):
        raise ContractError("a plate event must not contain a NUL character", reason="nul_character")
    try:
        return AnprEvent(
            event_id=plate.event_id,
            site_id=plate.site_id,
            device_id=plate.device_id,
            camera_id=plate.camera_id,
            timestamp=plate.captured_at,
            frame_number=plate.frame_number,
            event_data=AnprData.model_validate(data),
        )
    except ValidationError as error:
        raise contract_error(error) from error


def _texts(plate: NewPlate) -> list[str]:
    texts = (
        plate.plate_text,
        plate.host,
        plate.track_uid,
        plate.region,
        plate.vehicle_type,
        plate.vehicle_make,
        plate.vehicle_model,
        plate.vehicle_color,
        plate.plate_image_key,
        plate.roi,
        plate.direction,
    )
    return [text for text in texts if text is not None]
