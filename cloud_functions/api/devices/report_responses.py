"""Response models of the health report, for the OpenAPI document. ``db/health_report.py`` builds its JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta
from cloud_functions.api.http.responses import DATE_TIME

_NULL = "Null for callers who are limited to camera groups, and in reports of earlier releases."


class CamerasByStatus(BaseModel):
    """Numbers of cameras by status."""

    idle: int
    live: int
    degraded: int
    offline: int


class CameraTotals(BaseModel):
    """Numbers of cameras."""

    total: int
    by_status: CamerasByStatus


class OfflineCamera(BaseModel):
    """A camera that is offline."""

    id: str = Field(json_schema_extra={"format": "uuid"})
    slug: str
    name: str
    device_id: str | None
    offline_since: str | None = Field(
        json_schema_extra=DATE_TIME, description="Null if it never was connected, as far as its history goes back."
    )
    error: str | None


class DeviceTotals(BaseModel):
    """Numbers of devices."""

    total: int
    online: int
    offline: int


class DroppedData(BaseModel):
    """What a device dropped since its outbox was created, because of size or age."""

    device_id: str
    dropped_events: int
    dropped_images: int


class LateCanary(BaseModel):
    """A device whose canaries do not arrive."""

    device_id: str
    last_received_at: str | None = Field(
        json_schema_extra=DATE_TIME, description="When a subscriber last received one; null if none ever did."
    )
    every_s: float = Field(description="Interval of the device's canaries in seconds.")


class GapTotals(BaseModel):
    """Open gaps of all devices."""

    open: int
    missing_events: int


class DeviceWithGaps(GapTotals):
    """Open gaps of a device."""

    device_id: str
    oldest: str = Field(json_schema_extra=DATE_TIME, description="When its oldest open gap was found.")


class MaintenanceTask(BaseModel):
    """A regular task of maintenance, and its last run."""

    task: str
    schedule: str = Field(description="As EventBridge Scheduler writes it, in UTC.")
    status: Literal["ok", "running", "waiting", "failed", "late"] = Field(
        description="`waiting`: it was not due yet. `failed`: its last run failed, and is repeated within an hour."
        " `late`: it did not run within 15 minutes after it was due."
    )
    last_run: str | None = Field(json_schema_extra=DATE_TIME, description="When its last run began.")
    last_success: str | None = Field(json_schema_extra=DATE_TIME)
    next_due: str = Field(json_schema_extra=DATE_TIME)
    failures: int = Field(description="In a row.")
    error: str | None = Field(description="The failed steps of its last run.")


class MaintenanceReport(BaseModel):
    """State of maintenance."""

    tasks: list[MaintenanceTask]


class FoundObjects(BaseModel):
    """Images that the comparison of bucket and database found."""

    objects: int
    bytes: int = Field(description="0 for missing ones.")
    oldest: str | None = Field(json_schema_extra=DATE_TIME, description="When the first of them was found.")
    checked_at: str | None = Field(
        json_schema_extra=DATE_TIME, description="When the last pass over all of them ended. Null: none has ended yet."
    )
    keys: list[str] = Field(description="Object keys of those that were found first.")


class ObjectReport(BaseModel):
    """Differences between bucket and database."""

    orphaned: FoundObjects = Field(description="Objects that nothing shows.")
    missing: FoundObjects = Field(description="Images of events and snapshots that are not in the bucket.")


class HealthReport(BaseModel):
    """State of all cameras and devices. Each list has at most 50 entries."""

    generated_at: str = Field(json_schema_extra=DATE_TIME)
    cameras: CameraTotals
    offline_cameras: list[OfflineCamera] = Field(description="Those that have been offline longest come first.")
    devices: DeviceTotals
    devices_with_dropped_data: list[DroppedData] = Field(description="Those that dropped most come first.")
    late_canaries: list[LateCanary] = Field(
        default_factory=list[LateCanary],
        description="Devices whose canary no subscriber has received in time; longest first.",
    )
    gaps: GapTotals
    devices_with_gaps: list[DeviceWithGaps] = Field(description="Those that miss most events come first.")
    maintenance: MaintenanceReport | None = Field(default=None, description=_NULL)
    objects: ObjectReport | None = Field(default=None, description=_NULL)


class HealthReportEnvelope(BaseModel):
    """The report in the envelope."""

    success: Literal[True]
    data: HealthReport
    meta: EmptyMeta
