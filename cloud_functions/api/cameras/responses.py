"""Response models of the cameras API, for the OpenAPI document, and the JSON of each."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta, PageMeta
from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.db.cameras.health import HealthRecord
from cloud_functions.db.cameras.queries import GroupCounts
from cloud_functions.db.cameras.record import Camera, CameraGroup, ConfigurationState
from shared.cameras import CameraConfig, CameraStatus
from shared.clock import format_utc

_STATUSES: tuple[CameraStatus, ...] = ("idle", "live", "degraded", "offline")


class ConfigurationResponse(BaseModel):
    """Whether the camera's device runs its cameras as they are stored here. It applies all of them or none."""

    state: ConfigurationState = Field(
        description="`applied`: the device runs this version. `pending`: it gets it when it is online. `rejected`: it"
        " keeps the previous one; `error` says why. `no_device`: `device_id` is null. `unmanaged`: the device runs the"
        " cameras of its own file only."
    )
    version: int | None = Field(description="The version that the device should run.")
    applied_version: int | None = Field(description="The version that the device runs. 0: none yet.")
    error: str | None = Field(
        description="Why the version was rejected, cannot be sent or cannot be stored by the device, or which cameras"
        " of it do not run."
    )


class CameraResponse(BaseModel):
    """A camera. Its password is never part of a response."""

    id: str = Field(json_schema_extra={"format": "uuid"})
    slug: str = Field(description="The camera's `camera_id` in events and topics.")
    name: str
    rtsp_url: str = Field(description="Without user name and password.")
    username: str | None
    has_password: bool
    status: CameraStatus = Field(
        description="`idle`: inactive, or no agent runs it. `live`, `degraded`, `offline`: as its agent reports it."
    )
    is_active: bool
    enable_detection: bool
    detection_sensitivity: float
    device_id: str | None
    group_id: str | None = Field(json_schema_extra={"format": "uuid"})
    group_name: str | None
    location: str | None
    resolution: str | None
    fps: float | None
    codec: str | None
    retention_days: int | None
    settings: CameraConfig
    config_version: int = Field(description="Version number; each change increases it.")
    configuration: ConfigurationResponse
    last_connected: str | None = Field(json_schema_extra=DATE_TIME)
    createdAt: str = Field(json_schema_extra=DATE_TIME)  # noqa: N815 - the name in the answer
    updatedAt: str = Field(json_schema_extra=DATE_TIME)  # noqa: N815


class GroupResponse(BaseModel):
    """A camera group."""

    id: str = Field(json_schema_extra={"format": "uuid"})
    slug: str
    name: str
    description: str | None
    location: str | None
    cameras: int = Field(description="Number of its cameras.")
    version: int = Field(description="Version number; each change increases it.")
    createdAt: str = Field(json_schema_extra=DATE_TIME)  # noqa: N815
    updatedAt: str = Field(json_schema_extra=DATE_TIME)  # noqa: N815


class StatusCounts(BaseModel):
    """Numbers of cameras by status."""

    idle: int
    live: int
    degraded: int
    offline: int


class GroupSummary(BaseModel):
    """The cameras of one group. `id`, `slug` and `name` are null for the cameras without a group."""

    id: str | None = Field(json_schema_extra={"format": "uuid"})
    slug: str | None
    name: str | None
    total: int
    active: int
    by_status: StatusCounts


class SummaryResponse(BaseModel):
    """Numbers of cameras."""

    total: int
    active: int
    inactive: int
    detecting: int = Field(description="Active cameras with detection.")
    by_status: StatusCounts
    groups: list[GroupSummary] = Field(description="Each group, sorted by name, then the cameras without a group.")


class DeletedCamera(BaseModel):
    """Result of a deletion."""

    id: str
    message: str


class DeletedGroup(DeletedCamera):
    """Result of a deletion."""

    freed_cameras: int = Field(description="Cameras that were in the group. They are in no group now.")


class HealthResponse(BaseModel):
    """What an agent reported about a camera."""

    status: str = Field(description="`online`, `degraded` or `offline`.")
    is_connected: bool
    latency_ms: int | None
    fps_actual: float | None
    error: str | None
    last_check: str = Field(json_schema_extra=DATE_TIME)


class ConnectionTestResponse(BaseModel):
    """Result of the test of a connection."""

    success: bool
    camera_id: str = Field(json_schema_extra={"format": "uuid"})
    message: str
    cause: str | None = Field(
        description="Why the test failed: `host_unreachable`, `connection_refused`, `wrong_credentials`,"
        " `no_such_stream` (404), `not_video`, `timed_out`, or `failed` for another reason, which `message` gives."
    )
    latency_ms: int | None = Field(description="Time from opening the stream to its first picture.")
    resolution: str | None
    fps: float | None = Field(description="As the stream declares it, or else as measured.")
    codec: str | None


