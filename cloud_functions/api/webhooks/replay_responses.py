"""Response models of replays, for the OpenAPI document, and the JSON of each."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta, PageMeta
from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.api.webhooks.requests import WebhookFilter
from cloud_functions.db.replays.record import StoredReplay
from shared.clock import format_utc


class ReplayResponse(BaseModel):
    """One replay and how far it has come."""

    id: str = Field(description="Also `replay_id` of each event that it sends.")
    target: str
    webhook: str | None = Field(description="Id of the webhook that receives the events.")
    start_time: str = Field(json_schema_extra=DATE_TIME)
    end_time: str = Field(json_schema_extra=DATE_TIME)
    filter: WebhookFilter
    groups: list[str] | None = Field(description="Camera groups that it is limited to; null for no limit.")
    requested_by: str
    status: Literal["pending", "running", "done", "cancelled", "failed"] = Field(
        description="`done`: every event is in the queue of the target, which delivers it with its retries."
    )
    error: Literal["target-not-deployed", "webhook-disabled"] | None = Field(description="Why it failed.")
    events: int = Field(description="Events that matched when it was requested.")
    sent: int = Field(description="Events sent so far.")
    position: str | None = Field(
        description="`timestamp` of the last event that was sent; events are sent oldest first.",
        json_schema_extra=DATE_TIME,
    )
    created_at: str = Field(json_schema_extra=DATE_TIME)
    finished_at: str | None = Field(json_schema_extra=DATE_TIME)


class ReplayEnvelope(BaseModel):
    """One replay in the envelope."""

    success: Literal[True]
    data: ReplayResponse
    meta: EmptyMeta


class ReplayListEnvelope(BaseModel):
    """One page of the replays in the envelope."""

    success: Literal[True]
    data: list[ReplayResponse]
    meta: PageMeta


def replay_content(stored: StoredReplay) -> dict[str, Any]:
    """Return the JSON of a replay."""
    return {
        "id": str(stored.id),
        "target": stored.target,
        "webhook": stored.webhook_id and str(stored.webhook_id),
        "start_time": format_utc(stored.start_time),
        "end_time": format_utc(stored.end_time - timedelta(microseconds=1)),
        "filter": dict.fromkeys(WebhookFilter.model_fields) | stored.filter,
        "groups": stored.groups,
        "requested_by": stored.requested_by,
        "status": stored.status,
        "error": stored.error,
        "events": stored.events,
        "sent": stored.sent,
        "position": stored.position_time and format_utc(stored.position_time),
        "created_at": format_utc(stored.created_at),
        "finished_at": stored.finished_at and format_utc(stored.finished_at),
    }
