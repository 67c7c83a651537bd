"""Request models of the webhooks API: each validates its parameters before a route uses them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from cloud_functions.api.http.page_parameters import PageParameters
from cloud_functions.api.http.parameters import Label, Plate, Segment, check_one_line, unique_name
from cloud_functions.db.webhooks.record import WebhookFields
from shared.event_types import EventType

MAX_OVERLAP_S: Final = 7 * 86_400
_MAX_GROUPS: Final = 100
_NOT_AN_ADDRESS: Final = "must be an address such as https://receiver.example/events, in ASCII"


def _check_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_complete = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(_NOT_AN_ADDRESS) from None
    if not is_complete or not text.isascii() or not text.isprintable() or any(one in text for one in ' "<>\\^`{|}'):
        raise ValueError(_NOT_AN_ADDRESS)
    if "@" in parts.netloc or parts.fragment:
        raise ValueError("must contain neither a user, a password nor a fragment: deliveries are signed")
    return text


Url = Annotated[str, Field(min_length=8, max_length=2000), AfterValidator(_check_url)]
Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(unique_name)]
GroupSlug = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(check_one_line)]
WebhookRef = Annotated[
    UUID, Path(alias="webhook", description="Id of the webhook.", examples=["0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"])
]
DeliveryRef = Annotated[
    UUID,
    Path(
        alias="delivery",
        description="`message_id` of the delivery: the `event_id` of its document.",
        examples=["0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"],
    ),
]


class WebhookFilter(BaseModel):
    """Conditions on events, as in `GET /events`. An event matches if it meets every condition given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    camera_id: Segment | None = Field(default=None, description="Only events of this camera.", examples=["camera-1"])
    event_type: EventType | Literal["plate_match"] | None = Field(
        default=None,
        description="Only events of this type. `plate_match`: `anpr` events that match a watch-list.",
        examples=["tracking"],
    )
    class_name: Label | None = Field(
        default=None, description="Only events with an object of this class.", examples=["person"]
    )
    min_confidence: float | None = Field(
        default=None, ge=0, le=1, allow_inf_nan=False, description="Minimum confidence.", examples=[0.6]
    )
    zone: Label | None = Field(default=None, description="Only events in this zone.", examples=["driveway"])
    site_id: Segment | None = Field(default=None, description="Only events of this site.", examples=["hq"])
    license_plate: Plate | None = Field(
        default=None,
        description="Only `anpr` events of exactly this plate. At a protected site: of this plate token.",
        examples=["AB-123-CD"],
    )

    def stored(self) -> dict[str, Any]:
        """Return the conditions that are given."""
        return self.model_dump(exclude_none=True)


class WebhookRequest(BaseModel):
    """Body that registers or replaces a webhook."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="Unique in any case of its letters.", examples=["door controller"])
    url: Url = Field(
        description="Where events are sent with POST. Redirects are not followed. Private addresses and plain http"
        " need `WEBHOOK_ALLOWED_NETWORKS`.",
        examples=["https://receiver.example/events"],
    )
    filter: WebhookFilter = Field(
        default_factory=WebhookFilter, description="Which events are sent; without it, all of them."
    )
    groups: list[GroupSlug] | None = Field(
        default=None,
        min_length=1,
        max_length=_MAX_GROUPS,
        description="Slugs of the camera groups to whose cameras the webhook is limited. null: those of the caller, or"
        " no limit if the caller has none.",
    )
    enabled: StrictBool = Field(
        default=True, description="Whether events are sent. Setting it again after failures ends a pause."
    )

    format: Literal["json", "cloudevents"] = Field(
        default="json",
        description="`json`: the body is the event. `cloudevents`: a CloudEvents 1.0 event in structured JSON, with the"
        " event in `data`.",
    )

    def fields(self, groups: list[str] | None, *, owner_id: UUID | None) -> WebhookFields:
        """Return what is stored."""
        return WebhookFields(
            name=self.name,
            url=self.url,
            filter=self.filter.stored(),
            groups=groups,
            enabled=self.enabled,
            format=self.format,
            owner_id=owner_id,
        )


class RotateRequest(BaseModel):
    """Body that replaces the secret of a webhook."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    overlap_s: int = Field(
        default=86_400,
        ge=0,
        le=MAX_OVERLAP_S,
        description="Seconds in which the secret before signs too, so that the receiver can be changed meanwhile.",
    )


class WebhookListParameters(PageParameters):
    """Parameters of ``GET /webhooks``."""


class DeliveryListParameters(PageParameters):
    """Parameters of ``GET /webhooks/{webhook}/deliveries``."""

    status: Literal["pending", "delivered", "failed"] | None = Field(
        default=None, description="Only deliveries with this status."
    )
