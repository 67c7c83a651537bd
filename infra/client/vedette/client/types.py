"""Types of the API's requests and responses. ``make schemas`` writes this file from the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class AcceptedCommand(TypedDict):
    """A command that was sent. Its reply is at the `Location` of the response."""

    command_id: str
    status: Literal["sent"]


class AcceptedEnvelope(TypedDict):
    """A command that was sent, in the envelope."""

    success: Literal[True]
    data: AcceptedCommand
    meta: EmptyMeta


class AddPatternsRequest(TypedDict):
    """Patterns to add. Either all of them are added or none."""

    patterns: list[PatternRequest]


class AddPatternsResponse(TypedDict):
    """The given patterns as stored, in the order of the request. Repeating the request adds nothing."""

    pattern_ids: list[int]
    count: int
    added: int
    patterns: list[PatternResponse] | None


class AnprConfig(TypedDict):
    """Number plate recognition."""

    enabled: NotRequired[bool | None]
    search: NotRequired[Literal["auto", "vehicles", "frame"] | None]
    min_confidence: NotRequired[float | None]
    rules: NotRequired[PlateRuleConfig | None]


class AuditEntryResponse(TypedDict):
    """One entry of the audit log."""

    chain: int
    sequence: int
    at: str
    actor_kind: Literal["user", "api_key", "anonymous", "command"]
    actor_id: str | None
    actor_name: str
    action: str
    target: str | None
    outcome: Literal["success", "denied", "failure"]
    reason: str | None
    address: str | None
    request_id: str | None
    details: dict[str, Any]


class AuditListEnvelope(TypedDict):
    """One page of the audit log in the envelope."""

    success: Literal[True]
    data: list[AuditEntryResponse]
    meta: PageMeta


class CameraAsDevice(TypedDict):
    """A camera, in the terms of the snapshots API, which calls it a device."""

    id: str
    device_id: str
    name: str
    location: str | None
    status: Literal["ONLINE", "OFFLINE"]
    resolution: str | None
    fps: float | None
    codec: str | None
    last_seen: str | None


class CameraConfig(TypedDict):
    """Settings of a camera for its edge agent. A setting that is omitted or null has the agent's default."""

    mode: NotRequired[Literal["tracking", "detection", "motion"] | None]
    motion_events: NotRequired[bool | None]
    stream: NotRequired[StreamConfig | None]
    motion: NotRequired[MotionConfig | None]
    model: NotRequired[ModelConfig | None]
    detect: NotRequired[DetectConfig | None]
    events: NotRequired[EventConfig | None]
    snapshots: NotRequired[SnapshotConfig | None]
    anpr: NotRequired[AnprConfig | None]


class CameraEnvelope(TypedDict):
    """A camera in the envelope."""

    success: Literal[True]
    data: CameraResponse
    meta: EmptyMeta


class CameraListEnvelope(TypedDict):
    """One page of cameras in the envelope."""

    success: Literal[True]
    data: list[CameraResponse]
    meta: PageMeta


class CameraRequest(TypedDict):
    """Body that creates or replaces a camera. Read-only fields of the response may be repeated and are ignored."""

    name: str
    rtsp_url: str
    slug: NotRequired[str | None]
    username: NotRequired[str | None]
    password: NotRequired[str | None]
    device_id: NotRequired[str | None]
    group_id: NotRequired[str | None]
    location: NotRequired[str | None]
    resolution: NotRequired[str | None]
    fps: NotRequired[float | None]
    codec: NotRequired[str | None]
    is_active: NotRequired[bool]
    enable_detection: NotRequired[bool]
    detection_sensitivity: NotRequired[float]
    retention_days: NotRequired[int | None]
    settings: NotRequired[CameraConfig]


class CameraResponse(TypedDict):
    """A camera. Its password is never part of a response."""

    id: str
    slug: str
    name: str
    rtsp_url: str
    username: str | None
    has_password: bool
    status: Literal["idle", "live", "degraded", "offline"]
    is_active: bool
    enable_detection: bool
    detection_sensitivity: float
    device_id: str | None
    group_id: str | None
    group_name: str | None
    location: str | None
    resolution: str | None
    fps: float | None
    codec: str | None
    retention_days: int | None
    settings: CameraConfig
    config_version: int
    configuration: ConfigurationResponse
    last_connected: str | None
    createdAt: str
    updatedAt: str


class CameraStateRequest(TypedDict):
    """Body that switches a camera or its detection on or off."""

    is_active: NotRequired[bool | None]
    enable_detection: NotRequired[bool | None]


class CameraTotals(TypedDict):
    """Numbers of cameras."""

    total: int
    by_status: CamerasByStatus


class CamerasByStatus(TypedDict):
    """Numbers of cameras by status."""

    idle: int
    live: int
    degraded: int
    offline: int


class CamerasHealthResponse(TypedDict):
    """What an agent reported about a camera."""

    status: str
    is_connected: bool
    latency_ms: int | None
    fps_actual: float | None
    error: str | None
    last_check: str


class CaptureCounts(TypedDict):
    """The outcomes of all cameras."""

    total: int
    stored: int
    pending: int
    failed: int


class CaptureError(TypedDict):
    """Why the snapshot of a camera could not be taken."""

    code: str
    message: str


