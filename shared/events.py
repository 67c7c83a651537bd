"""The event union: one pydantic class per ``event_type``.

Unknown fields are kept, so an older cloud stores every field that a newer device sends. An unknown ``schema_version``
or ``event_type`` is rejected with a reason.

To add an event type, add a name in ``event_types``, a class here, a member of ``Event`` and a golden sample in
``tests/contract/golden/``, then run ``make schemas``. Tests report what else is missing.
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


def _check_normal(plate: str) -> str:
    if plate != normalize_plate(plate) or not any(map(str.isalnum, plate)):
        raise ValueError("must be a plate in normal form: upper case, without spaces, dots or hyphens")
    return plate


UtcTime = Annotated[AwareDatetime, PlainSerializer(format_utc, return_type=str, when_used="json")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Milliseconds = Seconds
NormalPlate = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_PLATE_LENGTH), AfterValidator(_check_normal)
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())


class SnapshotRef(_Part):
    """Reference to the annotated image of the event. The image may be uploaded later than the event."""

    key: Annotated[str, StringConstraints(pattern=SNAPSHOT_KEY_PATTERN)]
    content_type: Literal["image/jpeg", "image/png", "image/webp"]
    bytes: Count
    width: Count
    height: Count
    sha256: Sha256


class ModelInfo(_Part):
    """The model that produced the detections."""

    model_type: Label
    version: Label


class PathPoint(_Part):
    """Position of an object: the centre of its box's lower edge, normalised to 0..1."""

    t: Seconds = Field(description="Seconds after `first_seen_at`.")
    x: Ratio
    y: Ratio


class TrackingData(_Part):
    """A state change of a tracked object."""

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
        default=None, description="When the object was last seen. `left` is emitted later than this."
    )
    path: Annotated[list[PathPoint], Field(max_length=32)] | None = Field(
        default=None, description="On `left`: the object's simplified path. The first and the last point are exact."
    )


class MotionData(_Part):
    """Start (no duration) or end of a motion episode."""

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
    """Detections of one frame, for cameras without tracking."""

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
    """A vehicle's plate, decided by a vote over the reads of one track."""

    anpr_result: PlateResult
    plate_normalized: NormalPlate = Field(
        description="`license_plate` in the form in which plates are compared (see the plates reference)."
    )
    plate_box: BoundingBox | None = None
    vehicle_box: BoundingBox | None = None
    track_id: Count | None = Field(
        default=None, description="Track of the vehicle; null if only the plate was tracked."
    )
    track_uid: Label | None = None
    vehicle: Vehicle = Field(default_factory=Vehicle)
    direction: str | None = None
    reads: Count = Field(default=1, description="Number of reads in the vote.")
    candidates: list[PlateCandidate] = Field(default_factory=list[PlateCandidate])
    quality_score: Ratio | None = None
    latency_ms: Milliseconds | None = Field(
        default=None, description="Time from the capture of the frame until the event was emitted."
    )


class SnapshotData(_Part):
    """Result of the snapshot command: an image, or the error."""

    snapshot_id: Label
    command_id: Segment | None = None
    thumbnail_key: str | None = None
    stored: bool | None = Field(
        default=None,
        description="Whether the image was in the bucket before the event was published. False or null: it may follow.",
    )
    error: str | None = None


DEVICE_SILENT: Final = "device_silent"
"""The ``cause`` of an event that the cloud makes for a camera whose device has sent nothing for 90 seconds."""


class CameraStatusData(_Part):
    status: CameraState
    latency_ms: Milliseconds | None = None
    fps_actual: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] | None = None
    resolution: str | None = None
    codec: str | None = None
    error: str | None = None
    cause: Label | None = Field(
        default=None,
        description="Cause of `degraded`: stalled, frozen, covered, black, overexposed, garbled or agent_fault. "
        "Cause of `offline`: device_silent, in an event that the cloud makes. Later versions may add causes.",
    )


class RuleData(_Part):
    """Result of a zone or line rule."""

    rule: Label = Field(
        description="`zone_entered`, `zone_left`, `line_crossed`, `loitering`, `occupancy`. More may be added."
    )
    name: Label = Field(description="Name of the zone or the line.")
    direction: Label | None = Field(
        default=None, description="`left` or `right` of a line; `over` or `under` for occupancy."
    )
    since: UtcTime | None = Field(default=None, description="Start of the stay or of the state.")
    dwell_s: Seconds | None = Field(default=None, description="Duration of the stay.")
    crossed_at: UtcTime | None = Field(
        default=None, description="Time of the crossing, interpolated between two frames."
    )
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
    """Fields of every event."""

    schema_version: Literal[1] = 1
    event_id: UUID = Field(description="UUIDv7, assigned once on the device; the deduplication key.")
    site_id: Segment
    device_id: Segment
    camera_id: Segment
    timestamp: UtcTime = Field(description="Capture time of the frame shown in the snapshot.")
    frame_number: Count | None = None
    sequence: Count | None = Field(
        default=None, description="Number of the event within the device's sequence epoch, starting at 1."
    )
    sequence_epoch: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        default=None,
        description="Identifier of the sequence numbering. A device starts a new epoch when its outbox is recreated.",
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
    """Parse one wire message. Raises ContractError with a ``reason`` if it is not a valid event.

    Reasons: ``too_large``, ``not_json``, ``nul_character``, ``unknown_schema_version``, ``unknown_event_type``,
    ``invalid``.
    """
    check_raw_event(payload)
    try:
        return EVENT_ADAPTER.validate_json(payload)
    except ValidationError as error:
        raise contract_error(error) from error


def check_raw_event(payload: bytes) -> None:
    """Raise ContractError for a payload that is too large or contains an escaped NUL character."""
    if len(payload) > MAX_EVENT_BYTES:
        raise ContractError(f"an event of {len(payload)} bytes; the limit is {MAX_EVENT_BYTES}", reason="too_large")
    if holds_nul(payload):
        # PostgreSQL's text and jsonb types cannot store it.
        raise ContractError("an event must not contain a NUL character", reason="nul_character")


def holds_nul(payload: bytes) -> bool:
    """Return whether the JSON contains an escaped NUL character. ``\\\\u0000`` is an escaped backslash and text."""
    return b"\\u0000" in payload and _NUL.search(payload) is not None


def dump_event(event: Event) -> bytes:
    """Return the exact wire bytes: UTF-8 JSON with unset fields as null."""
    return EVENT_ADAPTER.dump_json(event)


def contract_error(error: ValidationError) -> ContractError:
    """Convert pydantic's error into one line that names the field and contains no value of the message."""
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
