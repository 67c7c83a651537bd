"""Response models of the webhooks API, for the OpenAPI document, and the JSON of each."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from cloud_functions.api.http.envelope import EmptyMeta, PageMeta
from cloud_functions.api.http.responses import DATE_TIME
from cloud_functions.api.webhooks.requests import WebhookFilter
from cloud_functions.db.webhooks.log import LoggedDelivery
from cloud_functions.db.webhooks.record import Webhook
from shared.clock import format_utc


class WebhookResponse(BaseModel):
    """One webhook, without its secret."""

    id: str
    name: str
    url: str
    filter: WebhookFilter
    groups: list[str] | None = Field(description="Camera groups that it is limited to; null for no limit.")
    enabled: bool
    disabled_reason: Literal["gone", "failing"] | None = Field(
        description="Why it was disabled: the receiver answered 410, or every attempt failed for five days."
    )
    failures: int = Field(description="Failed attempts since the last success.")
    failing_since: str | None = Field(json_schema_extra=DATE_TIME)
    last_success_at: str | None = Field(json_schema_extra=DATE_TIME)
    format: Literal["json", "cloudevents"]
    pending: int = Field(description="Deliveries to make, now or later.")
    dropped: int = Field(
        description="Deliveries that were dropped because `WEBHOOK_MAX_PENDING` were pending; each is in the log as"
        " `failed` with the error `dropped`."
    )
    dropped_at: str | None = Field(description="When that happened last.", json_schema_extra=DATE_TIME)
    previous_secret_until: str | None = Field(
        description="Until when the secret before the current one signs too.", json_schema_extra=DATE_TIME
    )
    created_at: str = Field(json_schema_extra=DATE_TIME)
    updated_at: str = Field(json_schema_extra=DATE_TIME)


class WebhookWithSecret(WebhookResponse):
    """A webhook whose secret was just made."""

    secret: str = Field(description="Verifies signatures (`whsec_…`). It is not shown again.")


class DeliveryResponse(BaseModel):
    """One delivery."""

    message_id: str = Field(description="`webhook-id` of the request: the `event_id` of the document.")
    event_id: int | None = Field(description="`id` of the stored event; null for a test.")
    event_type: str
    status: Literal["pending", "delivered", "failed"]
    attempts: int
    next_attempt_at: str | None = Field(description="While it is pending.", json_schema_extra=DATE_TIME)
    last_attempt_at: str | None = Field(json_schema_extra=DATE_TIME)
    response_status: int | None = Field(description="HTTP status of the last attempt; null if no response arrived.")
    error: str | None = Field(description="Why the last attempt failed, as a short code.", examples=["timeout"])
    duration_ms: int | None = Field(description="Time that the last attempt took.")
    created_at: str = Field(json_schema_extra=DATE_TIME)


class DeletedWebhook(BaseModel):
    """What was deleted."""

    id: str
    message: str


class WebhookEnvelope(BaseModel):
    """One webhook in the envelope."""

    success: Literal[True]
    data: WebhookResponse
    meta: EmptyMeta


class WebhookWithSecretEnvelope(BaseModel):
    """A webhook with its secret in the envelope."""

    success: Literal[True]
    data: WebhookWithSecret
    meta: EmptyMeta


class WebhookListEnvelope(BaseModel):
    """One page of the webhooks in the envelope."""

    success: Literal[True]
    data: list[WebhookResponse]
    meta: PageMeta


class DeliveryEnvelope(BaseModel):
    """One delivery in the envelope."""

    success: Literal[True]
    data: DeliveryResponse
    meta: EmptyMeta


class DeliveryListEnvelope(BaseModel):
    """One page of the deliveries in the envelope."""

    success: Literal[True]
    data: list[DeliveryResponse]
    meta: PageMeta


class DeletedWebhookEnvelope(BaseModel):
    """What was deleted, in the envelope."""

    success: Literal[True]
    data: DeletedWebhook
    meta: EmptyMeta


def webhook_content(webhook: Webhook) -> dict[str, Any]:
    """Return the JSON of a webhook."""
    return {
        "id": str(webhook.id),
        "name": webhook.name,
        "url": webhook.url,
        "filter": dict.fromkeys(WebhookFilter.model_fields) | webhook.filter,
        "groups": webhook.groups,
        "enabled": webhook.enabled,
        "disabled_reason": webhook.disabled_reason,
        "failures": webhook.failures,
        "failing_since": webhook.failing_since and format_utc(webhook.failing_since),
        "last_success_at": webhook.last_success_at and format_utc(webhook.last_success_at),
        "format": webhook.format,
        "pending": webhook.pending,
        "dropped": webhook.dropped,
        "dropped_at": webhook.dropped_at and format_utc(webhook.dropped_at),
        "previous_secret_until": webhook.previous_until and format_utc(webhook.previous_until),
        "created_at": format_utc(webhook.created_at),
        "updated_at": format_utc(webhook.updated_at),
    }


def delivery_content(delivery: LoggedDelivery) -> dict[str, Any]:
    """Return the JSON of a delivery."""
    is_pending = delivery.status == "pending"
    return {
        "message_id": str(delivery.message_id),
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "next_attempt_at": format_utc(delivery.next_attempt_at) if is_pending else None,
        "last_attempt_at": delivery.last_attempt_at and format_utc(delivery.last_attempt_at),
        "response_status": delivery.response_status,
        "error": delivery.error,
        "duration_ms": delivery.duration_ms,
        "created_at": format_utc(delivery.created_at),
    }
