"""Commands to a device (``…/commands/{command}``) and their replies (``…/replies/{command_id}``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.cameras import DeviceCamera
from shared.errors import ContractError
from shared.events import SnapshotRef
from shared.ids import Segment

MAX_COMMAND_BYTES = 120 * 1024
"""AWS IoT Core refuses messages of more than 128 KiB."""
MAX_RESEND_RANGES = 1000

SequenceRange = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
"""First and last sequence, both included."""


class CommandBase(BaseModel):
    """Fields of every command. A command past ``expires_at`` is not executed; the reply is an error."""

    model_config = ConfigDict(extra="allow")

    command_id: Segment
    issued_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None


class SnapshotCommand(CommandBase):
    """Capture an image now. A ``snapshot`` event follows."""

    command: Literal["snapshot"] = "snapshot"
    camera_id: Segment
    snapshot_id: Segment | None = None
    thumbnail: bool | None = Field(
        default=None, description="Whether to make a thumbnail too. Null: as the camera's settings."
    )
    reply_within_s: float | None = Field(
        default=None, gt=0, le=3600, description="Seconds in which the sender expects the reply."
    )


ConnectionFailure = Literal[
    "host_unreachable",
    "connection_refused",
    "wrong_credentials",
    "no_such_stream",
    "not_video",
    "timed_out",
    "failed",
]
"""Why a camera cannot be opened. ``failed``: for another reason, which the error text gives."""


class TestConnectionCommand(CommandBase):
    """Open the camera, read a frame, and reply with latency, resolution, frame rate and codec, or with the cause."""

    __test__ = False  # the name begins with Test, but this is not a test class

    command: Literal["test_connection"] = "test_connection"
    camera_id: Segment
    timeout_s: float | None = Field(
        default=None,
        gt=0,
        le=60,
        allow_inf_nan=False,
        description="Maximum time for the test. None: as for the camera.",
    )
    camera: DeviceCamera | None = Field(
        default=None,
        description="The camera as the API has it, for a device that the API configures. Without it, and on other "
        "devices, the camera that runs is tested.",
    )
    check_credentials: bool = Field(
        default=True,
        description="If false, only the server of the stream is contacted, without user name and password.",
    )


class ReloadCommand(CommandBase):
    """Read the configuration file again."""

    command: Literal["reload"] = "reload"


class ResendCommand(CommandBase):
    """Publish these sequences again. The reply lists those that are no longer stored."""

    command: Literal["resend"] = "resend"
    sequence_epoch: str = Field(min_length=1, max_length=64)
    ranges: list[SequenceRange] = Field(min_length=1, max_length=MAX_RESEND_RANGES)


class ConfigureCommand(CommandBase):
    """Run exactly these cameras. The device keeps its present configuration if these do not work."""

    command: Literal["configure"] = "configure"
    version: int = Field(
        ge=1, description="Version of the device's configuration. A lower one than the device runs is refused."
    )
    cameras: list[DeviceCamera] = Field(description="All cameras of the device; may be empty.")


Command = Annotated[
    SnapshotCommand | TestConnectionCommand | ReloadCommand | ResendCommand | ConfigureCommand,
    Field(discriminator="command"),
]
_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class TakenSnapshot(BaseModel):
    """The image that a ``snapshot`` command captured, in its reply."""

    model_config = ConfigDict(extra="allow")

    snapshot_id: str = Field(min_length=1, max_length=200)
    camera_id: Segment
    captured_at: AwareDatetime
    image: SnapshotRef
    has_thumbnail: bool = False
    stored: bool = Field(
        description="Whether the image is in the bucket. If not, the device uploads it as soon as it can."
    )
    error: str | None = Field(default=None, description="Why the image is not in the bucket yet.")


class Reply(BaseModel):
    """The outcome of one command."""

    model_config = ConfigDict(extra="allow")

    schema_version: Literal[1] = 1
    command_id: Segment
    command: str
    site_id: Segment
    device_id: Segment
    timestamp: AwareDatetime
    status: Literal["ok", "error"]
    error: str | None = None
    latency_ms: float | None = None
    resolution: str | None = None
    codec: str | None = None
    fps: float | None = None
    cause: str | None = Field(
        default=None,
        description="Why the test of a connection failed: a `ConnectionFailure`. Later versions may add causes.",
    )
    snapshot: TakenSnapshot | None = None
    sequence_epoch: str | None = None
    resent: int | None = Field(default=None, ge=0)
    unavailable: list[SequenceRange] | None = Field(
        default=None, description="Requested sequences that the device dropped or no longer stores."
    )
    config_version: int | None = Field(
        default=None, ge=0, description="Of `configure`: the version that the device runs now; 0 for none."
    )
    rejected_version: int | None = Field(
        default=None,
        ge=1,
        description="Of `configure`: the version that the device refused, with the reason in `error`. Without it, a "
        "`configure` that failed may be sent again.",
    )
    refused_cameras: dict[str, str] | None = Field(
        default=None,
        description="Of `configure` that succeeded: cameras that do not run because the device's own file has one of "
        "the same id, each with the reason.",
    )


def parse_command(payload: bytes) -> Command:
    """Parse one command. Raises ContractError if it is invalid."""
    if len(payload) > MAX_COMMAND_BYTES:
        raise ContractError(f"a command of {len(payload)} bytes; the limit is {MAX_COMMAND_BYTES}", reason="too_large")
    try:
        return _COMMAND.validate_json(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "command"
        raise ContractError(f"not a command: {where}: {first['msg']}", reason="bad_command") from error
