"""``POST /cameras/{camera}/test-connection``: the camera's device opens its stream, and says why that fails."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from cloud_functions.api.cameras.not_found import existing_camera
from cloud_functions.api.cameras.requests import CameraRef, ConnectionTestRequest
from cloud_functions.api.cameras.responses import ConnectionTestEnvelope
from cloud_functions.api.commands.ask import (
    DEVICE_RESPONSES,
    DeviceQuestion,
    accepted_response,
    ask_device,
    new_command_id,
    send_question,
)
from cloud_functions.api.commands.responses import AcceptedEnvelope
from cloud_functions.api.dependencies import Deps
from cloud_functions.api.http.envelope import envelope_response
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.db.cameras.queries import find_camera
from cloud_functions.db.cameras.record import Camera
from cloud_functions.db.types import Connection
from shared.cameras import DeviceCamera
from shared.commands import Reply, TestConnectionCommand

router = APIRouter(prefix="/cameras", tags=["Cameras"], route_class=StrictRoute)
_REPLY_TIME_S: Final = 3.0
"""Time for the way of the command and the reply, besides the time that the device has for the test."""
_ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": AcceptedEnvelope, "description": "With `wait` false: the command was sent."}
}


@router.post(
    "/{camera}/test-connection",
    name="test_camera_connection",
    response_model=ConnectionTestEnvelope,
    responses=_ACCEPTED | DEVICE_RESPONSES,
    summary="Test the connection to a camera",
)
async def post_connection_test(
    caller: Annotated[Principal, Depends(require_in_scope("cameras:read"))],
    request: Request,
    deps: Deps,
    ref: CameraRef,
    body: Annotated[ConnectionTestRequest, Body()] = ConnectionTestRequest(),  # noqa: B008 - frozen
) -> Response:
    """The camera's device opens the stream a second time and reads a picture.

    A test that fails is a 200 with `success` false and its `cause`. A device that the API configures tests the camera
    as the API has it, also if it has refused that configuration. Any other device tests the camera that it runs.
    """

    def read(connection: Connection) -> tuple[Camera, DeviceCamera | None]:
        camera = existing_camera(find_camera(connection, ref, scope=caller.scope))
        return camera, deps.configurations.camera_to_test(connection, camera.id)

    camera, device_camera = await deps.database.run(read)
    question = DeviceQuestion(
        command=TestConnectionCommand(
            command_id=new_command_id(),
            camera_id=camera.slug,
            camera=device_camera,
            timeout_s=body.timeout_seconds,
            check_credentials=body.check_credentials,
        ),
        device_id=camera.fields.device_id,
        requested_by=caller.name,
        timeout_s=body.timeout_seconds + _REPLY_TIME_S,
        is_abandoned=request.is_disconnected,
    )
    if not body.wait:
        return accepted_response(request, await send_question(deps, question))
    return envelope_response(_content(camera, await ask_device(deps, question)))


def _content(camera: Camera, reply: Reply) -> dict[str, Any]:
    succeeded = reply.status == "ok"
    message = f"Successfully connected to {camera.fields.name}" if succeeded else reply.error or "the test failed"
    return {
        "success": succeeded,
        "camera_id": str(camera.id),
        "message": message,
        "cause": None if succeeded else reply.cause or "failed",
        "latency_ms": None if reply.latency_ms is None else round(reply.latency_ms),
        "resolution": reply.resolution,
        "fps": reply.fps,
        "codec": reply.codec,
    }
