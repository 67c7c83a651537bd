"""Routes of camera groups. A camera is in one group at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Depends, Query
from starlette.responses import Response

from cloud_functions.api.cameras.not_found import existing_group, group_not_found
from cloud_functions.api.cameras.requests import GroupRef, GroupRequest, PageParameters
from cloud_functions.api.cameras.responses import (
    DeletedGroupEnvelope,
    GroupEnvelope,
    GroupListEnvelope,
    group_content,
)
from cloud_functions.api.dependencies import Dependencies, Deps
from cloud_functions.api.http.envelope import envelope_response, error_description, page_response
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.http.versions import IfMatch, IfMatchHeader, entity_tag
from cloud_functions.api.security.permissions import Principal, outside_groups, require_in_scope
from cloud_functions.db.cameras.groups import (
    GroupNameTakenError,
    create_group,
    delete_group,
    find_group,
    list_groups,
    lock_group,
    replace_group,
)
from cloud_functions.db.cameras.record import CameraGroup
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.types import Connection
from shared.cameras import slug_of
from shared.ids import Uuid7Generator

router = APIRouter(prefix="/cameras/groups", tags=["Cameras"], route_class=StrictRoute)
Reader = Annotated[Principal, Depends(require_in_scope("groups:read"))]
Writer = Annotated[Principal, Depends(require_in_scope("groups:write"))]
_new_id = Uuid7Generator()
Result = TypeVar("Result")

_NAME_TAKEN: dict[int | str, dict[str, Any]] = {409: error_description("Another group has this name (`name-taken`).")}
_CHANGED: dict[int | str, dict[str, Any]] = {
    412: error_description("The group was changed since the version in `If-Match` (`changed-meanwhile`)."),
}


@router.get("", name="list_camera_groups", response_model=GroupListEnvelope, summary="List groups")
async def get_groups(caller: Reader, deps: Deps, params: Annotated[PageParameters, Query()]) -> Response:
    """Camera groups sorted by name, each with its number of cameras."""
    groups, total = await deps.database.run(
        lambda connection: list_groups(connection, limit=params.page_size, offset=params.offset, scope=caller.scope)
    )
    return page_response([group_content(group) for group in groups], page=params, total=total)


@router.post(
    "",
    name="create_camera_group",
    status_code=201,
    response_model=GroupEnvelope,
    responses=_NAME_TAKEN,
    summary="Create a group",
)
async def post_group(caller: Writer, deps: Deps, body: Annotated[GroupRequest, Body()]) -> Response:
    """Create a group without cameras. Its name must be unique, in any case of its letters (409 otherwise).

    A caller who is limited to camera groups cannot create one (403).
    """
    if caller.scope is not None:
        raise outside_groups("You are limited to camera groups, so you cannot create another one.")
    slug = slug_of(body.name, fallback="group")
    if body.slug not in (None, slug):
        raise invalid_parameter("slug", "is derived from the name; omit it", location="body")

    def write(connection: Connection) -> CameraGroup:
        group_id = _new_id()
        create_group(connection, group_id, body.to_store(), slug=slug)
        return existing_group(find_group(connection, str(group_id)))

    return _group_response(await _run_with_unique_name(deps, write), status=201)


@router.get("/{group}", name="get_camera_group", response_model=GroupEnvelope, summary="Get a group")
async def get_group(caller: Reader, deps: Deps, ref: GroupRef) -> Response:
    """The group with this id or slug. The response has an `ETag`, for `If-Match`."""
    found = await deps.database.run(lambda connection: find_group(connection, ref, scope=caller.scope))
    return _group_response(existing_group(found))


@router.put(
    "/{group}",
    name="replace_camera_group",
    response_model=GroupEnvelope,
    responses=_NAME_TAKEN | _CHANGED,
    summary="Replace a group",
)
async def put_group(
    caller: Writer, deps: Deps, ref: GroupRef, if_match: IfMatchHeader, body: Annotated[GroupRequest, Body()]
) -> Response:
    """Replace name, description and location. The slug and the cameras of the group do not change."""

    def write(connection: Connection) -> CameraGroup:
        stored = _locked(connection, ref, if_match, caller.scope)
        if body.slug not in (None, stored.slug):
            raise invalid_parameter("slug", "cannot be changed", location="body")
        replace_group(connection, stored.id, body.to_store())
        return existing_group(find_group(connection, str(stored.id)))

    return _group_response(await _run_with_unique_name(deps, write))


@router.delete(
    "/{group}",
    name="delete_camera_group",
    response_model=DeletedGroupEnvelope,
    responses=_CHANGED,
    summary="Delete a group",
)
async def remove_group(caller: Writer, deps: Deps, ref: GroupRef, if_match: IfMatchHeader) -> Response:
    """Delete the group. Its cameras stay and are then in no group.

    Users and API keys that are limited to it lose it, and stay limited. A caller who is limited to camera groups cannot
    delete one (403).
    """

    def write(connection: Connection) -> tuple[CameraGroup, int]:
        stored = _locked(connection, ref, if_match, caller.scope)
        if caller.scope is not None:
            raise outside_groups("You are limited to this camera group, and its cameras would be in no group.")
        return stored, delete_group(connection, stored.id)

    deleted, freed = await deps.database.run(write)
    message = f"Group {deleted.slug} deleted. Its cameras stay."
    return envelope_response({"id": str(deleted.id), "message": message, "freed_cameras": freed})


async def _run_with_unique_name(deps: Dependencies, query: Callable[[Connection], Result]) -> Result:
    try:
        return await deps.database.run(query)
    except GroupNameTakenError:
        raise Problem(409, "name-taken", "Another group has this name. Choose another name.") from None


def _locked(connection: Connection, ref: str, if_match: IfMatch, scope: CameraScope | None) -> CameraGroup:
    """Return the group, locked for this transaction; raise the 404 or 412 Problem."""
    locked = lock_group(connection, ref, scope=scope)
    if locked is None:
        raise group_not_found()
    if_match.require(locked.version)
    return existing_group(find_group(connection, str(locked.id)))


def _group_response(group: CameraGroup, *, status: int = 200) -> Response:
    content = group_content(group)
    return envelope_response(content, status=status, headers={"ETag": entity_tag(group.version, content)})
