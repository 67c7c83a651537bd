"""Routes of deliveries to webhooks: the log, deliver again, send a test, rotate the secret."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response, error_description, page_response
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.webhooks.requests import DeliveryListParameters, DeliveryRef, RotateRequest, WebhookRef
from cloud_functions.api.webhooks.responses import (
    DeliveryEnvelope,
    DeliveryListEnvelope,
    WebhookWithSecretEnvelope,
    delivery_content,
    webhook_content,
)
from cloud_functions.api.webhooks.routes import Reader, Writer, existing_webhook, locked_webhook, require_key
from cloud_functions.db.types import Connection
from cloud_functions.db.webhooks.changes import find_webhook, rotate_secret
from cloud_functions.db.webhooks.log import LoggedDelivery, add_test, deliver_again, find_delivery, list_deliveries
from cloud_functions.db.webhooks.record import Webhook
from shared.clock import format_utc
from shared.ids import Uuid7Generator

router = APIRouter(prefix="/webhooks", tags=["Webhooks"], route_class=StrictRoute)
_new_id = Uuid7Generator()
_DISABLED: dict[int | str, dict[str, Any]] = {409: error_description("The webhook is disabled (`webhook-disabled`).")}
_NO_KEY: dict[int | str, dict[str, Any]] = {409: error_description("No secret can be stored (`no-webhook-key`).")}


@router.post(
    "/{webhook}/secret",
    name="rotate_webhook_secret",
    response_model=WebhookWithSecretEnvelope,
    responses=_NO_KEY,
    summary="Rotate the secret of a webhook",
)
async def post_secret(caller: Writer, deps: Deps, ref: WebhookRef, body: Annotated[RotateRequest, Body()]) -> Response:
    """Replace the secret. The response shows the new one, once. For `overlap_s`, deliveries have both signatures."""
    require_key(deps)

    def write(connection: Connection) -> tuple[Webhook, str]:
        locked_webhook(connection, ref, caller)
        text, wrapped = deps.webhook_secrets.make(ref)
        rotate_secret(connection, ref, wrapped, overlap=timedelta(seconds=body.overlap_s))
        return existing_webhook(find_webhook(connection, ref)), text

    webhook, secret = await deps.database.run(write)
    return envelope_response(webhook_content(webhook) | {"secret": secret}, headers=NO_STORE)


@router.post(
    "/{webhook}/test",
    name="test_webhook",
    status_code=202,
    response_model=DeliveryEnvelope,
    responses=_DISABLED,
    summary="Send a test to a webhook",
)
async def post_test(caller: Writer, deps: Deps, ref: WebhookRef) -> Response:
    """Send a message of type `test`, signed like an event. Its delivery shows the outcome."""
    message_id = _new_id()
    now = format_utc(deps.clock.now())

    def write(connection: Connection) -> LoggedDelivery:
        webhook = _enabled(locked_webhook(connection, ref, caller))
        document = {"event_id": str(message_id), "event_type": "test", "timestamp": now, "webhook": webhook.name}
        add_test(connection, ref, message_id, json.dumps(document, ensure_ascii=False))
        return _existing(find_delivery(connection, ref, message_id))

    return envelope_response(delivery_content(await deps.database.run(write)), status=202, headers=NO_STORE)


@router.get(
    "/{webhook}/deliveries",
    name="list_webhook_deliveries",
    response_model=DeliveryListEnvelope,
    summary="List the deliveries to a webhook",
)
async def get_deliveries(
    caller: Reader, deps: Deps, ref: WebhookRef, params: Annotated[DeliveryListParameters, Query()]
) -> Response:
    """The log of deliveries, newest first. A finished delivery is kept for three days, and 10,000 of each webhook."""

    def read(connection: Connection) -> tuple[list[LoggedDelivery], int]:
        existing_webhook(find_webhook(connection, ref, scope=caller.scope))
        return list_deliveries(connection, ref, status=params.status, limit=params.page_size, offset=params.offset)

    deliveries, total = await deps.database.run(read)
    items = [delivery_content(delivery) for delivery in deliveries]
    return page_response(items, page=params, total=total, headers=NO_STORE)


@router.get(
    "/{webhook}/deliveries/{delivery}",
    name="get_webhook_delivery",
    response_model=DeliveryEnvelope,
    summary="Get a delivery to a webhook",
)
async def get_delivery(caller: Reader, deps: Deps, ref: WebhookRef, delivery_ref: DeliveryRef) -> Response:
    """One delivery and what came of its last attempt."""

    def read(connection: Connection) -> LoggedDelivery:
        existing_webhook(find_webhook(connection, ref, scope=caller.scope))
        return _existing(find_delivery(connection, ref, delivery_ref))

    return envelope_response(delivery_content(await deps.database.run(read)), headers=NO_STORE)


@router.post(
    "/{webhook}/deliveries/{delivery}/redeliver",
    name="redeliver_to_webhook",
    status_code=202,
    response_model=DeliveryEnvelope,
    responses=_DISABLED,
    summary="Deliver to a webhook again",
)
async def post_redelivery(caller: Writer, deps: Deps, ref: WebhookRef, delivery_ref: DeliveryRef) -> Response:
    """Deliver the same message again, now, with the same `webhook-id` and all its attempts."""

    def write(connection: Connection) -> LoggedDelivery:
        _enabled(locked_webhook(connection, ref, caller))
        deliver_again(connection, ref, delivery_ref)
        return _existing(find_delivery(connection, ref, delivery_ref))

    return envelope_response(delivery_content(await deps.database.run(write)), status=202, headers=NO_STORE)


def _enabled(webhook: Webhook) -> Webhook:
    if not webhook.enabled:
        raise Problem(409, "webhook-disabled", "The webhook is disabled. Enable it first.")
    return webhook


def _existing(delivery: LoggedDelivery | None) -> LoggedDelivery:
    if delivery is None:
        raise Problem(404, "delivery-not-found", "This webhook has no delivery with this id.")
    return delivery