class CaptureRequest(TypedDict):
    """Body of a capture. Without a body, the defaults apply."""

    timeout_seconds: NotRequired[float]
    save_thumbnail: NotRequired[bool | None]


class CaptureResult(TypedDict):
    """The outcome for one camera of a group."""

    camera_id: str
    camera_slug: str
    status: Literal["stored", "pending", "failed"]
    snapshot: EnvelopedSnapshot | None
    error: CaptureError | None


class CommandEnvelope(TypedDict):
    """A command in the envelope."""

    success: Literal[True]
    data: CommandResponse
    meta: EmptyMeta


class CommandReply(TypedDict):
    """What the device answered. Each kind of command has further fields."""

    error: NotRequired[str | None]


class CommandResponse(TypedDict):
    """A command to a device."""

    id: str
    kind: str
    device_id: str
    camera_id: str | None
    requested_by: str
    status: Literal["sent", "ok", "error"]
    reply: CommandReply | None
    createdAt: str
    expiresAt: str
    repliedAt: str | None


class ConfigurationResponse(TypedDict):
    """Whether the camera's device runs its cameras as they are stored here. It applies all of them or none."""

    state: Literal["applied", "pending", "rejected", "no_device", "unmanaged"]
    version: int | None
    applied_version: int | None
    error: str | None


class ConnectionTestEnvelope(TypedDict):
    """Result of the test of a connection, in the envelope."""

    success: Literal[True]
    data: ConnectionTestResponse
    meta: EmptyMeta


class ConnectionTestRequest(TypedDict):
    """How a connection is tested."""

    timeout_seconds: NotRequired[float]
    check_credentials: NotRequired[bool]
    wait: NotRequired[bool]


class ConnectionTestResponse(TypedDict):
    """Result of the test of a connection."""

    success: bool
    camera_id: str
    message: str
    cause: str | None
    latency_ms: int | None
    resolution: str | None
    fps: float | None
    codec: str | None


class CreatedKey(TypedDict):
    """An API key that was just created."""

    id: str
    prefix: str
    name: str
    scopes: list[str]
    groups: list[str] | None
    created_at: str
    expires_at: str | None
    last_used: str | None
    revoked_at: str | None
    key: str


class CreatedKeyEnvelope(TypedDict):
    """A new API key in the envelope."""

    success: Literal[True]
    data: CreatedKey
    meta: EmptyMeta


class CreatedUser(TypedDict):
    """A user that was just created."""

    id: str
    username: str
    email: str | None
    role: str
    groups: list[str] | None
    permissions: list[str]
    is_active: bool
    created_at: str
    last_login: str | None
    reset_token: str | None


class CreatedUserEnvelope(TypedDict):
    """A new user in the envelope."""

    success: Literal[True]
    data: CreatedUser
    meta: EmptyMeta


class DateRange(TypedDict):
    """Capture times of the first and the last matching event. Null if no event matches."""

    first_event: str | None
    last_event: str | None


class DeleteEventResponse(TypedDict):
    """Result of deleting one event."""

    message: str
    snapshot_deleted: bool


class DeleteEventsRequest(TypedDict):
    """Body of ``POST /events/delete``: at least one condition, and the size of the batch."""

    start_time: NotRequired[str | None]
    end_time: NotRequired[str | None]
    camera_id: NotRequired[str | None]
    event_type: NotRequired[
        Literal["tracking", "motion", "detection", "anpr", "snapshot", "camera_status", "rule"] | None
    ]
    class_name: NotRequired[str | None]
    min_confidence: NotRequired[float | None]
    zone: NotRequired[str | None]
    site_id: NotRequired[str | None]
    license_plate: NotRequired[str | None]
    limit: NotRequired[int]
    delete_snapshots: NotRequired[bool]


class DeleteEventsResponse(TypedDict):
    """Result of deleting one batch of events."""

    message: str
    deleted: int
    snapshots_deleted: int
    remaining: int
    on_hold: int


class Deleted(TypedDict):
    """What was deleted or revoked."""

    id: str
    message: str


class DeletedCamera(TypedDict):
    """Result of a deletion."""

    id: str
    message: str


class DeletedCameraEnvelope(TypedDict):
    """Result of a deletion in the envelope."""

    success: Literal[True]
    data: DeletedCamera
    meta: EmptyMeta


class DeletedEnvelope(TypedDict):
    """Result of a deletion in the envelope."""

    success: Literal[True]
    data: Deleted
    meta: EmptyMeta


class DeletedGroup(TypedDict):
    """Result of a deletion."""

    id: str
    message: str
    freed_cameras: int


class DeletedGroupEnvelope(TypedDict):
    """Result of a deletion in the envelope."""

    success: Literal[True]
    data: DeletedGroup
    meta: EmptyMeta


class DeletedPolicy(TypedDict):
    """What was deleted."""

    policy_id: int
    message: str


class DeletedPolicyEnvelope(TypedDict):
    """Confirms a deletion in the envelope."""

    success: Literal[True]
    data: DeletedPolicy
    meta: EmptyMeta


class DeletedResponse(TypedDict):
    """Result of a deletion."""

    message: str


class DeletedSnapshotResponse(TypedDict):
    """Result of a deletion."""

    id: str
    message: str


class DeletedWebhook(TypedDict):
    """What was deleted."""

    id: str
    message: str


