"""Request models of the cameras API: each validates its parameters before a route uses them."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import Path
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    field_validator,
    model_validator,
)

from cloud_functions.api.http.parameters import Segment, check_one_line, reject_boolean, unique_name
from cloud_functions.db.cameras.groups import GroupFields
from cloud_functions.db.cameras.queries import CameraFilter
from cloud_functions.db.cameras.scope import CameraScope
from shared.cameras import CameraConfig, CameraStatus, is_slug
from shared.stream_address import Login, check_managed_source, split_login

MAX_SETTINGS_BYTES: Final = 64 * 1024
MAX_PAGE_SIZE: Final = 500
MAX_PASSWORD: Final = 1000

READ_ONLY: Final = frozenset(
    {
        "id",
        "status",
        "has_password",
        "group_name",
        "config_version",
        "configuration",
        "last_connected",
        "cameras",
        "version",
        "createdAt",
        "updatedAt",
    }
)
"""Fields of a response that a request may repeat. They are ignored, so that a response can be edited and sent back."""

Text = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(check_one_line)]
Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(unique_name)]
Search = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(unique_name)]
Sort = Literal["name", "-name", "created_at", "-created_at", "updated_at", "-updated_at", "status", "-status"]


def _check_password(password: SecretStr) -> SecretStr:
    text = password.get_secret_value()
    if not 1 <= len(text) <= MAX_PASSWORD or any(ord(char) < 32 or 0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise ValueError(f"must be 1 to {MAX_PASSWORD} characters without control characters; null removes it")
    return password


def _check_slug(slug: str) -> str:
    if not is_slug(slug):
        raise ValueError("is the name of another path, or looks like an id; choose another one")
    return slug


CameraRef = Annotated[
    Segment, Path(alias="camera", description="A camera's `id` or its `slug`.", examples=["front-door"])
]
GroupRef = Annotated[Segment, Path(alias="group", description="A group's `id` or its `slug`.", examples=["entrances"])]


class _EditableBody(BaseModel):
    """A body that may repeat the read-only fields of the response."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _ignore_read_only(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        ignored = READ_ONLY - cls.model_fields.keys()
        return {name: value for name, value in data.items() if name not in ignored}


class CameraRequest(_EditableBody):
    """Body that creates or replaces a camera. Read-only fields of the response may be repeated and are ignored."""

    name: Name = Field(description="Name of the camera.", examples=["Front Door"])
    rtsp_url: str = Field(
        min_length=1,
        max_length=2048,
        repr=False,
        description="Where the agent finds the camera: `rtsp://…`, `rtsps://…`, `http(s)://…`, a video file on the"
        " device, `usb:0` or `synthetic:gate`. A login in it is taken out and stored as `username` and `password`.",
        examples=["rtsp://192.168.1.100:8554/stream"],
    )
    slug: Segment | None = Field(
        default=None,
        description="The camera's id in events, topics and paths. Default: derived from the name. Immutable.",
    )
    username: Text | None = Field(default=None, description="User name of the camera.")
    password: Annotated[SecretStr, AfterValidator(_check_password)] | None = Field(
        default=None,
        description="Password of the camera. Stored sealed, never returned. In a replacement, omitting it keeps the"
        " stored one; null removes it.",
    )
    device_id: Segment | None = Field(
        default=None,
        description="The device whose agent runs the camera; null for none. If omitted: the device of the deployment,"
        " if it has exactly one that obeys the API.",
    )
    group_id: Segment | None = Field(default=None, description="`id` or `slug` of the camera's group.")
    location: Text | None = Field(default=None, examples=["Main Entrance"])
    resolution: Annotated[str, Field(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$")] | None = Field(
        default=None, description="Width and height in pixels.", examples=["1920x1080"]
    )
    fps: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = Field(
        default=None, description="Nominal frames per second."
    )
    codec: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")] | None = Field(default=None, examples=["h264"])
    is_active: StrictBool = Field(default=True, description="Whether an agent runs the camera.")
    enable_detection: StrictBool = Field(default=True, description="Whether objects are detected.")
    detection_sensitivity: float = Field(
        default=0.7,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Sensitivity of detection. Raising it finds more objects and gives more false alarms.",
    )
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="Days for which its snapshots are kept. Null: the default of the deployment.",
    )
    settings: CameraConfig = Field(
        default_factory=CameraConfig, description="Settings for the camera's agent: zones, lines, models, plates."
    )

    _reject_booleans = field_validator("fps", "detection_sensitivity", "retention_days", mode="before")(reject_boolean)

    @field_validator("slug")
    @classmethod
    def _check_slug(cls, slug: str | None) -> str | None:
        return None if slug is None else _check_slug(slug)

    @field_validator("rtsp_url")
    @classmethod
    def _check_source(cls, text: str) -> str:
        check_managed_source(check_one_line(text))
        return text

    @model_validator(mode="after")
    def _check_login(self) -> CameraRequest:
        login = split_login(self.rtsp_url)
        if login.username is None and login.password is None:
            return self
        if self.username is not None or self.password is not None:
            raise ValueError("give the login in rtsp_url, or in username and password, not in both")
        _ = None if login.username is None else _Login(username=login.username)
        _ = None if not login.password else _Login(password=SecretStr(login.password))
        return self

    @model_validator(mode="after")
    def _check_size(self) -> CameraRequest:
        text = json.dumps(self.settings.document(), ensure_ascii=False)
        if "\\u0000" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)):
            raise ValueError("settings holds a character that cannot be stored")
        if len(text.encode()) > MAX_SETTINGS_BYTES:
            raise ValueError(f"settings takes more than {MAX_SETTINGS_BYTES // 1024} KiB")
        return self

    @property
    def names_device(self) -> bool:
        """Whether the request says which device runs the camera, null included."""
        return "device_id" in self.model_fields_set

    @property
    def keeps_password(self) -> bool:
        """Whether the request says nothing about the password: a replacement then keeps the stored one."""
        return "password" not in self.model_fields_set and split_login(self.rtsp_url).password is None

    def login(self) -> Login:
        """Return the address without a login, and the login from it or from the separate fields."""
        login = split_login(self.rtsp_url)
        if login.username is not None or login.password is not None:
            return Login(login.address, login.username, login.password or None)
        password = None if self.password is None else self.password.get_secret_value()
        return Login(login.address, self.username, password)


