"""Reports the cameras of devices that have sent nothing for 90 seconds, and their return.

Nobody else can: a device without power or network sends nothing. The events are those of a device, with ids derived
from the outage, so that an event that is sent twice is stored once. They pass through ingest as all events do.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from cloud_functions.db.devices.outages import (
    CloudEvent,
    EndedOutage,
    Outage,
    add_cloud_event,
    begin_outages,
    cameras_with_own_events,
    delete_cloud_events,
    end_outages,
    record_offline_health,
    take_cloud_events,
)
from cloud_functions.db.types import Connection
from cloud_functions.maintenance.tasks.context import MaintenanceContext
from shared.errors import TransientError
from shared.events import DEVICE_SILENT, CameraStatusData, CameraStatusEvent
from shared.iot_envelope import encode_ingest_message
from shared.topics import DeviceTopics

log = logging.getLogger(__name__)

CLIENT_ID: Final = "vedette-maintenance"
_ERROR: Final = "the device has sent nothing for 90 seconds"
_EVENTS_PER_SEND: Final = 500
_COPIED: Final = ("fps_actual", "resolution", "codec", "error", "cause")
"""Fields of a camera's health that its event has too."""


def report_silent_devices(context: MaintenanceContext) -> int:
    """Record the outages that began and those that ended, with their events; return how many."""
    with context.database.transaction() as connection:
        begun = begin_outages(connection)
        record_offline_health(connection, [outage.device_id for outage in begun], _ERROR)
        for outage in begun:
            _add_offline_events(connection, outage)
        ended = end_outages(connection)
        for outage in ended:
            _add_return_events(connection, outage)
    for outage in begun:
        log.warning("device %s has been silent since %s", outage.device_id, outage.last_seen_at)
    for outage in ended:
        log.info("device %s is back", outage.device_id)
    return len(begun) + len(ended)


def send_cloud_events(context: MaintenanceContext) -> int:
    """Send the events that were not sent yet to the ingest queue; return how many.

    Raises TransientError if some could not be sent; the next run sends them.
    """
    if context.events is None:
        return 0
    sent = 0
    while True:
        with context.database.transaction() as connection:
            events = take_cloud_events(connection, limit=_EVENTS_PER_SEND)
            if not events:
                return sent
            received_at_ms = int(context.clock.now().timestamp() * 1000)
            failed = context.events.send({str(event.event_id): _message(event, received_at_ms) for event in events})
            delete_cloud_events(connection, [event.event_id for event in events if str(event.event_id) not in failed])
        if failed:
            raise TransientError(f"{len(failed)} events could not be sent to the ingest queue")
        sent += len(events)


def _add_offline_events(connection: Connection, outage: Outage) -> None:
    data = {"status": "offline", "error": _ERROR, "cause": DEVICE_SILENT}
    for camera_id in outage.cameras:
        add_cloud_event(connection, _event(outage, camera_id, at=outage.began_at, data=data))


def _add_return_events(connection: Connection, outage: EndedOutage) -> None:
    """Add an event for each camera that is connected again, unless its device has sent one itself."""
    reported = cameras_with_own_events(connection, outage)
    for state in outage.states:
        camera_id = state["camera_id"]
        if camera_id not in outage.cameras or camera_id in reported or state["status"] == "offline":
            continue
        data = {"status": state["status"]} | {name: state.get(name) for name in _COPIED}
        add_cloud_event(connection, _event(outage, camera_id, at=outage.ended_at, data=data))


def _event(outage: Outage | EndedOutage, camera_id: str, *, at: datetime, data: dict[str, Any]) -> CloudEvent:
    event = CameraStatusEvent(
        event_id=_event_id(outage.outage_id, camera_id, data["status"]),
        site_id=outage.site_id,
        device_id=outage.device_id,
        camera_id=camera_id,
        timestamp=at,
        event_data=CameraStatusData.model_validate(data),
    )
    topic = DeviceTopics(outage.site_id, outage.device_id).events(camera_id, event.event_type)
    return CloudEvent(event.event_id, topic, event.model_dump_json(exclude_none=True))


def _event_id(outage_id: UUID, camera_id: str, status: str) -> UUID:
    return uuid5(outage_id, f"{camera_id}/{'gone' if status == 'offline' else 'back'}")


def _message(event: CloudEvent, received_at_ms: int) -> str:
    return encode_ingest_message(
        topic=event.topic, payload=event.event.encode(), client_id=CLIENT_ID, received_at_ms=received_at_ms
    )