class DeletedWebhookEnvelope(TypedDict):
    """What was deleted, in the envelope."""

    success: Literal[True]
    data: DeletedWebhook
    meta: EmptyMeta


class DeliveryEnvelope(TypedDict):
    """One delivery in the envelope."""

    success: Literal[True]
    data: DeliveryResponse
    meta: EmptyMeta


class DeliveryListEnvelope(TypedDict):
    """One page of the deliveries in the envelope."""

    success: Literal[True]
    data: list[DeliveryResponse]
    meta: PageMeta


class DeliveryResponse(TypedDict):
    """One delivery."""

    message_id: str
    event_id: int | None
    event_type: str
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    next_attempt_at: str | None
    last_attempt_at: str | None
    response_status: int | None
    error: str | None
    duration_ms: int | None
    created_at: str


class DetectConfig(TypedDict):
    """Which detections are kept."""

    min_score: NotRequired[float | None]
    classes: NotRequired[list[str] | None]
    slicing: NotRequired[SlicingConfig | None]


class DeviceCameraState(TypedDict):
    """A camera as its device reports it."""

    camera_id: str
    id: str | None
    name: str | None
    status: Literal["online", "degraded", "offline"]
    fps_actual: float | None
    resolution: str | None
    codec: str | None
    last_frame_at: str | None
    error: str | None
    cause: str | None


class DeviceConfigurationState(TypedDict):
    """What the device is to run, and what it runs."""

    managed: bool
    desired_version: int
    applied_version: int | None
    applied_at: str | None
    rejected_version: int | None
    error: str | None


class DeviceEnvelope(TypedDict):
    """A device in the envelope."""

    success: Literal[True]
    data: DeviceResponse
    meta: EmptyMeta


class DeviceGaps(TypedDict):
    """Events of the device that have not arrived."""

    open: int
    missing_events: int
    lost_events: int


class DeviceListEnvelope(TypedDict):
    """One page of devices in the envelope."""

    success: Literal[True]
    data: list[DeviceResponse]
    meta: PageMeta


class DeviceOutbox(TypedDict):
    """Data on the device that is not delivered yet, and data that it dropped because of its size or age."""

    pending_events: int
    pending_bytes: int
    dropped_events: int
    pending_images: int
    dropped_images: int


class DeviceResponse(TypedDict):
    """A device and its state."""

    device_id: str
    site_id: str
    status: Literal["online", "offline"]
    version: str | None
    last_heartbeat: str | None
    last_seen: str
    first_seen: str
    uptime_seconds: float | None
    reconnects: int | None
    outbox: DeviceOutbox | None
    gaps: DeviceGaps
    configuration: DeviceConfigurationState | None
    cameras: list[DeviceCameraState]


class DeviceTotals(TypedDict):
    """Numbers of devices."""

    total: int
    online: int
    offline: int


class DeviceWithGaps(TypedDict):
    """Open gaps of a device."""

    open: int
    missing_events: int
    device_id: str
    oldest: str


class DroppedData(TypedDict):
    """What a device dropped since its outbox was created, because of size or age."""

    device_id: str
    dropped_events: int
    dropped_images: int


class EffectiveEnvelope(TypedDict):
    """What applies, in the envelope."""

    success: Literal[True]
    data: EffectiveResponse
    meta: EmptyMeta


class EffectiveResponse(TypedDict):
    """What applies to the events of one camera, type and site."""

    camera_id: str | None
    event_type: str | None
    site_id: str | None
    max_age_days: int | None
    decided_by: Literal["site", "policy", "deployment"] | None
    site_days: int | None
    deployment_days: int | None
    age_policy: PolicyResponse | None
    size_policy: PolicyResponse | None
    holds: list[str]


class EmptyMeta(TypedDict):
    """Holds nothing."""


class EnvelopedError(TypedDict):
    """Why the request failed."""

    code: str
    message: str
    details: list[dict[str, str]]


class EnvelopedSnapshot(TypedDict):
    """A requested snapshot, in the envelope."""

    id: str
    camera_id: str | None
    camera_slug: str
    device_id: str
    command_id: str | None
    status: Literal["pending", "stored", "failed"]
    error: str | None
    filename: str | None
    storage_path: str | None
    content_type: str | None
    file_size: int | None
    width: int | None
    height: int | None
    captured_at: str | None
    expiry_date: str | None
    image_url: str | None
    thumbnail_url: str | None
    createdAt: str


class ErrorEnvelope(TypedDict):
    """Body of every error response of the cameras API."""

    success: Literal[False]
    error: EnvelopedError
    meta: ErrorMeta


class ErrorMeta(TypedDict):
    """Identifies the request."""

    requestId: str


class EventConfig(TypedDict):
    """Thresholds of events, and the zones and lines of the picture."""

    confirm_s: NotRequired[float | None]
    min_median_confidence: NotRequired[float | None]
    update_interval_s: NotRequired[float | None]
    zones: NotRequired[list[ZoneSettings] | None]
    required_zones: NotRequired[list[str] | None]
    lines: NotRequired[list[LineSettings] | None]


class EventListResponse(TypedDict):
    """One page of the matching events, newest first."""

    events: list[EventResponse]
    total: int
    page: int | None
    page_size: int
    has_more: bool
    next_cursor: str | None


