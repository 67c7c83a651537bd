"""Response models of the retention API, for the OpenAPI document, and the JSON of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta, PageMeta
from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.db.retention.holds import LegalHold
from cloud_functions.db.retention.policies import RetentionPolicy
from cloud_functions.db.retention.preview import Effective, ExpiredEvents, Preview
from shared.clock import format_utc

MAX_PARTS: Final = 1000
"""Parts that a preview lists."""


class PolicyResponse(BaseModel):
    """A retention policy."""

    policy_id: int
    camera_id: str | None
    group_id: str | None
    group: str | None = Field(description="Slug of the group.")
    site_id: str | None
    event_type: str | None
    max_age_days: int | None
    max_bytes: int | None
    created_at: str = Field(json_schema_extra=DATE_TIME)
    updated_at: str = Field(json_schema_extra=DATE_TIME)


class PolicyEnvelope(BaseModel):
    """One policy in the envelope."""

    success: Literal[True]
    data: PolicyResponse
    meta: EmptyMeta


class PolicyListEnvelope(BaseModel):
    """One page of the policies in the envelope."""

    success: Literal[True]
    data: list[PolicyResponse]
    meta: PageMeta


class DeletedPolicy(BaseModel):
    """What was deleted."""

    policy_id: int
    message: str


class DeletedPolicyEnvelope(BaseModel):
    """Confirms a deletion in the envelope."""

    success: Literal[True]
    data: DeletedPolicy
    meta: EmptyMeta


class EffectiveResponse(BaseModel):
    """What applies to the events of one camera, type and site."""

    camera_id: str | None
    event_type: str | None
    site_id: str | None
    max_age_days: int | None = Field(description="Age at which the events are deleted; null: never by age.")
    decided_by: Literal["site", "policy", "deployment"] | None = Field(
        description="Which setting this age is from: the retention of the site, `age_policy`, or `RETENTION_DAYS`."
    )
    site_days: int | None = Field(description="Retention of the site itself, which no policy extends.")
    deployment_days: int | None = Field(
        description="`RETENTION_DAYS`: for events without an `age_policy`, by whole months."
    )
    age_policy: PolicyResponse | None = Field(description="The most specific policy with `max_age_days`.")
    size_policy: PolicyResponse | None = Field(description="The most specific policy with `max_bytes`.")
    holds: list[str] = Field(description="Names of active holds on times of the camera.")


class EffectiveEnvelope(BaseModel):
    """What applies, in the envelope."""

    success: Literal[True]
    data: EffectiveResponse
    meta: EmptyMeta


class PreviewPart(BaseModel):
    """Expired events of one camera, type and site."""

    camera_id: str
    event_type: str
    site_id: str
    before: str = Field(description="Events before this time have expired.", json_schema_extra=DATE_TIME)
    events: int = Field(description="Number of expired events that will be deleted.")
    held: int = Field(description="Number of expired events that are kept, because a legal hold protects them.")


class PreviewResponse(BaseModel):
    """What the next run of the task `retention` deletes."""

    events: int = Field(description="Number of events that will be deleted.")
    held: int = Field(description="Number of expired events that are kept, because a legal hold protects them.")
    unmeasured_days: int = Field(
        description="Days with a limit on their size that were not measured since they changed. The run measures them"
        " first, and may then delete more."
    )
    parts: list[PreviewPart] = Field(description=f"The largest parts, at most {MAX_PARTS}.")


class PreviewEnvelope(BaseModel):
    """The preview in the envelope."""

    success: Literal[True]
    data: PreviewResponse
    meta: EmptyMeta


class HeldItemResponse(BaseModel):
    """One thing that a hold protects."""

    event_id: str | None = Field(description="The event; null: all events of the time.")
    camera_id: str | None = Field(description="Null: every camera.")
    start_time: str | None = Field(description="Null: all before.", json_schema_extra=DATE_TIME)
    end_time: str | None = Field(description="Null: later events too.", json_schema_extra=DATE_TIME)


class HoldResponse(BaseModel):
    """A legal hold."""

    hold_id: int
    name: str
    reason: str
    active: bool
    items: list[HeldItemResponse]
    placed_by: str
    placed_at: str = Field(json_schema_extra=DATE_TIME)
    expires_at: str | None = Field(json_schema_extra=DATE_TIME)
    released_by: str | None
    released_at: str | None = Field(json_schema_extra=DATE_TIME)
    release_reason: str | None


class HoldEnvelope(BaseModel):
    """One hold in the envelope."""

    success: Literal[True]
    data: HoldResponse
    meta: EmptyMeta


class HoldListEnvelope(BaseModel):
    """One page of the holds, newest first, in the envelope."""

    success: Literal[True]
    data: list[HoldResponse]
    meta: PageMeta


def policy_content(policy: RetentionPolicy) -> dict[str, Any]:
    """Return the JSON of a policy."""
    return {
        "policy_id": policy.policy_id,
        "camera_id": policy.camera_id,
        "group_id": None if policy.group_id is None else str(policy.group_id),
        "group": policy.group,
        "site_id": policy.site_id,
        "event_type": policy.event_type,
        "max_age_days": policy.max_age_days,
        "max_bytes": policy.max_bytes,
        "created_at": format_utc(policy.created_at),
        "updated_at": format_utc(policy.updated_at),
    }


def effective_content(
    found: Effective, *, camera_id: str | None, event_type: str | None, deployment_days: int | None
) -> dict[str, Any]:
    """Return the JSON of what applies to the events of a camera and type."""
    policy_days = None if found.by_age is None else found.by_age.max_age_days
    days, decided_by = (deployment_days, "deployment") if policy_days is None else (policy_days, "policy")
    if found.site_days is not None and (days is None or found.site_days <= days):
        days, decided_by = found.site_days, "site"
    return {
        "camera_id": camera_id,
        "event_type": event_type,
        "site_id": found.site_id,
        "max_age_days": days,
        "decided_by": None if days is None else decided_by,
        "site_days": found.site_days,
        "deployment_days": deployment_days,
        "age_policy": None if found.by_age is None else policy_content(found.by_age),
        "size_policy": None if found.by_size is None else policy_content(found.by_size),
        "holds": found.holds,
    }


def preview_content(preview: Preview) -> dict[str, Any]:
    """Return the JSON of a preview."""
    return {
        "events": sum(part.events - part.held for part in preview.expired),
        "held": sum(part.held for part in preview.expired),
        "unmeasured_days": preview.unmeasured_days,
        "parts": [_part_content(part) for part in _largest(preview.expired)],
    }


def hold_content(hold: LegalHold) -> dict[str, Any]:
    """Return the JSON of a hold."""
    return {
        "hold_id": hold.hold_id,
        "name": hold.name,
        "reason": hold.reason,
        "active": hold.is_active,
        "items": [
            {
                "event_id": None if item.event_id is None else str(item.event_id),
                "camera_id": item.camera_id,
                "start_time": _time(item.starts_at),
                "end_time": _time(item.ends_at),
            }
            for item in hold.items
        ],
        "placed_by": hold.placed_by,
        "placed_at": format_utc(hold.placed_at),
        "expires_at": _time(hold.expires_at),
        "released_by": hold.released_by,
        "released_at": _time(hold.released_at),
        "release_reason": hold.release_reason,
    }


def _largest(expired: Sequence[ExpiredEvents]) -> Sequence[ExpiredEvents]:
    return sorted(expired, key=lambda part: part.held - part.events)[:MAX_PARTS]


def _part_content(part: ExpiredEvents) -> dict[str, Any]:
    counts = {"before": format_utc(part.before), "events": part.events - part.held}
    return part._asdict() | counts


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_utc(moment)
