"""A camera as the API edits it and the edge agent obeys it: its settings, its wire form, its status and its slug.

The settings are those of the agent's ``[[cameras]]`` table, under the same names and with the same bounds. A setting
that is left out keeps the agent's default, so a default is stated on the agent only. A contract test compares both.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.geometry import Ratio
from shared.ids import Segment, is_uuid
from shared.settings import PointSetting, Settings, duplicate_names, require_area
from shared.zones import LineSettings, ZoneSettings

CameraStatus = Literal["idle", "live", "degraded", "offline"]
"""``idle``: inactive, or no agent runs it. The others are the camera's state as its agent reports it."""

MAX_SLUG_LENGTH: Final = 60
RESERVED_SLUGS: Final = frozenset({"groups", "summary", "import", "export"})
"""Names of paths beside a camera's own. A camera with such a slug could not be reached."""

_NOT_IN_A_SLUG: Final = re.compile(r"[^a-z0-9]+", re.ASCII)
_Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
_ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
_Polygon = Annotated[list[PointSetting], Field(min_length=3, max_length=100)]


class StreamConfig(Settings):
    """Connection to the camera."""

    rtsp_transport: Literal["tcp", "udp"] | None = Field(
        default=None, description="RTSP transport protocol. `udp` suits cameras that do not support TCP."
    )


class MotionConfig(Settings):
    """Motion detection."""

    threshold: Annotated[float, Field(ge=3.0, le=120.0)] | None = Field(
        default=None,
        description="Minimum difference from the background, in brightness levels (0 to 255), of a moving pixel. "
        "Raising it misses low-contrast objects.",
    )
    min_area_ratio: Ratio | None = Field(
        default=None,
        description="Minimum area of a moving object, as a fraction of the picture. Raising it ignores small or "
        "distant objects.",
    )
    ignore: Annotated[list[_Polygon], Field(max_length=100)] | None = Field(
        default=None,
        description="Polygons in which motion is ignored, each a list of [x, y] points as fractions of the picture.",
    )

    @model_validator(mode="after")
    def _check_areas(self) -> Self:
        for polygon in self.ignore or ():
            require_area(polygon)
        return self


class ModelConfig(Settings):
    """The detection model."""

    name: _ModelName | None = Field(
        default=None,
        description="A catalogue entry or the name of a model on the device, or `none` for blob detection.",
    )


class SlicingConfig(Settings):
    """Sliced inference: the model runs again on full-resolution crops around moving regions."""

    enabled: bool | None = Field(default=None, description="Whether the model also runs on crops.")
    max_crops: Annotated[int, Field(ge=1, le=8)] | None = Field(
        default=None, description="Maximum crops per frame. Raising it finds more small, distant objects."
    )


class DetectConfig(Settings):
    """Which detections are kept."""

    min_score: Ratio | None = Field(
        default=None, description="Minimum score of a detection. Raising it drops weaker detections."
    )
    classes: Annotated[list[_Name], Field(max_length=200)] | None = Field(
        default=None, description="Class names to detect. Empty: all classes of the model."
    )
    slicing: SlicingConfig | None = None


class EventConfig(Settings):
    """Thresholds of events, and the zones and lines of the picture."""

    confirm_s: Annotated[float, Field(ge=0, le=60)] | None = Field(
        default=None,
        description="Seconds between an object's first and latest detection before `entered` is emitted. Raising it "
        "gives fewer false alarms and emits later.",
    )
    min_median_confidence: Ratio | None = Field(
        default=None,
        description="Minimum median score of the latest detections before `entered` is emitted. Raising it misses more "
        "objects.",
    )
    update_interval_s: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="Minimum seconds between two `updated` events of one object. Raising it emits fewer events.",
    )
    zones: Annotated[list[ZoneSettings], Field(max_length=64)] | None = Field(
        default=None, description="Named areas of the picture."
    )
    required_zones: Annotated[list[Segment], Field(max_length=64)] | None = Field(
        default=None, description="Zones that an object must have been in before its events are emitted."
    )
    lines: Annotated[list[LineSettings], Field(max_length=64)] | None = Field(
        default=None, description="Named lines. Each object that crosses one is counted and reported."
    )

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for kind, names in (
            ("zones", [zone.name for zone in self.zones or ()]),
            ("lines", [line.name for line in self.lines or ()]),
        ):
            if alike := duplicate_names(names):
                raise ValueError(f"two {kind} have the name {alike}; names must be unique")
        known = {zone.name for zone in self.zones or ()}
        if unknown := [name for name in self.required_zones or () if name not in known]:
            raise ValueError(f"required_zones names {', '.join(unknown)}, which is not under zones")
        return self


class SnapshotConfig(Settings):
    """Pictures that are sent with events."""

    enabled: bool | None = Field(default=None, description="Whether a picture is sent with each event.")
    image_format: Literal["jpg", "png", "webp"] | None = Field(default=None, description="File format of pictures.")
    quality: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="Compression quality of `jpg` and `webp`. Raising it gives larger files."
    )
    max_width_px: Annotated[int, Field(ge=64)] | None = Field(
        default=None, description="Maximum width in pixels; wider pictures are scaled down."
    )
    thumbnail_width_px: Annotated[int, Field(ge=32)] | None = Field(
        default=None, description="Width of thumbnails in pixels."
    )