class EventResponse(TypedDict):
    """One event. All times are RFC 3339 in UTC with `Z`."""

    id: int
    event_id: str
    event_type: Literal["tracking", "motion", "detection", "anpr", "snapshot", "camera_status", "rule"]
    camera_id: str
    site_id: str
    device_id: str
    timestamp: str
    frame_number: int | None
    snapshot_path: str | None
    event_data: dict[str, Any]
    created_at: str


class EventStatisticsResponse(TypedDict):
    """Exact totals of the matching events."""

    total_events: int
    events_by_type: dict[str, int]
    events_by_camera: dict[str, int]
    date_range: DateRange


class FieldErrorResponse(TypedDict):
    """What is wrong with a field."""

    parameter: str
    location: str
    message: str


class FoundObjects(TypedDict):
    """Images that the comparison of bucket and database found."""

    objects: int
    bytes: int
    oldest: str | None
    checked_at: str | None
    keys: list[str]


class FoundPlateResponse(TypedDict):
    """A read. Similarity and distances are present with `match=fuzzy` only."""

    id: int
    event_id: str
    site_id: str
    device_id: str
    camera_id: str
    host: str | None
    captured_at: str
    track_id: int | None
    track_uid: str | None
    plate_text: str | None
    plate_normalized_text: str | None
    confidence: float
    region: str | None
    vehicle_type: str | None
    vehicle_make: str | None
    vehicle_model: str | None
    vehicle_color: str | None
    vehicle_image_key: str | None
    plate_image_key: str | None
    plate_box: PlateBox | None
    latency_ms: float | None
    quality_score: float | None
    frame_number: int | None
    roi: str | None
    direction: str | None
    reads: int | None
    created_at: str
    plate_token: str | None
    similarity: NotRequired[float | None]
    edit_distance: NotRequired[int | None]
    distance: NotRequired[float | None]


class GapTotals(TypedDict):
    """Open gaps of all devices."""

    open: int
    missing_events: int


class GroupCaptureEnvelope(TypedDict):
    """The outcome for each camera of a group, in the envelope."""

    success: Literal[True]
    data: list[CaptureResult]
    meta: CaptureCounts


class GroupEnvelope(TypedDict):
    """A group in the envelope."""

    success: Literal[True]
    data: GroupResponse
    meta: EmptyMeta


class GroupListEnvelope(TypedDict):
    """One page of groups in the envelope."""

    success: Literal[True]
    data: list[GroupResponse]
    meta: PageMeta


class GroupRequest(TypedDict):
    """Body that creates or replaces a group. Read-only fields of the response may be repeated and are ignored."""

    name: str
    slug: NotRequired[str | None]
    description: NotRequired[str | None]
    location: NotRequired[str | None]


class GroupResponse(TypedDict):
    """A camera group."""

    id: str
    slug: str
    name: str
    description: str | None
    location: str | None
    cameras: int
    version: int
    createdAt: str
    updatedAt: str


class GroupSummary(TypedDict):
    """The cameras of one group. `id`, `slug` and `name` are null for the cameras without a group."""

    id: str | None
    slug: str | None
    name: str | None
    total: int
    active: int
    by_status: StatusCounts


class HealthCheck(TypedDict):
    """Status of one dependency of the API."""

    status: Literal["ok", "failed", "not_configured"]


class HealthHealthResponse(TypedDict):
    """Status of the API: `degraded` if a non-essential check fails, `unavailable` if the database cannot be reached
    or rejects writes.
    """

    status: Literal["ok", "degraded", "unavailable"]
    version: str
    checks: dict[str, HealthCheck]


class HealthListEnvelope(TypedDict):
    """One page of a camera's health history in the envelope."""

    success: Literal[True]
    data: list[CamerasHealthResponse]
    meta: PageMeta


class HealthReport(TypedDict):
    """State of all cameras and devices. Each list has at most 50 entries."""

    generated_at: str
    cameras: CameraTotals
    offline_cameras: list[OfflineCamera]
    devices: DeviceTotals
    devices_with_dropped_data: list[DroppedData]
    late_canaries: NotRequired[list[LateCanary]]
    gaps: GapTotals
    devices_with_gaps: list[DeviceWithGaps]
    maintenance: NotRequired[MaintenanceReport | None]
    objects: NotRequired[ObjectReport | None]


class HealthReportEnvelope(TypedDict):
    """The report in the envelope."""

    success: Literal[True]
    data: HealthReport
    meta: EmptyMeta


class HeldItemResponse(TypedDict):
    """One thing that a hold protects."""

    event_id: str | None
    camera_id: str | None
    start_time: str | None
    end_time: str | None


class HoldEnvelope(TypedDict):
    """One hold in the envelope."""

    success: Literal[True]
    data: HoldResponse
    meta: EmptyMeta


class HoldListEnvelope(TypedDict):
    """One page of the holds, newest first, in the envelope."""

    success: Literal[True]
    data: list[HoldResponse]
    meta: PageMeta


class HoldRequest(TypedDict):
    """Body that places a legal hold: on single events, or on what cameras produced in a time, or on both."""

    name: str
    reason: str
    events: NotRequired[list[str]]
    cameras: NotRequired[list[str]]
    start_time: NotRequired[str | None]
    end_time: NotRequired[str | None]
    expires_at: NotRequired[str | None]


