"""Request models of the retention API: each validates its parameters before a route uses them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cloud_functions.api.http.page_parameters import PageParameters
from cloud_functions.api.http.parameters import (
    MAX_ROW_ID,
    Segment,
    Time,
    check_one_line,
    parse_event_ref,
    reject_boolean,
    row_id,
)
from shared.event_types import EventType

MAX_EVENTS: Final = 1000
"""Single events of one hold."""
_MAX_CAMERAS: Final = 200
Line = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(check_one_line)]
CaseName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_one_line)]
Whole = Annotated[int, BeforeValidator(reject_boolean)]
EventText = Annotated[str, Field(min_length=1, max_length=100)]


def policy_id_in_path(
    policy: Annotated[str, Path(description="`policy_id` of the retention policy.", examples=["3"])],
) -> int:
    """FastAPI dependency: the policy that the path names."""
    return row_id(policy, "policy")


def hold_id_in_path(hold: Annotated[str, Path(description="`hold_id` of the legal hold.", examples=["7"])]) -> int:
    """FastAPI dependency: the hold that the path names."""
    return row_id(hold, "hold")


class PolicyRequest(BaseModel):
    """Body that creates or replaces a retention policy. Without a target it is for the events of all cameras."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera_id: Segment | None = Field(default=None, description="For the events of this camera.")
    group_id: Segment | None = Field(default=None, description="For the cameras of this group: its `id` or `slug`.")
    site_id: Segment | None = Field(default=None, description="For the events of this site.")
    event_type: EventType | None = Field(default=None, description="For events of this type only.")
    max_age_days: Whole | None = Field(
        default=None, ge=1, le=36_500, description="Age in days at which events are deleted.", examples=[30]
    )
    max_bytes: Whole | None = Field(
        default=None,
        ge=1,
        le=MAX_ROW_ID,
        description="Bytes of the events with their snapshots above which the oldest ones are deleted.",
    )

    @model_validator(mode="after")
    def _check(self) -> PolicyRequest:
        if sum(target is not None for target in (self.camera_id, self.group_id, self.site_id)) > 1:
            raise ValueError("give at most one of camera_id, group_id and site_id")
        if self.max_age_days is None and self.max_bytes is None:
            raise ValueError("give max_age_days, max_bytes or both")
        return self


class EffectiveParameters(BaseModel):
    """Selects the events whose retention is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera_id: Segment | None = Field(
        default=None, description="The camera of the events; by default one without settings of its own."
    )
    event_type: EventType | None = Field(
        default=None, description="Their type; by default one without settings of its own."
    )
    site_id: Segment | None = Field(
        default=None, description="Their site; by default that of the camera's newest events."
    )


class HoldRequest(BaseModel):
    """Body that places a legal hold: on single events, or on what cameras produced in a time, or on both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: CaseName = Field(description="Name of the case. A rejected deletion shows it.", examples=["case 2026-117"])
    reason: Line = Field(description="Why, for the record.", examples=["ordered by the court of Hamburg"])
    events: list[EventText] = Field(
        default=[], max_length=MAX_EVENTS, description="Events, each by `id` or `event_id`.", examples=[["42"]]
    )
    cameras: list[Segment] = Field(
        default=[], max_length=_MAX_CAMERAS, description="Cameras of the time; without it, every camera."
    )
    start_time: Time | None = Field(default=None, description="Begin of the time, included. Without it: all before.")
    end_time: Time | None = Field(
        default=None, description="End of the time, included. Without it, later events are held too."
    )
    expires_at: Time | None = Field(default=None, description="When the hold ends by itself; null: at its release.")

    @model_validator(mode="after")
    def _check(self) -> HoldRequest:
        if not self.events and not self.has_time and not self.cameras:
            raise ValueError("give events, cameras or a time")
        if self.start_time is not None and self.end_time is not None and self.end_time < self.start_time:
            raise ValueError("end_time must not be before start_time")
        _ = self.event_refs
        return self

    @property
    def has_time(self) -> bool:
        """Whether one end of a time is given."""
        return self.start_time is not None or self.end_time is not None

    @property
    def span(self) -> tuple[datetime | None, datetime | None] | None:
        """The time that is held; None if only single events are."""
        return (self.start_time, self.end_time) if self.cameras or self.has_time else None

    @property
    def event_refs(self) -> list[int | UUID]:
        """The single events."""
        return [parse_event_ref(event) for event in self.events]


class ReleaseRequest(BaseModel):
    """Body that releases a hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: Line = Field(description="Why, for the record.", examples=["case closed"])


class HoldListParameters(PageParameters):
    """Selects one page of the holds."""

    active: bool | None = Field(
        default=None, description="Only active holds (`true`), or only released and expired ones."
    )
