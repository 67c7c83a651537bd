"""Routes of retention policies by age and size, and of what they delete. The maintenance task applies them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.http.envelope import envelope_response, error_description, page_response
from cloud_functions.api.http.page_parameters import PageParameters
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.retention.requests import EffectiveParameters, PolicyRequest, policy_id_in_path
from cloud_functions.api.retention.responses import (
    DeletedPolicyEnvelope,
    EffectiveEnvelope,
    PolicyEnvelope,
    PolicyListEnvelope,
    PreviewEnvelope,
    effective_content,
    policy_content,
    preview_content,
)
from cloud_functions.api.security.audit.request_audit import record_details
from cloud_functions.api.security.permissions import require
from cloud_functions.db.cameras.groups import find_group
from cloud_functions.db.partitions.partitions import retention_start
from cloud_functions.db.retention.policies import (
    PolicyExistsError,
    PolicyFields,
    RetentionPolicy,
    create_policy,
    delete_policy,
    find_policy,
    list_policies,
    replace_policy,
)
from cloud_functions.db.retention.preview import effective_retention, preview_retention
from cloud_functions.db.types import Connection

router = APIRouter(prefix="/retention", tags=["Retention"], route_class=StrictRoute)
_READ = Depends(require("retention:read"))
_WRITE = Depends(require("retention:write"))
PolicyId = Annotated[int, Depends(policy_id_in_path)]
Result = TypeVar("Result")

_TAKEN: dict[int | str, dict[str, Any]] = {
    409: error_description("Another policy has the same target (`policy-exists`).")
}


@router.get(
    "/effective",
    name="effective_retention",
    response_model=EffectiveEnvelope,
    dependencies=[_READ],
    summary="Get what applies to the events of a camera",
)
async def get_effective(deps: Deps, params: Annotated[EffectiveParameters, Query()]) -> Response:
    """Which settings decide how long the events of a camera and type are kept."""
    found = await deps.database.run(
        lambda connection: effective_retention(
            connection, camera_id=params.camera_id, event_type=params.event_type, site_id=params.site_id
        )
    )
    return envelope_response(
        effective_content(
            found,
            camera_id=params.camera_id,
            event_type=params.event_type,
            deployment_days=deps.retention_days,
        )
    )


@router.get(
    "/preview",
    name="preview_retention",
    response_model=PreviewEnvelope,
    dependencies=[_READ],
    summary="Count what the next run deletes",
)
async def get_preview(deps: Deps) -> Response:
    """Count the events that the task `retention` would delete now, by camera, type and site. Nothing is deleted."""
    now = deps.clock.now()
    before = retention_start(now, retention_days=deps.retention_days)
    preview = await deps.database.run(lambda connection: preview_retention(connection, now=now, default_before=before))
    return envelope_response(preview_content(preview))


@router.get(
    "/policies",
    name="list_retention_policies",
    response_model=PolicyListEnvelope,
    dependencies=[_READ],
    summary="List retention policies",
)
async def get_policies(deps: Deps, params: Annotated[PageParameters, Query()]) -> Response:
    """Policies, oldest first. Of those for an event, the most specific one applies: one for its type, then one
    for its camera, the camera's group, its site, and everything."""
    policies, total = await deps.database.run(
        lambda connection: list_policies(connection, limit=params.page_size, offset=params.offset)
    )
    return page_response([policy_content(policy) for policy in policies], page=params, total=total)


@router.post(
    "/policies",
    name="create_retention_policy",
    status_code=201,
    response_model=PolicyEnvelope,
    responses=_TAKEN,
    dependencies=[_WRITE],
    summary="Create a retention policy",
)
async def post_policy(deps: Deps, body: Annotated[PolicyRequest, Body()]) -> Response:
    """Create a policy. The nightly task `retention` applies it to stored events too; `preview` shows to how many."""
    record_details(**_target(body))
    policy = await _with_own_target(deps, lambda connection: create_policy(connection, _fields(connection, body)))
    return envelope_response(policy_content(policy), status=201)


@router.get(
    "/policies/{policy}",
    name="get_retention_policy",
    response_model=PolicyEnvelope,
    dependencies=[_READ],
    summary="Get a retention policy",
)
async def get_policy(deps: Deps, policy_id: PolicyId) -> Response:
    """The policy with this id."""
    policy = await deps.database.run(lambda connection: find_policy(connection, policy_id))
    return envelope_response(policy_content(_existing(policy)))


@router.put(
    "/policies/{policy}",
    name="replace_retention_policy",
    response_model=PolicyEnvelope,
    responses=_TAKEN,
    dependencies=[_WRITE],
    summary="Replace a retention policy",
)
async def put_policy(deps: Deps, policy_id: PolicyId, body: Annotated[PolicyRequest, Body()]) -> Response:
    """Replace the target and the limits of the policy."""
    record_details(**_target(body))
    policy = await _with_own_target(
        deps, lambda connection: replace_policy(connection, policy_id, _fields(connection, body))
    )
    return envelope_response(policy_content(_existing(policy)))


@router.delete(
    "/policies/{policy}",
    name="delete_retention_policy",
    response_model=DeletedPolicyEnvelope,
    dependencies=[_WRITE],
    summary="Delete a retention policy",
)
async def remove_policy(deps: Deps, policy_id: PolicyId) -> Response:
    """Delete the policy. The next less specific one, or the default of the deployment, applies to its events."""
    if not await deps.database.run(lambda connection: delete_policy(connection, policy_id)):
        raise _policy_not_found()
    return envelope_response({"policy_id": policy_id, "message": f"Retention policy {policy_id} deleted."})


def _target(body: PolicyRequest) -> dict[str, Any]:
    return body.model_dump(exclude_none=True)


def _fields(connection: Connection, body: PolicyRequest) -> PolicyFields:
    group = None if body.group_id is None else find_group(connection, body.group_id)
    if body.group_id is not None and group is None:
        raise invalid_parameter("group_id", "there is no camera group with this id or slug", location="body")
    return PolicyFields(
        camera_id=body.camera_id,
        group_id=None if group is None else group.id,
        site_id=body.site_id,
        event_type=body.event_type,
        max_age_days=body.max_age_days,
        max_bytes=body.max_bytes,
    )


async def _with_own_target(deps: Dependencies, query: Callable[[Connection], Result]) -> Result:
    try:
        return await deps.database.run(query)
    except PolicyExistsError:
        raise Problem(409, "policy-exists", "Another policy has the same target. Replace that one.") from None


def _existing(policy: RetentionPolicy | None) -> RetentionPolicy:
    if policy is None:
        raise _policy_not_found()
    return policy


def _policy_not_found() -> Problem:
    return Problem(404, "policy-not-found", "There is no retention policy with this id.")