class HoldResponse(TypedDict):
    """A legal hold."""

    hold_id: int
    name: str
    reason: str
    active: bool
    items: list[HeldItemResponse]
    placed_by: str
    placed_at: str
    expires_at: str | None
    released_by: str | None
    released_at: str | None
    release_reason: str | None


class ImportEnvelope(TypedDict):
    """The report in the envelope."""

    success: Literal[True]
    data: ImportResponse
    meta: EmptyMeta


class ImportRequest(TypedDict):
    """Body of an import: a file, and what to do with its rows."""

    format: Literal["csv", "json"]
    data: str
    group_id: NotRequired[str | None]
    skip_duplicates: NotRequired[bool]
    all_or_nothing: NotRequired[bool]


class ImportResponse(TypedDict):
    """Report on an import."""

    total: int
    created: int
    skipped: int
    failed: int
    rows: list[RowResponse]


class KeyListEnvelope(TypedDict):
    """One page of API keys in the envelope."""

    success: Literal[True]
    data: list[KeyResponse]
    meta: PageMeta


class KeyResponse(TypedDict):
    """One API key. Its text is returned only when it is created."""

    id: str
    prefix: str
    name: str
    scopes: list[str]
    groups: list[str] | None
    created_at: str
    expires_at: str | None
    last_used: str | None
    revoked_at: str | None


class LateCanary(TypedDict):
    """A device whose canaries do not arrive."""

    device_id: str
    last_received_at: str | None
    every_s: float


class LineSettings(TypedDict):
    """A named line. Each object that crosses it is counted and reported."""

    name: str
    points: NotRequired[list[list[Any]]]
    start: NotRequired[list[Any] | None]
    end: NotRequired[list[Any] | None]
    direction: NotRequired[Literal["any", "right", "left"]]
    classes: NotRequired[list[str]]
    anchor: NotRequired[Literal["bottom", "center"]]
    band_ratio: NotRequired[float]
    settle_s: NotRequired[float]
    schedule: NotRequired[list[WindowSettings]]


class LoginData(TypedDict):
    """The tokens of a session, and its user."""

    accessToken: str
    refreshToken: str
    tokenType: Literal["bearer"]
    expiresIn: int
    user: UserContent


class LoginEnvelope(TypedDict):
    """Response to a log-in, in the envelope."""

    success: Literal[True]
    data: LoginData
    meta: EmptyMeta


class LoginRequest(TypedDict):
    """Body of a log-in: `username` or `email`, and the password."""

    username: NotRequired[str | None]
    email: NotRequired[str | None]
    password: str


class LoiteringSettings(TypedDict):
    """Reports of objects that stay in a zone for a long time."""

    after_s: float
    again_after_s: NotRequired[float | None]
    grace_s: NotRequired[float]


class MaintenanceReport(TypedDict):
    """State of maintenance."""

    tasks: list[MaintenanceTask]


class MaintenanceTask(TypedDict):
    """A regular task of maintenance, and its last run."""

    task: str
    schedule: str
    status: Literal["ok", "running", "waiting", "failed", "late"]
    last_run: str | None
    last_success: str | None
    next_due: str
    failures: int
    error: str | None


class MeResponse(TypedDict):
    """The caller."""

    kind: Literal["user", "api_key", "anonymous"]
    name: str
    permissions: list[str]
    user: UserContent | None


class MessageResponse(TypedDict):
    """What was done."""

    message: str


class ModelConfig(TypedDict):
    """The detection model."""

    name: NotRequired[str | None]


class MotionConfig(TypedDict):
    """Motion detection."""

    threshold: NotRequired[float | None]
    min_area_ratio: NotRequired[float | None]
    ignore: NotRequired[list[list[list[Any]]] | None]


class NewKeyRequest(TypedDict):
    """Body that creates an API key."""

    name: str
    scopes: list[str]
    groups: NotRequired[list[str] | None]
    expires_in_days: NotRequired[int | None]


class NewUserRequest(TypedDict):
    """Body that creates a user."""

    email: NotRequired[str | None]
    role: Literal["admin", "operator", "viewer"]
    groups: NotRequired[list[str] | None]
    is_active: NotRequired[bool]
    username: str
    password: NotRequired[str | None]


class ObjectReport(TypedDict):
    """Differences between bucket and database."""

    orphaned: FoundObjects
    missing: FoundObjects


class OccupancySettings(TypedDict):
    """Reports of too many or too few objects in a zone."""

    over: NotRequired[int | None]
    under: NotRequired[int | None]
    debounce_s: NotRequired[float]
    cooldown_s: NotRequired[float]


class OfflineCamera(TypedDict):
    """A camera that is offline."""

    id: str
    slug: str
    name: str
    device_id: str | None
    offline_since: str | None
    error: str | None


class PageMeta(TypedDict):
    """Position of a page in its list."""

    page: int
    pageSize: int
    total: int
    totalPages: int


class PasswordRequest(TypedDict):
    """Body that changes the caller's password."""

    current_password: str
    new_password: str


class PatternListResponse(TypedDict):
    """One page of the patterns of a watch-list, in the order in which they were added."""

    patterns: list[PatternResponse]
    total: int
    limit: int
    offset: int


