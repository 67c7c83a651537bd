"""The event union: what a device tells the world, one pydantic class per ``event_type``.

Unknown fields are kept (an older cloud must not lose what a newer device says); an unknown ``schema_version`` or
``event_type`` is rejected with a reason. To add an event type: one name in ``event_types``, one class here, one member
of ``Event``, one golden sample in ``tests/contract/golden/``, then ``make schemas``; tests name what else is missing.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from shared.clock import format_utc
from shared.errors import ContractError
from shared.geometry import BoundingBox, Ratio
from shared.heartbeat import CameraState
from shared.ids import Segment
from shared.plates import MAX_PLATE_LENGTH, normalize_plate
from shared.storage_keys import SNAPSHOT_KEY_PATTERN

SCHEMA_VERSION = 1
MAX_EVENT_BYTES = 128 * 1024
"""AWS IoT Core's limit for one message."""


def _normal(plate: str) -> str:
    if plate != normalize_plate(plate) or not any(map(str.isalnum, plate)):
        raise ValueError("must be a plate in normal form: upper case, without spaces, dots and hyphens")
    return plate


UtcTime = Annotated[AwareDatetime, PlainSerializer(format_utc, return_type=str, when_used="json")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Milliseconds = Seconds
NormalPlate = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PLATE_LENGTH), AfterValidator(_normal)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())


class SnapshotRef(_Part):
    """Where the annotated picture of this event is (or soon will be)."""

    key: Annotated[str, StringConstraints(pattern=SNAPSHOT_KEY_PATTERN)]
    content_type: Literal["image/jpeg", "image/png", "image/webp"]
    bytes: Count
    width: Count
    height: Count
    sha256: Sha256


class ModelInfo(_Part):
    """Which detector said so."""

    model_type: Label
    version: Label


class PathPoint(_Part):
    """Where an object was: the middle of its box's lower edge, as shares of the picture."""

    t: Seconds = Field(description="Seconds after `first_seen_at`.")
    x: Ratio
    y: Ratio


class TrackingData(_Part):
    """One step in the life of a tracked object."""

    track_id: Count
    track_uid: Label = Field(description="Unique across cameras and restarts.")
    tracking_action: Literal["entered", "updated", "left"]
    class_name: Label
    confidence: Ratio
    bounding_box: BoundingBox
    dwell_time_seconds: Seconds | None = None
    zones: list[Label] = Field(default_factory=list)
    model_info: ModelInfo
    loitering: bool | None = None
    line_crossed: str | None = None
    stationary: bool | None = None
    first_seen_at: UtcTime | None = None
    last_seen_at: UtcTime | None = Field(
        default=None, description="`left` is emitted later than it happened; this is when."
    )
    path: Annotated[list[PathPoint], Field(max_length=32)] | None = Field(
        default=None, description="On `left`: the object's way, simplified; the first and the last point are exact."
    )


class MotionData(_Part):
    """Motion that begins (no duration yet) or has ended."""

    motion_intensity: Ratio
    affected_area_percentage: Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]
    regions: list[BoundingBox] = Field(default_factory=list[BoundingBox])
    duration_seconds: Seconds | None = None


class DetectedObject(_Part):
    class_name: Label
    confidence: Ratio
    bounding_box: BoundingBox
    track_id: Count | None = None


class DetectionData(_Part):
    """What one frame shows, for cameras that run without tracking."""

    detections: list[DetectedObject]
    model_info: ModelInfo


class PlateResult(_Part):
    license_plate: Label = Field(description="As read.")
    confidence: Ratio
    region: Label | None = None


class Vehicle(_Part):
    type: str | None = None
    make: str | None = None
    model: str | None = None
    color: str | None = None


class PlateCandidate(_Part):
    text: Label
    confidence: Ratio


class AnprData(_Part):
    """One passage of one vehicle, its plate voted over a track."""

    anpr_result: PlateResult
    plate_normalized: NormalPlate = Field(
        description="`license_plate` in the form in which plates are compared (see the plates reference)."
    )
    plate_box: BoundingBox | None = None
    vehicle_box: BoundingBox | None = None
    track_id: Count | None = Field(default=None, description="The vehicle's; null where only its plate was followed.")
    track_uid: Label | None = None
    vehicle: Vehicle = Field(default_factory=Vehicle)
    direction: str | None = None
    reads: Count = Field(default=1, description="How many frames voted.")
    candidates: list[PlateCandidate] = Field(default_factory=list[PlateCandidate])
    quality_score: Ratio | None = None
    latency_ms: Milliseconds | None = Field(
        default=None, description="From the capture of the picture until the vote was told."
    )


class SnapshotData(_Part):
    """The answer to "snapshot now": a picture, or why there is none."""

    snapshot_id: Label
    command_id: Segment | None = None
    thumbnail_key: str | None = None
    error: str | None = None


