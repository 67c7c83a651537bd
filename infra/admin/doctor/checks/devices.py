"""Devices that are silent, cameras that are offline, and what waits in the outboxes of devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cloud_functions.db.health_report import build_health_report
from cloud_functions.db.online import IS_ONLINE
from infra.admin.doctor.context import DoctorContext
from shared.diagnosis import Finding

_LISTED: Final = 5
_PENDING: Final = 1000
"""Pending events from which a device is reported: it sends more slowly than its cameras see."""
_DEVICES: Final = f"""
SELECT device_id, {IS_ONLINE}, last_seen_at,
       COALESCE((heartbeat #>> '{{connection,client_id_conflict}}')::boolean, false),
       heartbeat #>> '{{configuration,error}}'
FROM devices ORDER BY device_id
"""  # noqa: S608 - a constant condition
_OUTBOXES: Final = """
SELECT device_id, COALESCE((heartbeat #>> '{outbox,pending_events}')::numeric::bigint, 0),
       COALESCE((heartbeat #>> '{outbox,pending_images}')::numeric::bigint, 0),
       COALESCE((heartbeat #>> '{outbox,dropped_events}')::numeric::bigint, 0), heartbeat_at
FROM devices WHERE heartbeat IS NOT NULL ORDER BY device_id
"""


def devices(context: DoctorContext) -> Iterator[Finding]:
    """Devices that have sent nothing for 90 seconds, ids that two agents use, and configurations that were refused."""
    with context.connection() as connection:
        rows = connection.execute(_DEVICES.encode()).fetchall()
    if not rows:
        text = "no device has sent anything yet"
        yield Finding("devices", "warning", text, "is an agent running, and do its messages reach ingest?")
        return
    now = context.clock.now()
    silent = [f"{device} ({_since(seen, now)})" for device, online, seen, _, _ in rows if not online]
    conflicts = [device for device, _, _, conflict, _ in rows if conflict]
    refused = [f"{device} ({error})" for device, _, _, _, error in rows if error]
    if silent:
        text = f"{len(silent)} of {len(rows)} devices are silent: {_some(silent)}"
        remedy = "on the device: systemctl status edge-agent; edge-agent doctor --config FILE"
        yield Finding("devices", "warning", text, remedy)
    if conflicts:
        text = f"two agents use the same id: {_some(conflicts)}"
        yield Finding("devices", "fault", text, "give each device its own device_id and certificate")
    if refused:
        text = f"a configuration is not in effect: {_some(refused)}"
        yield Finding("devices", "warning", text, "correct the settings of the cameras that the text names")
    if not silent and not conflicts and not refused:
        yield Finding("devices", "ok", f"all {len(rows)} devices are online")


def cameras(context: DoctorContext) -> Iterator[Finding]:
    """Cameras that are offline or degraded, and events that are missing."""
    with context.connection() as connection:
        report: dict[str, Any] = build_health_report(connection, now=context.clock.now())
    counts: dict[str, int] = report["cameras"]["by_status"]
    total = report["cameras"]["total"]
    if counts.get("offline"):
        named = [
            camera["slug"] + (f" ({camera['error']})" if camera["error"] else "")
            for camera in report["offline_cameras"]
        ]
        text = f"{counts['offline']} of {total} cameras are offline: {_some(named)}"
        yield Finding(
            "cameras", "warning", text, "edge-agent probe SOURCE on the device; power and network of the camera"
        )
    if counts.get("degraded"):
        text = f"{counts['degraded']} of {total} cameras give faulty pictures"
        yield Finding("cameras", "warning", text, "GET /api/v1/health/report and the causes in docs/guide/cameras.md")
    if report["gaps"]["open"]:
        text = f"{report['gaps']['missing_events']} events are missing in {report['gaps']['open']} gaps"
        yield Finding(
            "gaps", "warning", text, "they are requested from the devices again; a silent device cannot answer"
        )
    if not counts.get("offline") and not counts.get("degraded"):
        yield Finding("cameras", "ok", f"none of {total} cameras is offline or degraded")


def outboxes(context: DoctorContext) -> Iterator[Finding]:
    """What the last heartbeats say about events and pictures that wait on devices, or were dropped there."""
    with context.connection() as connection:
        rows = connection.execute(_OUTBOXES).fetchall()
    if not rows:
        yield Finding("outboxes", "skipped", "no device has sent a heartbeat")
        return
    now = context.clock.now()
    full = [
        f"{device} ({events} events, {images} pictures, as of {_since(at, now)} ago)"
        for device, events, images, _, at in rows
        if events + images > _PENDING
    ]
    dropped = [f"{device} ({events})" for device, _, _, events, _ in rows if events]
    if full:
        text = f"much waits on devices: {_some(full)}"
        yield Finding(
            "outboxes", "warning", text, "their uplink is slow or was down; see `reconnects` in the heartbeat"
        )
    if dropped:
        text = f"events were dropped because an outbox was full or they were too old: {_some(dropped)}"
        yield Finding("outboxes", "warning", text, "raise outbox.max_bytes or outbox.max_age_s, or improve the uplink")
    if not full and not dropped:
        waiting = sum(events for _, events, _, _, _ in rows)
        yield Finding("outboxes", "ok", f"{waiting} events wait on {len(rows)} devices, none was dropped")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _since(moment: datetime | None, now: datetime) -> str:
    return "never" if moment is None else str(timedelta(seconds=max(0, round((now - moment).total_seconds()))))