class _Login(BaseModel):
    """Checks the login of an address in the same way as the separate fields."""

    username: Text | None = None
    password: Annotated[SecretStr, AfterValidator(_check_password)] | None = None


class CameraStateRequest(BaseModel):
    """Body that switches a camera or its detection on or off."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    is_active: StrictBool | None = Field(default=None, description="Whether an agent runs the camera.")
    enable_detection: StrictBool | None = Field(default=None, description="Whether objects are detected.")

    @model_validator(mode="after")
    def _check_any(self) -> CameraStateRequest:
        if self.is_active is None and self.enable_detection is None:
            raise ValueError("give is_active, enable_detection, or both")
        return self


class GroupRequest(_EditableBody):
    """Body that creates or replaces a group. Read-only fields of the response may be repeated and are ignored."""

    name: Name = Field(description="Unique name.", examples=["Entrances"])
    slug: Segment | None = Field(default=None, description="Derived from the name; a request can only repeat it.")
    description: Text | None = None
    location: Text | None = None

    def to_store(self) -> GroupFields:
        """Return the group as a database row."""
        return GroupFields(name=self.name, description=self.description, location=self.location)


class PageParameters(BaseModel):
    """Selects one page of a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: int = Field(default=1, ge=1, le=1_000_000, description="Page number, starting at 1.")
    page_size: int = Field(default=20, ge=1, le=MAX_PAGE_SIZE, description="Number of items per page.")

    @property
    def offset(self) -> int:
        """Number of items before the page."""
        return (self.page - 1) * self.page_size


class CameraListParameters(PageParameters):
    """Parameters of ``GET /cameras``. A camera matches if it meets every condition given."""

    active_only: bool = Field(default=False, description="Only active cameras.")
    group: Segment | None = Field(default=None, description="Only cameras of this group: its `id` or `slug`.")
    status: CameraStatus | None = Field(default=None, description="Only cameras with this status.")
    search: Search | None = Field(
        default=None, description="Only cameras with this text in the name, the slug or the location, in either case."
    )
    sort: Sort = Field(default="name", description="Order of the list. `-` reverses it.")

    def camera_filter(self, *, scope: CameraScope | None) -> CameraFilter:
        """Return the conditions as a database filter, within the caller's limit to camera groups."""
        return CameraFilter(
            active_only=self.active_only, group=self.group, status=self.status, search=self.search, scope=scope
        )


class ConnectionTestRequest(BaseModel):
    """How a connection is tested."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: float = Field(
        default=10,
        ge=1,
        le=20,
        allow_inf_nan=False,
        description="Maximum time for the device's test, in seconds. Raising it tolerates slow cameras.",
    )
    check_credentials: StrictBool = Field(
        default=True,
        description="Whether the device logs in and reads a picture. If false, it only checks that the stream's server"
        " answers, so `resolution` and `fps` are null.",
    )
    wait: StrictBool = Field(
        default=True, description="If false, the response is a 202 at once, and its `Location` has the reply later."
    )


class ImportRequest(BaseModel):
    """Body of an import: a file, and what to do with its rows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["csv", "json"] = Field(description="Format of the file.")
    data: str = Field(min_length=1, repr=False, description="The file, base64-encoded.")
    group_id: Segment | None = Field(
        default=None, description="`id` or `slug` of the group for the rows that name none."
    )
    skip_duplicates: bool = Field(
        default=True, description="Skip a camera that exists already. False: such a row is an error."
    )
    all_or_nothing: bool = Field(default=False, description="If a row is invalid, create no camera at all.")

    def content(self) -> bytes:
        """Return the decoded file; raise ValueError if ``data`` is not base64."""
        try:
            return b64decode("".join(self.data.split()), validate=True)
        except ValueError:
            raise ValueError("data: must be base64") from None


class ExportParameters(BaseModel):
    """Parameters of ``GET /cameras/export``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["csv", "json"] = Field(default="csv", description="`csv`, or `json` in the envelope.")
    group_id: Segment | None = Field(default=None, description="Only cameras of this group: its `id` or `slug`.")
    include_credentials: bool = Field(
        default=False, description="Include user names and passwords, in the open. Keep such a file safe."
    )


class HealthParameters(PageParameters):
    """Selects one page of a camera's health history."""

    page_size: int = Field(default=100, ge=1, le=MAX_PAGE_SIZE, description="Number of items per page.")
