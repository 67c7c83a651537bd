"""Request models of replays: each validates its parameters before a route uses them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, model_validator

from cloud_functions.api.http.page_parameters import PageParameters
from cloud_functions.api.http.parameters import Segment, Time
from cloud_functions.api.webhooks.requests import WebhookFilter
from cloud_functions.db.webhooks.record import PLATE_MATCH

MAX_SPAN: Final = timedelta(days=31)
MAX_EVENTS: Final = 100_000
WEBHOOK_TARGET: Final = "webhook"
ReplayRef = Annotated[
    UUID, Path(alias="replay", description="Id of the replay.", examples=["0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"])
]


class ReplayRequest(BaseModel):
    """Body that requests a replay."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: Segment = Field(
        description="The fan-out target that receives the events: `webhook`, with the id of one in `webhook`, or"
        " another target of the deployment, such as `redis`, all of whose subscribers receive them.",
        examples=["webhook"],
    )
    webhook: UUID | None = Field(
        default=None,
        description="Id of the webhook that receives the events. Required for the target `webhook`.",
        examples=["0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"],
    )
    start_time: Time = Field(
        description="Only events captured at or after this time (RFC 3339).", examples=["2026-11-20T00:00:00Z"]
    )
    end_time: Time = Field(
        description="Only events captured at or before this time (RFC 3339), at most 31 days later.",
        examples=["2026-11-20T23:59:59Z"],
    )
    filter: WebhookFilter = Field(
        default_factory=WebhookFilter,
        description="Which events of the span are sent; without it, all of them. `plate_match` is not stored, so it"
        " cannot be sent again.",
    )

    @model_validator(mode="after")
    def _check(self) -> ReplayRequest:
        if (self.target == WEBHOOK_TARGET) != (self.webhook is not None):
            raise ValueError("give webhook, the id of a webhook, with the target webhook, and only with it")
        if self.start_time > self.end_time:
            raise ValueError("start_time is after end_time")
        if self.end_time - self.start_time > MAX_SPAN:
            raise ValueError(f"the span is longer than {MAX_SPAN.days} days; request several replays")
        if self.filter.event_type == PLATE_MATCH:
            raise ValueError("plate_match is not a stored event; its anpr event can be sent again")
        return self

    @property
    def exclusive_end(self) -> datetime:
        """The first time that is not included."""
        return self.end_time + timedelta(microseconds=1)


class ReplayListParameters(PageParameters):
    """Parameters of ``GET /replay``."""