class FieldErrorResponse(BaseModel):
    """What is wrong with a field."""

    parameter: str
    location: str
    message: str


class RowResponse(BaseModel):
    """What became of one row of an import."""

    row: int = Field(description="Counted from 1, without the line of column names.")
    name: str | None
    status: Literal["created", "skipped", "failed"]
    id: str | None
    slug: str | None
    errors: list[FieldErrorResponse]


class ImportResponse(BaseModel):
    """Report on an import."""

    total: int
    created: int
    skipped: int = Field(description="Rows whose camera exists already.")
    failed: int
    rows: list[RowResponse]


class ImportEnvelope(BaseModel):
    """The report in the envelope."""

    success: Literal[True]
    data: ImportResponse
    meta: EmptyMeta


class HealthListEnvelope(BaseModel):
    """One page of a camera's health history in the envelope."""

    success: Literal[True]
    data: list[HealthResponse]
    meta: PageMeta


class CameraEnvelope(BaseModel):
    """A camera in the envelope."""

    success: Literal[True]
    data: CameraResponse
    meta: EmptyMeta


class CameraListEnvelope(BaseModel):
    """One page of cameras in the envelope."""

    success: Literal[True]
    data: list[CameraResponse]
    meta: PageMeta


class ConnectionTestEnvelope(BaseModel):
    """Result of the test of a connection, in the envelope."""

    success: Literal[True]
    data: ConnectionTestResponse
    meta: EmptyMeta


class SummaryEnvelope(BaseModel):
    """The summary in the envelope."""

    success: Literal[True]
    data: SummaryResponse
    meta: EmptyMeta


class GroupEnvelope(BaseModel):
    """A group in the envelope."""

    success: Literal[True]
    data: GroupResponse
    meta: EmptyMeta


class GroupListEnvelope(BaseModel):
    """One page of groups in the envelope."""

    success: Literal[True]
    data: list[GroupResponse]
    meta: PageMeta


class DeletedCameraEnvelope(BaseModel):
    """Result of a deletion in the envelope."""

    success: Literal[True]
    data: DeletedCamera
    meta: EmptyMeta


class DeletedGroupEnvelope(BaseModel):
    """Result of a deletion in the envelope."""

    success: Literal[True]
    data: DeletedGroup
    meta: EmptyMeta


def camera_content(camera: Camera) -> dict[str, Any]:
    """Return a camera in the form of ``CameraResponse``."""
    fields = camera.fields
    return {
        "id": str(camera.id),
        "slug": camera.slug,
        "name": fields.name,
        "rtsp_url": fields.rtsp_url,
        "username": fields.username,
        "has_password": fields.password_sealed is not None,
        "status": camera.status,
        "is_active": fields.is_active,
        "enable_detection": fields.enable_detection,
        "detection_sensitivity": fields.detection_sensitivity,
        "device_id": fields.device_id,
        "group_id": None if fields.group_id is None else str(fields.group_id),
        "group_name": camera.group_name,
        "location": fields.location,
        "resolution": fields.resolution,
        "fps": fields.fps,
        "codec": fields.codec,
        "retention_days": fields.retention_days,
        "settings": fields.settings,
        "config_version": camera.config_version,
        "configuration": camera.configuration._asdict(),
        "last_connected": None if camera.last_connected is None else format_utc(camera.last_connected),
        "createdAt": format_utc(camera.created_at),
        "updatedAt": format_utc(camera.updated_at),
    }


def health_content(record: HealthRecord) -> dict[str, Any]:
    """Return a record in the form of ``HealthResponse``."""
    return record._asdict() | {"last_check": format_utc(record.last_check)}


def group_content(group: CameraGroup) -> dict[str, Any]:
    """Return a group in the form of ``GroupResponse``."""
    return {
        "id": str(group.id),
        "slug": group.slug,
        "name": group.name,
        "description": group.description,
        "location": group.location,
        "cameras": group.cameras,
        "version": group.version,
        "createdAt": format_utc(group.created_at),
        "updatedAt": format_utc(group.updated_at),
    }


def summary_content(groups: list[GroupCounts]) -> dict[str, Any]:
    """Return the counts in the form of ``SummaryResponse``."""
    total, active = sum(group.total for group in groups), sum(group.active for group in groups)
    return {
        "total": total,
        "active": active,
        "inactive": total - active,
        "detecting": sum(group.detecting for group in groups),
        "by_status": {status: sum(getattr(group, status) for group in groups) for status in _STATUSES},
        "groups": [
            {
                "id": None if group.group_id is None else str(group.group_id),
                "slug": group.slug,
                "name": group.name,
                "total": group.total,
                "active": group.active,
                "by_status": {status: getattr(group, status) for status in _STATUSES},
            }
            for group in groups
        ],
    }
