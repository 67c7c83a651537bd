"""``GET /commands/{command}``: a command to a device and its reply, for callers that did not wait for it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from cloud_functions.api.commands.responses import CommandEnvelope, command_content
from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.db.commands.record import find_command
from shared.ids import is_uuid

router = APIRouter(prefix="/commands", tags=["Devices"], route_class=StrictRoute)


@router.get(
    "/{command}",
    name="get_command",
    response_model=CommandEnvelope,
    summary="Get a command to a device",
)
async def get_command(
    caller: Annotated[Principal, Depends(require_in_scope("cameras:read"))],
    deps: Deps,
    ref: Annotated[
        str,
        Path(
            alias="command",
            max_length=100,
            description="Id of the command.",
            examples=["0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"],
        ),
    ],
) -> Response:
    """A command that the API sent to a device, and the device's reply once it has come. Kept for 30 days."""
    if not is_uuid(ref):
        raise invalid_parameter("command", "must be a UUID", location="path")
    command = await deps.database.run(lambda connection: find_command(connection, UUID(ref), scope=caller.scope))
    if command is None:
        raise Problem(404, "command-not-found", "There is no command with this id.")
    return envelope_response(command_content(command))
