"""Routes of webhooks. Their events are sent by the fan-out function (``cloud_functions/fanout/webhooks``)."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.http.envelope import envelope_response, error_description, page_response
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.audit.request_audit import record_details
from cloud_functions.api.security.permissions import Principal, outside_groups, require_in_scope
from cloud_functions.api.webhooks.requests import WebhookListParameters, WebhookRef, WebhookRequest
from cloud_functions.api.webhooks.responses import (
    DeletedWebhookEnvelope,
    WebhookEnvelope,
    WebhookListEnvelope,
    WebhookWithSecretEnvelope,
    webhook_content,
)
from cloud_functions.db.cameras.groups import find_group
from cloud_functions.db.types import Connection
from cloud_functions.db.webhooks.changes import (
    TooManyWebhooksError,
    WebhookNameTakenError,
    create_webhook,
    delete_webhook,
    find_webhook,
    list_webhooks,
    replace_webhook,
)
from cloud_functions.db.webhooks.record import MAX_WEBHOOKS, Webhook
from shared.ids import Uuid7Generator

router = APIRouter(prefix="/webhooks", tags=["Webhooks"], route_class=StrictRoute)
Reader = Annotated[Principal, Depends(require_in_scope("webhooks:read"))]
Writer = Annotated[Principal, Depends(require_in_scope("webhooks:write"))]
_new_id = Uuid7Generator()
_REFUSED: dict[int | str, dict[str, Any]] = {
    409: error_description(
        "Another webhook has this name (`name-taken`), there are too many (`too-many-webhooks`), or no secret can be"
        " stored (`no-webhook-key`)."
    )
}


@router.get("", name="list_webhooks", response_model=WebhookListEnvelope, summary="List webhooks")
async def get_webhooks(caller: Reader, deps: Deps, params: Annotated[WebhookListParameters, Query()]) -> Response:
    """Webhooks sorted by name, each with the state of its deliveries."""
    webhooks, total = await deps.database.run(
        lambda connection: list_webhooks(connection, limit=params.page_size, offset=params.offset, scope=caller.scope)
    )
    return page_response([webhook_content(webhook) for webhook in webhooks], page=params, total=total, headers=NO_STORE)


@router.post(
    "",
    name="create_webhook",
    status_code=201,
    response_model=WebhookWithSecretEnvelope,
    responses=_REFUSED,
    summary="Register a webhook",
)
async def post_webhook(caller: Writer, deps: Deps, body: Annotated[WebhookRequest, Body()]) -> Response:
    """Register a receiver of events. The response shows the secret that verifies signatures, once."""
    require_key(deps)
    webhook_id = _new_id()
    record_details(webhook_id=str(webhook_id), name=body.name)

    def write(connection: Connection) -> tuple[Webhook, str]:
        fields = body.fields(_groups(connection, caller, body), owner_id=caller.user_id)
        text, wrapped = deps.webhook_secrets.make(webhook_id)
        try:
            create_webhook(connection, webhook_id, fields, wrapped)
        except WebhookNameTakenError:
            raise _name_taken() from None
        except TooManyWebhooksError:
            raise Problem(409, "too-many-webhooks", f"There are {MAX_WEBHOOKS} webhooks, the maximum.") from None
        return existing_webhook(find_webhook(connection, webhook_id)), text

    webhook, secret = await deps.database.run(write)
    return envelope_response(webhook_content(webhook) | {"secret": secret}, status=201, headers=NO_STORE)


@router.get("/{webhook}", name="get_webhook", response_model=WebhookEnvelope, summary="Get a webhook")
async def get_webhook(caller: Reader, deps: Deps, ref: WebhookRef) -> Response:
    """One webhook with the state of its deliveries, without its secret."""
    webhook = await deps.database.run(lambda connection: find_webhook(connection, ref, scope=caller.scope))
    return envelope_response(webhook_content(existing_webhook(webhook)), headers=NO_STORE)


@router.put(
    "/{webhook}",
    name="replace_webhook",
    response_model=WebhookEnvelope,
    responses=_REFUSED,
    summary="Replace a webhook",
)
async def put_webhook(caller: Writer, deps: Deps, ref: WebhookRef, body: Annotated[WebhookRequest, Body()]) -> Response:
    """Replace all that a request sets; the secret stays. A webhook that failed is attempted again at once."""
    record_details(name=body.name)

    def write(connection: Connection) -> Webhook:
        locked_webhook(connection, ref, caller)
        try:
            fields = body.fields(_groups(connection, caller, body), owner_id=caller.user_id)
            replace_webhook(connection, ref, fields)
        except WebhookNameTakenError:
            raise _name_taken() from None
        return existing_webhook(find_webhook(connection, ref))

    return envelope_response(webhook_content(await deps.database.run(write)), headers=NO_STORE)


@router.delete("/{webhook}", name="delete_webhook", response_model=DeletedWebhookEnvelope, summary="Delete a webhook")
async def remove_webhook(caller: Writer, deps: Deps, ref: WebhookRef) -> Response:
    """Delete the webhook with its deliveries. What is pending is not delivered."""

    def write(connection: Connection) -> Webhook:
        stored = locked_webhook(connection, ref, caller)
        delete_webhook(connection, ref)
        return stored

    webhook = await deps.database.run(write)
    return envelope_response({"id": str(webhook.id), "message": f"Webhook {webhook.name} deleted."})


def locked_webhook(connection: Connection, ref: UUID, caller: Principal) -> Webhook:
    """Return the webhook, locked for this transaction; raise the 404 Problem if the caller cannot see it."""
    return existing_webhook(find_webhook(connection, ref, scope=caller.scope, lock=True))


def existing_webhook(webhook: Webhook | None) -> Webhook:
    """Return the webhook; raise the 404 Problem if there is none."""
    if webhook is None:
        raise Problem(404, "webhook-not-found", "There is no webhook with this id.")
    return webhook


def require_key(deps: Dependencies) -> None:
    """Raise the 409 Problem if no secret can be made."""
    if not deps.webhook_secrets.can_make:
        raise Problem(
            409, "no-webhook-key", "The secret of a webhook cannot be stored: set PLATE_MASTER_KEY on the API."
        )


def _groups(connection: Connection, caller: Principal, body: WebhookRequest) -> list[str] | None:
    """Return the slugs of the webhook's camera groups. A limited caller gives its own groups, or some of them."""
    if body.groups is None:
        if caller.groups is not None and not caller.groups:
            raise outside_groups("You are limited to camera groups and have none, so the webhook would get no events.")
        return None if caller.groups is None else list(caller.groups)
    slugs: list[str] = []
    for group in body.groups:
        found = find_group(connection, group, scope=caller.scope)
        if found is None and caller.scope is not None:
            raise outside_groups("The webhook would get events of cameras outside of your camera groups.")
        if found is None:
            raise invalid_parameter("groups", "names a camera group that does not exist", location="body")
        slugs.append(found.slug)
    return slugs


def _name_taken() -> Problem:
    return Problem(409, "name-taken", "Another webhook has this name. Choose another name.")