class CameraStatusData(_Part):
    status: CameraState
    latency_ms: Milliseconds | None = None
    fps_actual: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    resolution: str | None = None
    codec: str | None = None
    error: str | None = None
    cause: Label | None = Field(
        default=None,
        description="Why it is degraded: stalled, frozen, covered, black, overexposed, garbled or agent_fault; "
        "more may come.",
    )


class RuleData(_Part):
    """Something that happened under a rule: in a zone, at a line."""

    rule: Label = Field(
        description="`zone_entered`, `zone_left`, `line_crossed`, `loitering`, `occupancy`; more may come."
    )
    name: Label = Field(description="Of the zone or the line.")
    direction: Label | None = Field(
        default=None, description="`left` or `right` of a line; `over` or `under` for occupancy."
    )
    since: UtcTime | None = Field(default=None, description="When the stay, or the state, began.")
    dwell_s: Seconds | None = Field(default=None, description="How long the stay has lasted.")
    crossed_at: UtcTime | None = Field(default=None, description="When the line was crossed, between two frames.")
    count: Count | None = Field(
        default=None,
        description="Objects in the zone; or crossings of the line by this class in this direction since the last "
        "reset.",
    )
    track_id: Count | None = None
    track_uid: Label | None = None
    class_name: Label | None = None
    confidence: Ratio | None = None
    bounding_box: BoundingBox | None = None
    zone: Label | None = None


class EventBase(_Part):
    """What every event carries."""

    schema_version: Literal[1] = 1
    event_id: UUID = Field(description="UUIDv7, minted once on the device; the key to deduplicate on.")
    site_id: Segment
    device_id: Segment
    camera_id: Segment
    timestamp: UtcTime = Field(description="Capture time of the very frame in the snapshot.")
    frame_number: Count | None = None
    sequence: Count | None = Field(default=None, description="Counts this device's events within its epoch, from 1.")
    sequence_epoch: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        default=None,
        description="Names the outbox that counts; a device whose outbox was wiped starts a new one.",
    )
    snapshot: SnapshotRef | None = None


class TrackingEvent(EventBase):
    event_type: Literal["tracking"] = "tracking"
    event_data: TrackingData


class MotionEvent(EventBase):
    event_type: Literal["motion"] = "motion"
    event_data: MotionData


class DetectionEvent(EventBase):
    event_type: Literal["detection"] = "detection"
    event_data: DetectionData


class AnprEvent(EventBase):
    event_type: Literal["anpr"] = "anpr"
    event_data: AnprData


class SnapshotEvent(EventBase):
    event_type: Literal["snapshot"] = "snapshot"
    event_data: SnapshotData


class CameraStatusEvent(EventBase):
    event_type: Literal["camera_status"] = "camera_status"
    event_data: CameraStatusData


class RuleEvent(EventBase):
    event_type: Literal["rule"] = "rule"
    event_data: RuleData


Event = Annotated[
    TrackingEvent | MotionEvent | DetectionEvent | AnprEvent | SnapshotEvent | CameraStatusEvent | RuleEvent,
    Field(discriminator="event_type"),
]

EVENT_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(payload: bytes) -> Event:
    """Parse one wire message; raise ContractError (with a ``reason``) for what is not an event.

    Reasons: ``too_large``, ``not_json``, ``nul_character``, ``unknown_schema_version``, ``unknown_event_type``,
    ``invalid``.
    """
    check_raw_event(payload)
    try:
        return EVENT_ADAPTER.validate_json(payload)
    except ValidationError as error:
        raise contract_error(error) from error


def check_raw_event(payload: bytes) -> None:
    """Raise ContractError for bytes that need not be looked at any closer."""
    if len(payload) > MAX_EVENT_BYTES:
        raise ContractError(f"an event of {len(payload)} bytes; the limit is {MAX_EVENT_BYTES}", reason="too_large")
    if holds_nul(payload):
        # PostgreSQL's text and jsonb cannot hold it, so nobody downstream could store the event.
        raise ContractError("an event may not hold a NUL character", reason="nul_character")


def holds_nul(payload: bytes) -> bool:
    """Tell whether JSON holds an escaped NUL character; the text ``\\\\u0000``, an escaped backslash, is none."""
    return b"\\u0000" in payload and _NUL.search(payload) is not None


def dump_event(event: Event) -> bytes:
    """Return the exact bytes that travel: UTF-8 JSON, fields that say nothing (an absent dwell time) as null."""
    return EVENT_ADAPTER.dump_json(event)


def contract_error(error: ValidationError) -> ContractError:
    """Turn pydantic's report into one line that names the field and quotes none of the message's values."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        reason = "not_json"
    elif first["type"].startswith("union_tag"):
        reason = "unknown_event_type"
    elif first["loc"] and first["loc"][-1] == "schema_version":
        reason = "unknown_schema_version"
    else:
        reason = "invalid"
    return ContractError(
        f"not an event: {where}: {first['msg']}" if where else f"not an event: {first['msg']}", reason=reason
    )


def event_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the event union."""
    return EVENT_ADAPTER.json_schema(mode="serialization")
