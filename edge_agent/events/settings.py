"""Settings of events: thresholds and intervals, and the zones and lines of a camera (``shared/zones.py``)."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Self, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from shared.geometry import Ratio
from shared.ids import Segment
from shared.settings import Settings, duplicate_names
from shared.zones import LineSettings, TimeOfDay, ZoneSettings

logger = logging.getLogger(__name__)

_DETECTIONS_PER_S = 10.0
"""Detection rate that the deprecated ``confirm_sightings`` assumed."""


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            "is not a time zone known to this machine; use an IANA name such as Europe/Bucharest, and install the "
            "operating system's tzdata package if the name is correct"
        ) from None
    return name


Timezone = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_known_timezone)]


class EventSettings(Settings):
    """Thresholds and intervals that control when events are emitted."""

    confirm_s: float = Field(
        default=0.4,
        ge=0,
        le=60,
        description="Seconds between an object's first and latest detection before `entered` is emitted, at any frame "
        "rate. Raising it emits events later and gives fewer false alarms. Up to 1 s, an object that crosses a "
        "quarter of the picture in less time is emitted at once.",
    )
    min_median_confidence: Ratio = Field(
        default=0.5,
        description="Minimum median score of the latest detections before `entered` is emitted. Raising it gives fewer "
        "false alarms and misses more objects.",
    )
    update_interval_s: float = Field(
        default=5.0,
        gt=0,
        description="Minimum seconds between two `updated` events of one object; none are emitted while it is "
        "stationary. Raising it emits fewer events.",
    )
    return_s: float = Field(
        default=20.0,
        ge=0,
        le=3600,
        description="Seconds to wait for a stationary object that is no longer detected before `left` is emitted. "
        "Raising it tolerates longer gaps in detection and emits `left` later.",
    )
    return_iou: Ratio = Field(
        default=0.4,
        description="Minimum IoU between the last box of such an object and a new box for the track to continue. "
        "Raising it starts a new track more often.",
    )
    motion_quiet_s: float = Field(
        default=2.0, gt=0, description="Seconds without motion that end a motion episode. Raising it joins episodes."
    )
    motion_cooldown_s: float = Field(
        default=5.0,
        ge=0,
        description="Minimum seconds between the starts of two reported motion episodes. Raising it reports fewer.",
    )
    detection_interval_s: float = Field(
        default=10.0,
        gt=0,
        description="Without tracking: minimum seconds between two `detection` events of an unchanged scene. Raising "
        "it emits fewer events.",
    )
    timezone: Timezone | None = Field(
        default=None,
        description="IANA name of the time zone of schedules and counter resets. Default: the `timezone` of the file.",
    )
    counters_reset_at: list[TimeOfDay] = Field(
        default_factory=list[TimeOfDay],
        max_length=24,
        description="Local times, `HH:MM`, at which the counts of all lines are reset to zero. Empty: never.",
    )
    zones: list[ZoneSettings] = Field(default_factory=list[ZoneSettings])
    required_zones: list[Segment] = Field(
        default_factory=list[Segment],
        description="Zones that an object must have been in before its events are emitted. Empty: no restriction.",
    )
    lines: list[LineSettings] = Field(default_factory=list[LineSettings])

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, data: Any) -> Any:
        """Accept the settings that ``confirm_s`` replaces, for one release."""
        if not isinstance(data, dict):
            return data
        given = dict(cast("dict[str, Any]", data))
        old = {name: given.pop(name) for name in ("confirm_sightings", "min_visit_s") if name in given}
        for name, value in old.items():
            logger.warning("events.%s is replaced by events.confirm_s and will be removed in the next release", name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} is replaced by confirm_s, a number of seconds")  # noqa: TRY004 - pydantic's
        if old and "confirm_s" not in given:
            detections_s = (old.get("confirm_sightings", 1) - 1) / _DETECTIONS_PER_S
            given["confirm_s"] = max(detections_s, old.get("min_visit_s", 0.0))
        return given

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for kind, names in (
            ("zones", [zone.name for zone in self.zones]),
            ("lines", [line.name for line in self.lines]),
        ):
            if alike := duplicate_names(names):
                raise ValueError(f"two {kind} have the name {alike}; names must be unique")
        return self