class PatternRequest(TypedDict):
    """A pattern to add. Patterns cannot be changed: delete the pattern and add another one."""

    kind: Literal["exact", "glob", "regex", "fuzzy"]
    pattern: str
    max_distance: NotRequired[int | None]
    site_id: NotRequired[str | None]
    reason: NotRequired[str | None]
    expires_at: NotRequired[str | None]


class PatternResponse(TypedDict):
    """A pattern of a watch-list, in its stored form."""

    pattern_id: int
    watchlist_id: int
    kind: Literal["exact", "glob", "regex", "fuzzy"]
    pattern: str
    max_distance: int | None
    reason: str | None
    expires_at: str | None


class PlateBox(TypedDict):
    """Position of the plate in the image. All values are fractions of the image size, from 0 to 1."""

    x: float
    y: float
    width: float
    height: float


class PlateCameraResponse(TypedDict):
    """Reads of the plate by one camera."""

    camera_id: str
    site_id: str
    events: int
    first_seen: str
    last_seen: str


class PlateHistoryResponse(TypedDict):
    """All reads of one plate in summary, and its newest reads."""

    plate_normalized_text: str
    total_events: int
    first_seen: str
    last_seen: str
    avg_confidence: float
    cameras: list[PlateCameraResponse]
    plates: list[PlateReadResponse]


class PlateListResponse(TypedDict):
    """One page of the matching reads: newest first, or nearest first with `match=fuzzy`."""

    plates: list[FoundPlateResponse]
    total: int
    limit: int
    offset: int | None
    has_more: bool
    next_cursor: str | None


class PlateReadResponse(TypedDict):
    """One read of a plate: one vehicle that passed one camera."""

    id: int
    event_id: str
    site_id: str
    device_id: str
    camera_id: str
    host: str | None
    captured_at: str
    track_id: int | None
    track_uid: str | None
    plate_text: str | None
    plate_normalized_text: str | None
    confidence: float
    region: str | None
    vehicle_type: str | None
    vehicle_make: str | None
    vehicle_model: str | None
    vehicle_color: str | None
    vehicle_image_key: str | None
    plate_image_key: str | None
    plate_box: PlateBox | None
    latency_ms: float | None
    quality_score: float | None
    frame_number: int | None
    roi: str | None
    direction: str | None
    reads: int | None
    created_at: str
    plate_token: str | None


class PlateRowResponse(TypedDict):
    """One read of a plate."""

    event_id: str
    captured_at: str
    camera_id: str
    track_id: str | None
    plate_text: str | None
    plate_normalized_text: str | None
    plate_confidence: float
    plate_region: str | None
    vehicle_type: str | None
    vehicle_make: str | None
    vehicle_model: str | None
    vehicle_color: str | None
    plate_image_url: str | None
    vehicle_image_url: str | None
    frame_image_url: str | None
    latency_ms: int | None
    quality_score: float | None
    frame_number: int | None
    site_id: str
    host_id: str | None
    roi: str | None
    direction: str | None
    created_at: str


class PlateRuleConfig(TypedDict):
    """Which texts are accepted as plates."""

    regions: NotRequired[list[str] | None]
    only_these_regions: NotRequired[bool | None]
    ignore: NotRequired[list[str] | None]


class PlateStatisticsResponse(TypedDict):
    """Exact totals of all reads. All fields except `is_connected` are null if the database is unavailable."""

    is_connected: bool
    total_events: int | None
    unique_plates: int | None
    active_cameras: int | None
    avg_confidence: float | None
    avg_latency_ms: float | None


class PolicyEnvelope(TypedDict):
    """One policy in the envelope."""

    success: Literal[True]
    data: PolicyResponse
    meta: EmptyMeta


class PolicyListEnvelope(TypedDict):
    """One page of the policies in the envelope."""

    success: Literal[True]
    data: list[PolicyResponse]
    meta: PageMeta


class PolicyRequest(TypedDict):
    """Body that creates or replaces a retention policy. Without a target it is for the events of all cameras."""

    camera_id: NotRequired[str | None]
    group_id: NotRequired[str | None]
    site_id: NotRequired[str | None]
    event_type: NotRequired[
        Literal["tracking", "motion", "detection", "anpr", "snapshot", "camera_status", "rule"] | None
    ]
    max_age_days: NotRequired[int | None]
    max_bytes: NotRequired[int | None]


class PolicyResponse(TypedDict):
    """A retention policy."""

    policy_id: int
    camera_id: str | None
    group_id: str | None
    group: str | None
    site_id: str | None
    event_type: str | None
    max_age_days: int | None
    max_bytes: int | None
    created_at: str
    updated_at: str


class PreviewEnvelope(TypedDict):
    """The preview in the envelope."""

    success: Literal[True]
    data: PreviewResponse
    meta: EmptyMeta


class PreviewPart(TypedDict):
    """Expired events of one camera, type and site."""

    camera_id: str
    event_type: str
    site_id: str
    before: str
    events: int
    held: int


class PreviewResponse(TypedDict):
    """What the next run of the task `retention` deletes."""

    events: int
    held: int
    unmeasured_days: int
    parts: list[PreviewPart]


