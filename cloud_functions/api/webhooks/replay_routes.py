"""Routes of replays. Maintenance sends their events (``cloud_functions/maintenance/tasks/replays.py``)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response, error_description, page_response
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.responses import NO_STORE
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.audit.request_audit import record_details
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.api.webhooks.replay_requests import MAX_EVENTS, ReplayListParameters, ReplayRef, ReplayRequest
from cloud_functions.api.webhooks.replay_responses import ReplayEnvelope, ReplayListEnvelope, replay_content
from cloud_functions.api.webhooks.routes import existing_webhook
from cloud_functions.db.replays.record import (
    MAX_OPEN,
    NewReplay,
    StoredReplay,
    TooManyReplaysError,
    add_replay,
    cancel_replay,
    count_up_to,
    find_replay,
    list_replays,
)
from cloud_functions.db.types import Connection
from cloud_functions.db.webhooks.changes import find_webhook
from shared.ids import Uuid7Generator

router = APIRouter(prefix="/replay", tags=["Webhooks"], route_class=StrictRoute)
Reader = Annotated[Principal, Depends(require_in_scope("replays:read"))]
Writer = Annotated[Principal, Depends(require_in_scope("replays:write"))]
_new_id = Uuid7Generator()
_REFUSED: dict[int | str, dict[str, Any]] = {
    404: error_description("There is no such webhook (`webhook-not-found`)."),
    409: error_description(
        "The webhook is disabled (`webhook-disabled`), or too many replays are open (`too-many-replays`)."
    ),
    422: error_description("The span has too many events (`replay-too-large`), or the request is invalid."),
}
_ENDED: dict[int | str, dict[str, Any]] = {409: error_description("The replay has ended (`replay-ended`).")}


@router.post(
    "",
    name="create_replay",
    status_code=202,
    response_model=ReplayEnvelope,
    responses=_REFUSED,
    summary="Send stored events again",
)
async def post_replay(caller: Writer, deps: Deps, body: Annotated[ReplayRequest, Body()]) -> Response:
    """Send a span of stored events to one subscriber again, oldest first, each marked with `"replayed": true`.

    A caller who is limited to camera groups sends the events of their cameras only. The replay starts within a minute;
    `GET /replay/{replay}` shows its progress.
    """
    if body.target not in deps.replay_targets:
        known = ", ".join(sorted(deps.replay_targets)) or "none"
        raise invalid_parameter("target", f"is no target of this deployment; its targets: {known}", location="body")
    new = NewReplay(
        id=_new_id(),
        target=body.target,
        webhook_id=body.webhook,
        start_time=body.start_time,
        end_time=body.exclusive_end,
        filter=body.filter.stored(),
        groups=None if caller.groups is None else list(caller.groups),
        requested_by=caller.name,
    )
    record_details(replay_id=str(new.id), target=new.target, webhook_id=body.webhook and str(body.webhook))

    def write(connection: Connection) -> StoredReplay:
        if body.webhook is not None:
            webhook = existing_webhook(find_webhook(connection, body.webhook, scope=caller.scope))
            if not webhook.enabled:
                raise Problem(409, "webhook-disabled", "The webhook is disabled. Enable it first.")
        events = count_up_to(connection, new.event_filter, limit=MAX_EVENTS)
        if events > MAX_EVENTS:
            detail = f"More than {MAX_EVENTS} events match. Narrow the span or the filter, or request several replays."
            raise Problem(422, "replay-too-large", detail)
        try:
            add_replay(connection, new, events=events)
        except TooManyReplaysError:
            detail = f"{MAX_OPEN} replays are open, the maximum. Wait for one to end, or cancel one."
            raise Problem(409, "too-many-replays", detail) from None
        return _existing(find_replay(connection, new.id))

    return envelope_response(replay_content(await deps.database.run(write)), status=202, headers=NO_STORE)


@router.get("", name="list_replays", response_model=ReplayListEnvelope, summary="List replays")
async def get_replays(caller: Reader, deps: Deps, params: Annotated[ReplayListParameters, Query()]) -> Response:
    """Replays, newest first. They are kept for 30 days after their end."""
    replays, total = await deps.database.run(
        lambda connection: list_replays(connection, limit=params.page_size, offset=params.offset, scope=caller.scope)
    )
    return page_response([replay_content(one) for one in replays], page=params, total=total, headers=NO_STORE)


@router.get("/{replay}", name="get_replay", response_model=ReplayEnvelope, summary="Get a replay")
async def get_replay(caller: Reader, deps: Deps, ref: ReplayRef) -> Response:
    """One replay and how far it has come."""
    stored = await deps.database.run(lambda connection: find_replay(connection, ref, scope=caller.scope))
    return envelope_response(replay_content(_existing(stored)), headers=NO_STORE)


@router.post(
    "/{replay}/cancel",
    name="cancel_replay",
    response_model=ReplayEnvelope,
    responses=_ENDED,
    summary="Cancel a replay",
)
async def post_cancel(caller: Writer, deps: Deps, ref: ReplayRef) -> Response:
    """Send no further events. Those that were sent already are delivered."""

    def write(connection: Connection) -> StoredReplay:
        _existing(find_replay(connection, ref, scope=caller.scope, lock=True))
        if not cancel_replay(connection, ref):
            raise Problem(409, "replay-ended", "The replay has ended already.")
        return _existing(find_replay(connection, ref))

    return envelope_response(replay_content(await deps.database.run(write)), headers=NO_STORE)


def _existing(stored: StoredReplay | None) -> StoredReplay:
    if stored is None:
        raise Problem(404, "replay-not-found", "There is no replay with this id.")
    return stored
