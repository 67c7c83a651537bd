"""The configuration of devices: the desired version, what was sent, and what each device reports that it runs.

Triggers on ``cameras`` raise the desired version with each change that an agent obeys. A transaction that writes both
tables writes cameras first, and the configurations in the order of the device ids.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple
from uuid import UUID

from cloud_functions.db.online import IS_ONLINE
from cloud_functions.db.types import Connection

MAX_VERSION: Final = 2**53
"""Higher versions, which only a faulty device reports, are stored as this one."""
SEND_AGAIN_AFTER_S: Final = 20
"""Seconds before the same version is sent again to a device that does not apply it."""
MAX_ERROR_LENGTH: Final = 1000

_STORED: Final = """
SELECT managed, public_key, applied_version, rejected_version, error, version, reported_at
FROM device_configurations WHERE device_id = %s
"""
# A device that reports a higher version than the desired one knew an earlier database: its cameras are sent again under
# a version that it accepts. So they are when its key changed, because it cannot open the passwords that it has.
_RECORD: Final = """
INSERT INTO device_configurations AS known
    (device_id, managed, public_key, applied_version, applied_at, rejected_version, error, reported_at)
VALUES (%(device_id)s, %(managed)s, %(public_key)s, %(applied)s, CASE WHEN %(applied)s::bigint > 0 THEN now() END,
        %(rejected)s, %(error)s, %(at)s)
ON CONFLICT (device_id) DO UPDATE SET
    reported_at = EXCLUDED.reported_at,
    managed = EXCLUDED.managed,
    public_key = EXCLUDED.public_key,
    applied_version = EXCLUDED.applied_version,
    applied_at = CASE WHEN known.applied_version IS DISTINCT FROM EXCLUDED.applied_version THEN EXCLUDED.applied_at
                      ELSE known.applied_at END,
    rejected_version = EXCLUDED.rejected_version,
    error = EXCLUDED.error,
    version = CASE
        WHEN known.version > 0 AND (known.public_key <> EXCLUDED.public_key
             OR GREATEST(EXCLUDED.applied_version, EXCLUDED.rejected_version) > known.version)
        THEN GREATEST(known.version, EXCLUDED.applied_version, EXCLUDED.rejected_version) + 1
        ELSE known.version END
RETURNING managed, public_key, applied_version, rejected_version, error, version, reported_at
"""
_RECORD_REPLY: Final = """
UPDATE device_configurations SET
    reported_at = %(at)s,
    applied_at = CASE WHEN applied_version IS DISTINCT FROM %(applied)s THEN now() ELSE applied_at END,
    applied_version = %(applied)s,
    rejected_version = CASE WHEN %(ok)s THEN NULL WHEN %(rejected)s = version THEN version ELSE rejected_version END,
    error = CASE WHEN %(ok)s THEN NULL WHEN %(rejected)s = version THEN %(error)s ELSE error END
WHERE device_id = %(device_id)s AND COALESCE(reported_at <= %(at)s, true)
"""
_RECONNECTED: Final = """
UPDATE device_configurations SET sent_at = NULL
WHERE device_id = %s AND sent_at IS NOT NULL AND applied_version IS DISTINCT FROM version
"""
# One statement, so that the version is that of the cameras.
_DUE: Final = """
SELECT known.device_id, device.site_id, known.version, known.public_key,
       camera.id, camera.slug, camera.rtsp_url, camera.username, camera.password_sealed, camera.is_active,
       camera.enable_detection, camera.detection_sensitivity, camera.settings
FROM device_configurations AS known
JOIN devices AS device ON device.device_id = known.device_id
LEFT JOIN cameras AS camera ON camera.device_id = known.device_id
WHERE known.device_id = ANY (%(devices)s) AND known.managed AND known.version > 0
  AND known.applied_version IS DISTINCT FROM known.version AND known.rejected_version IS DISTINCT FROM known.version
  AND (known.sent_version IS DISTINCT FROM known.version OR known.sent_at IS NULL
       OR known.sent_at < now() - make_interval(secs => %(send_again_after_s)s))
  AND (NOT %(online_only)s OR is_online)
ORDER BY known.device_id, camera.slug
""".replace("is_online", IS_ONLINE)
_ONE: Final = """
SELECT known.public_key, camera.id, camera.slug, camera.rtsp_url, camera.username, camera.password_sealed,
       camera.is_active, camera.enable_detection, camera.detection_sensitivity, camera.settings