class ProblemDocument(TypedDict):
    """Body of every error response (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: NotRequired[list[dict[str, str]] | None]


class RecentEventsResponse(TypedDict):
    """The newest events."""

    events: list[EventResponse]
    count: int


class RefreshRequest(TypedDict):
    """Body that names a refresh token, as `refresh_token` or `refreshToken`."""

    refresh_token: NotRequired[str | None]
    refreshToken: NotRequired[str | None]


class ReleaseRequest(TypedDict):
    """Body that releases a hold."""

    reason: str


class ReplayEnvelope(TypedDict):
    """One replay in the envelope."""

    success: Literal[True]
    data: ReplayResponse
    meta: EmptyMeta


class ReplayListEnvelope(TypedDict):
    """One page of the replays in the envelope."""

    success: Literal[True]
    data: list[ReplayResponse]
    meta: PageMeta


class ReplayRequest(TypedDict):
    """Body that requests a replay."""

    target: str
    webhook: NotRequired[str | None]
    start_time: str
    end_time: str
    filter: NotRequired[WebhookFilter]


class ReplayResponse(TypedDict):
    """One replay and how far it has come."""

    id: str
    target: str
    webhook: str | None
    start_time: str
    end_time: str
    filter: WebhookFilter
    groups: list[str] | None
    requested_by: str
    status: Literal["pending", "running", "done", "cancelled", "failed"]
    error: Literal["target-not-deployed", "webhook-disabled"] | None
    events: int
    sent: int
    position: str | None
    created_at: str
    finished_at: str | None


class ResetEnvelope(TypedDict):
    """A reset token in the envelope."""

    success: Literal[True]
    data: ResetToken
    meta: EmptyMeta


class ResetRequest(TypedDict):
    """Body that chooses a password with a reset token."""

    reset_token: str
    new_password: str


class ResetToken(TypedDict):
    """The token with which a user chooses a password."""

    reset_token: str
    expires_in: int


class RotateRequest(TypedDict):
    """Body that replaces the secret of a webhook."""

    overlap_s: NotRequired[int]


class RowResponse(TypedDict):
    """What became of one row of an import."""

    row: int
    name: str | None
    status: Literal["created", "skipped", "failed"]
    id: str | None
    slug: str | None
    errors: list[FieldErrorResponse]


class SessionResponse(TypedDict):
    """The caller of the dashboard."""

    kind: Literal["user", "api_key", "anonymous"]
    name: str
    role: str | None
    permissions: list[str]
    log_in: Literal["available", "https-required", "none"]


class SignedUrlResponse(TypedDict):
    """A signed URL. It gives access to the snapshot without further permission until it expires."""

    url: str
    expires_in: int
    expires_at: str


class SlicingConfig(TypedDict):
    """Sliced inference: the model runs again on full-resolution crops around moving regions."""

    enabled: NotRequired[bool | None]
    max_crops: NotRequired[int | None]


class SnapshotConfig(TypedDict):
    """Pictures that are sent with events."""

    enabled: NotRequired[bool | None]
    image_format: NotRequired[Literal["jpg", "png", "webp"] | None]
    quality: NotRequired[int | None]
    max_width_px: NotRequired[int | None]
    thumbnail_width_px: NotRequired[int | None]


class SnapshotEnvelope(TypedDict):
    """A requested snapshot in the envelope."""

    success: Literal[True]
    data: EnvelopedSnapshot
    meta: EmptyMeta


class SnapshotImageResponse(TypedDict):
    """A requested snapshot with its image."""

    id: str
    camera_id: str | None
    camera_slug: str
    device_id: str
    command_id: str | None
    status: Literal["pending", "stored", "failed"]
    error: str | None
    filename: str | None
    storage_path: str | None
    content_type: str | None
    file_size: int | None
    width: int | None
    height: int | None
    captured_at: str | None
    expiry_date: str | None
    image_url: str | None
    thumbnail_url: str | None
    created_at: str
    image_data: str


class SnapshotListResponse(TypedDict):
    """One page of snapshots, newest first."""

    snapshots: list[SnapshotResponse]
    total: int
    page: int
    per_page: int
    total_pages: int
    has_more: bool


class SnapshotResponse(TypedDict):
    """A requested snapshot."""

    id: str
    camera_id: str | None
    camera_slug: str
    device_id: str
    command_id: str | None
    status: Literal["pending", "stored", "failed"]
    error: str | None
    filename: str | None
    storage_path: str | None
    content_type: str | None
    file_size: int | None
    width: int | None
    height: int | None
    captured_at: str | None
    expiry_date: str | None
    image_url: str | None
    thumbnail_url: str | None
    created_at: str


class StatusCounts(TypedDict):
    """Numbers of cameras by status."""

    idle: int
    live: int
    degraded: int
    offline: int


class StreamConfig(TypedDict):
    """Connection to the camera."""

    rtsp_transport: NotRequired[Literal["tcp", "udp"] | None]


class SummaryEnvelope(TypedDict):
    """The summary in the envelope."""

    success: Literal[True]
    data: SummaryResponse
    meta: EmptyMeta


class SummaryResponse(TypedDict):
    """Numbers of cameras."""

    total: int
    active: int
    inactive: int
    detecting: int
    by_status: StatusCounts
    groups: list[GroupSummary]


class TicketEnvelope(TypedDict):
    """A ticket in the envelope."""

    success: Literal[True]
    data: TicketResponse
    meta: EmptyMeta


class TicketResponse(TypedDict):
    """A ticket, which opens one WebSocket connection as the caller."""

    ticket: str
    expires_in: int
    url: str


class TokenResponse(TypedDict):
    """The tokens of a session."""

    access_token: str
    refresh_token: str
    token_type: Literal["bearer"]
    expires_in: int


class UserContent(TypedDict):
    """One user."""

    id: str
    username: str
    email: str | None
    role: str
    groups: list[str] | None
    permissions: list[str]


class UserEnvelope(TypedDict):
    """One user in the envelope."""

    success: Literal[True]
    data: UserResponse
    meta: EmptyMeta


class UserListEnvelope(TypedDict):
    """One page of users in the envelope."""

    success: Literal[True]
    data: list[UserResponse]
    meta: PageMeta


class UserPatch(TypedDict):
    """Body that changes the given fields of a user."""

    email: NotRequired[str | None]
    role: NotRequired[Literal["admin", "operator", "viewer"] | None]
    groups: NotRequired[list[str] | None]
    is_active: NotRequired[bool | None]


class UserRequest(TypedDict):
    """Body that replaces a user. Omitted fields get their defaults; the password stays."""

    email: NotRequired[str | None]
    role: Literal["admin", "operator", "viewer"]
    groups: NotRequired[list[str] | None]
    is_active: NotRequired[bool]
    username: NotRequired[str | None]


class UserResponse(TypedDict):
    """One user, for an administrator."""

    id: str
    username: str
    email: str | None
    role: str
    groups: list[str] | None
    permissions: list[str]
    is_active: bool
    created_at: str
    last_login: str | None


class WatchlistListResponse(TypedDict):
    """One page of the watch-lists, sorted by name."""

    watchlists: list[WatchlistResponse]
    count: int
    total: int


class WatchlistRequest(TypedDict):
    """Body that creates or replaces a watch-list."""

    name: str
    description: NotRequired[str | None]
    enabled: NotRequired[bool]


class WatchlistResponse(TypedDict):
    """A watch-list."""

    watchlist_id: int
    name: str
    description: str | None
    enabled: bool
    patterns: int
    created_at: str
    updated_at: str


class WebhookEnvelope(TypedDict):
    """One webhook in the envelope."""

    success: Literal[True]
    data: WebhookResponse
    meta: EmptyMeta


class WebhookFilter(TypedDict):
    """Conditions on events, as in `GET /events`. An event matches if it meets every condition given."""

    camera_id: NotRequired[str | None]
    event_type: NotRequired[
        Literal["tracking", "motion", "detection", "anpr", "snapshot", "camera_status", "rule"]
        | Literal["plate_match"]
        | None
    ]
    class_name: NotRequired[str | None]
    min_confidence: NotRequired[float | None]
    zone: NotRequired[str | None]
    site_id: NotRequired[str | None]
    license_plate: NotRequired[str | None]


class WebhookListEnvelope(TypedDict):
    """One page of the webhooks in the envelope."""

    success: Literal[True]
    data: list[WebhookResponse]
    meta: PageMeta


class WebhookRequest(TypedDict):
    """Body that registers or replaces a webhook."""

    name: str
    url: str
    filter: NotRequired[WebhookFilter]
    groups: NotRequired[list[str] | None]
    enabled: NotRequired[bool]
    format: NotRequired[Literal["json", "cloudevents"]]


class WebhookResponse(TypedDict):
    """One webhook, without its secret."""

    id: str
    name: str
    url: str
    filter: WebhookFilter
    groups: list[str] | None
    enabled: bool
    disabled_reason: Literal["gone", "failing"] | None
    failures: int
    failing_since: str | None
    last_success_at: str | None
    format: Literal["json", "cloudevents"]
    pending: int
    dropped: int
    dropped_at: str | None
    previous_secret_until: str | None
    created_at: str
    updated_at: str


class WebhookWithSecret(TypedDict):
    """A webhook whose secret was just made."""

    id: str
    name: str
    url: str
    filter: WebhookFilter
    groups: list[str] | None
    enabled: bool
    disabled_reason: Literal["gone", "failing"] | None
    failures: int
    failing_since: str | None
    last_success_at: str | None
    format: Literal["json", "cloudevents"]
    pending: int
    dropped: int
    dropped_at: str | None
    previous_secret_until: str | None
    created_at: str
    updated_at: str
    secret: str


class WebhookWithSecretEnvelope(TypedDict):
    """A webhook with its secret in the envelope."""

    success: Literal[True]
    data: WebhookWithSecret
    meta: EmptyMeta


class WindowSettings(TypedDict):
    """A daily time window in which a zone or a line is active."""

    days: NotRequired[list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]]]
    start: NotRequired[str]
    end: NotRequired[str]


class ZoneSettings(TypedDict):
    """A named area of the picture. An object is in the zone while its anchor is inside it or on its edge."""

    name: str
    polygon: list[list[Any]]
    classes: NotRequired[list[str]]
    anchor: NotRequired[Literal["bottom", "center"]]
    enter_s: NotRequired[float]
    exit_s: NotRequired[float]
    exit_ratio: NotRequired[float]
    loitering: NotRequired[LoiteringSettings | None]
    loitering_s: NotRequired[float | None]
    occupancy: NotRequired[OccupancySettings | None]
    schedule: NotRequired[list[WindowSettings]]