class PlateRuleConfig(Settings):
    """Which texts are accepted as plates."""

    regions: Annotated[list[Annotated[str, Field(pattern=r"^[a-z]{2}$")]], Field(max_length=60)] | None = Field(
        default=None, description="Expected regions of vehicles, such as `de` or `us`. Empty: any region."
    )
    only_these_regions: bool | None = Field(
        default=None, description="Reject texts that match no known format of `regions`. Requires `regions`."
    )
    ignore: Annotated[list[_Name], Field(max_length=200)] | None = Field(
        default=None, description="Texts that are never reported as plates, such as a sign in the picture."
    )

    @model_validator(mode="after")
    def _check_regions(self) -> Self:
        if self.only_these_regions and not self.regions:
            raise ValueError("only_these_regions needs regions")
        return self


class AnprConfig(Settings):
    """Number plate recognition."""

    enabled: bool | None = Field(default=None, description="Whether number plates are read.")
    search: Literal["auto", "vehicles", "frame"] | None = Field(
        default=None, description="Where plates are searched for: in vehicles, in the whole frame, or both (`auto`)."
    )
    min_confidence: Ratio | None = Field(
        default=None, description="Minimum vote confidence for emitting an event. Raising it drops unclear plates."
    )
    rules: PlateRuleConfig | None = None


class CameraConfig(Settings):
    """Settings of a camera for its edge agent. A setting that is omitted or null has the agent's default."""

    mode: Literal["tracking", "detection", "motion"] | None = Field(
        default=None,
        description="`tracking` tracks objects; `detection` reports objects without tracking; `motion` reports motion "
        "only.",
    )
    motion_events: bool | None = Field(
        default=None, description="Whether an event is sent when motion starts and one when it ends."
    )
    stream: StreamConfig | None = None
    motion: MotionConfig | None = None
    model: ModelConfig | None = None
    detect: DetectConfig | None = None
    events: EventConfig | None = None
    snapshots: SnapshotConfig | None = None
    anpr: AnprConfig | None = None

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        if self.mode in (None, "tracking"):
            return self
        rules = [name for name in ("zones", "lines") if self.events is not None and getattr(self.events, name)]
        if rules:
            raise ValueError(f'events.{rules[0]} needs mode "tracking"; mode is "{self.mode}"')
        if self.anpr is not None and self.anpr.enabled:
            raise ValueError(f'anpr needs mode "tracking"; mode is "{self.mode}"')
        return self

    def document(self) -> dict[str, Any]:
        """Return the settings that are set, as JSON values: a part of the agent's ``[[cameras]]`` table."""
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True)


class DeviceCamera(BaseModel):
    """A camera as the cloud sends it to its device.

    ``settings`` is checked by the agent, not here: a setting that this release does not know is then a reason to
    refuse the configuration, with the camera and the setting named, and not an unreadable message.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    camera_id: Segment = Field(description="The camera's slug: its `camera_id` in events.")
    source: str = Field(
        min_length=1,
        max_length=2048,
        repr=False,
        description="`rtsp://…`, `rtsps://…`, `http(s)://…`, a file on the device, `usb:0` or `synthetic:gate`. "
        "Without a login.",
    )
    username: Annotated[str, StringConstraints(max_length=1000)] | None = Field(default=None, repr=False)
    password_sealed: Annotated[str, StringConstraints(max_length=8192)] | None = Field(
        default=None,
        repr=False,
        description="The password, sealed to the `public_key` of the device's heartbeat, in base64. Null: none.",
    )
    enabled: bool = Field(default=True, description="Whether the device runs the camera.")
    enable_detection: bool = Field(default=True, description="Whether objects are detected. False: motion only.")
    detection_sensitivity: Ratio = Field(
        default=0.7, description="Raising it finds more objects. Used where `settings.detect.min_score` is not set."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict[str, Any], description="The camera's settings: `CameraConfig.document()`."
    )


def is_slug(text: str) -> bool:
    """Return whether a camera can have this slug: no other path has the name, and it does not read as a UUID."""
    return text.lower() not in RESERVED_SLUGS and not is_uuid(text)


def slug_of(name: str, *, fallback: str = "camera") -> str:
    """Return the slug of a name: lower-case letters without accents, digits and hyphens, at most 60 characters.

    ``fallback`` replaces a name without such letters and digits, such as one in Chinese.
    """
    plain = unicodedata.normalize("NFKD", name).casefold()
    slug = _NOT_IN_A_SLUG.sub("-", "".join(char for char in plain if not unicodedata.combining(char)))
    slug = slug.strip("-")[:MAX_SLUG_LENGTH].strip("-") or fallback
    return slug if is_slug(slug) else f"{fallback}-{slug}"


def free_slug(slug: str, is_taken: Callable[[str], bool], *, first: int = 1) -> str:
    """Return ``slug``, or the first of ``slug-2``, ``slug-3`` … that is not taken.

    ``first`` is where to begin, for a caller that knows that all before it are taken.
    """
    candidate, number = slug if first < 2 else f"{slug}-{first}", first
    while is_taken(candidate):
        number += 1
        candidate = f"{slug}-{number}"
    return candidate