FROM cameras AS camera JOIN device_configurations AS known ON known.device_id = camera.device_id
WHERE camera.id = %s AND known.managed
"""
_SENT: Final = """
UPDATE device_configurations SET sent_version = %(version)s, sent_at = now(), send_error = NULL
WHERE device_id = %(device_id)s AND COALESCE(sent_version, 0) <= %(version)s
"""
_NOT_SENT: Final = """
UPDATE device_configurations SET send_error = %(error)s
WHERE device_id = %(device_id)s AND version = %(version)s AND send_error IS DISTINCT FROM %(error)s
"""
_LOCK: Final = "SELECT FROM device_configurations WHERE device_id = ANY (%s) ORDER BY device_id FOR UPDATE"
_DEFAULT_DEVICE: Final = "SELECT min(device_id) FROM device_configurations WHERE managed HAVING count(*) = 1"


class Report(NamedTuple):
    """What a device says about its configuration."""

    managed: bool
    """Whether it obeys the API. The others run the cameras of their own file only."""
    public_key: str | None = None
    """X25519, in base64."""
    applied_version: int | None = None
    """0: none yet."""
    rejected_version: int | None = None
    error: str | None = None


class ReplyToConfigure(NamedTuple):
    """The outcome of a ``configure`` command."""

    ok: bool
    applied_version: int
    """What the device runs now."""
    rejected_version: int | None = None
    error: str | None = None
    """Why it rejected that version."""


class Recorded(NamedTuple):
    """The outcome of recording a report."""

    is_behind: bool
    """Whether the desired version must be sent."""
    is_key_new: bool
    """Whether the device has another public key than before."""


class DesiredCamera(NamedTuple):
    """A camera of a device, its password sealed for the database."""

    id: UUID
    slug: str
    rtsp_url: str
    username: str | None
    password_sealed: bytes | None
    is_active: bool
    enable_detection: bool
    detection_sensitivity: float
    settings: dict[str, Any]


class DesiredConfiguration(NamedTuple):
    """What a device should run."""

    device_id: str
    site_id: str
    version: int
    public_key: str | None
    cameras: list[DesiredCamera]


def record_report(connection: Connection, device_id: str, report: Report, *, at: datetime) -> Recorded:
    """Store what a device reports in a heartbeat received at ``at``, unless it reported something else later.

    An unchanged report writes nothing. The time is the cloud's, because the clock of a device may be set back.
    """
    given = _limited(report)
    row = connection.execute(_STORED, [device_id]).fetchone()
    before = None if row is None else Report(*row[:5])
    if row is not None and row[6] is not None and at < row[6]:
        return Recorded(is_behind=False, is_key_new=False)
    if row is None or before != given or max(given.applied_version or 0, given.rejected_version or 0) > row[5] > 0:
        values = {
            "device_id": device_id,
            "managed": given.managed,
            "public_key": given.public_key,
            "applied": given.applied_version,
            "rejected": given.rejected_version,
            "error": given.error,
            "at": at,
        }
        row = connection.execute(_RECORD, values).fetchone()
        assert row is not None  # noqa: S101 - the statement always returns its row
    version: int = row[5]
    is_behind = given.managed and version > 0 and version not in (given.applied_version, given.rejected_version)
    old_key = None if before is None else before.public_key
    return Recorded(is_behind, is_key_new=None not in (old_key, given.public_key) and old_key != given.public_key)


def record_configure_reply(connection: Connection, device_id: str, reply: ReplyToConfigure, *, at: datetime) -> None:
    """Store a device's reply to ``configure`` received at ``at``, unless it reported something else later.

    A device also rejects a version that is older than the one it runs, which says nothing about the desired one.
    """
    values = {
        "device_id": device_id,
        "ok": reply.ok,
        "applied": min(reply.applied_version, MAX_VERSION),
        "rejected": None if reply.rejected_version is None else min(reply.rejected_version, MAX_VERSION),
        "error": None if reply.error is None else reply.error[:MAX_ERROR_LENGTH],
        "at": at,
    }
    connection.execute(_RECORD_REPLY, values)


def record_reconnection(connection: Connection, device_id: str) -> None:
    """Note that a device connected: a version that was sent before may be lost, and is due at once."""
    connection.execute(_RECONNECTED, [device_id])


def find_desired_camera(connection: Connection, camera_id: UUID) -> tuple[DesiredCamera, str | None] | None:
    """Return a camera of a device that the API configures, and the device's public key; None for any other camera."""
    row = connection.execute(_ONE, [camera_id]).fetchone()
    return None if row is None else (DesiredCamera(*row[1:]), row[0])


def due_configurations(
    connection: Connection, devices: Collection[str], *, online_only: bool
) -> list[DesiredConfiguration]:
    """Return the configurations to send to those of the devices that obey the API and do not run the desired version.

    A version that a device rejected is not due, nor one that was sent a few seconds ago. With ``online_only``, devices
    that are offline, or silent for 90 seconds, are left out: they get their configuration when they return.
    """
    parameters = {
        "devices": sorted(devices),
        "online_only": online_only,
        "send_again_after_s": SEND_AGAIN_AFTER_S,
    }
    rows = connection.execute(_DUE, parameters).fetchall()
    due: list[DesiredConfiguration] = []
    for (device_id, site_id, version, public_key), group in groupby(rows, key=lambda row: row[:4]):
        cameras = [DesiredCamera(*row[4:]) for row in group if row[4] is not None]
        due.append(DesiredConfiguration(device_id, site_id, version, public_key, cameras))
    return due


def record_sent(connection: Connection, device_id: str, version: int) -> None:
    """Store that a version was sent now."""
    connection.execute(_SENT, {"device_id": device_id, "version": version})


def record_not_sent(connection: Connection, device_id: str, version: int, error: str) -> None:
    """Store why the desired version cannot be sent, unless the cameras were changed since."""
    values = {"device_id": device_id, "version": version, "error": error[:MAX_ERROR_LENGTH]}
    connection.execute(_NOT_SENT, values)


def lock_configurations(connection: Connection, devices: Collection[str]) -> None:
    """Lock the devices' configurations, for a transaction that then changes their cameras in any order."""
    connection.execute(_LOCK, [sorted(devices)])


def default_device(connection: Connection) -> str | None:
    """Return the device for a camera that names none: the only one that obeys the API; None if there are several."""
    row = connection.execute(_DEFAULT_DEVICE).fetchone()
    return None if row is None else row[0]


def _limited(report: Report) -> Report:
    return report._replace(
        applied_version=None if report.applied_version is None else min(report.applied_version, MAX_VERSION),
        rejected_version=None if report.rejected_version is None else min(report.rejected_version, MAX_VERSION),
        error=None if report.error is None else report.error[:MAX_ERROR_LENGTH],
    )
