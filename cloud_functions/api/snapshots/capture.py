"""Captures snapshots: asks the agent of a camera, and returns what ingest has recorded of its reply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from cloud_functions.api.commands.ask import DeviceQuestion, ask_device, new_command_id, send_question
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.problems import Problem, problem_description
from cloud_functions.api.snapshots.responses import enveloped_snapshot
from cloud_functions.db.cameras.record import Camera
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.snapshots.changes import SnapshotRequest, add_request, withdraw_request
from cloud_functions.db.snapshots.queries import find_snapshot
from cloud_functions.db.snapshots.record import CameraSnapshot
from shared.commands import SnapshotCommand
from shared.errors import VedetteError
from shared.ids import Uuid7Generator

logger = logging.getLogger(__name__)
_new_id = Uuid7Generator()

NOT_CAPTURED: Final = {
    409: "The camera is switched off (`camera-inactive`) or has no device (`camera-without-device`), its device is"
    " offline (`device-offline`), or the path names a device with several cameras (`several-cameras`).",
    502: "The device could not take the snapshot (`snapshot-failed`). The text has its reason.",
    504: "The device did not answer in time (`device-silent`).",
}
"""The errors of a capture, by status."""
NOT_CAPTURED_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: problem_description(text) for status, text in NOT_CAPTURED.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """How a snapshot is requested, and by whom."""

    timeout_s: float
    thumbnail: bool | None
    """None: as the camera's settings."""
    requested_by: str
    is_abandoned: Callable[[], Awaitable[bool]] | None = None
    """Whether the client has gone; see ``DeviceQuestion``."""


async def capture_snapshot(deps: Dependencies, camera: Camera, options: CaptureOptions) -> CameraSnapshot:
    """Ask the camera's device for a snapshot and wait; return it, with the status ``pending`` if the image follows.

    Raises:
        Problem: 409, 502 or 504, see ``NOT_CAPTURED``.
        TransientError: the database or the broker is temporarily unavailable.
    """
    request, question = _request(camera, options)
    await deps.database.run(lambda connection: add_request(connection, request))
    try:
        reply = await ask_device(deps, question)
    except Problem as problem:
        await _withdraw_unsent(deps, request.id, problem)
        raise
    if reply.status == "error":
        raise Problem(502, "snapshot-failed", f"The device could not take the snapshot: {reply.error or 'no reason'}")
    return await existing_snapshot(deps, request.id)


async def request_snapshot(deps: Dependencies, camera: Camera, options: CaptureOptions) -> CameraSnapshot:
    """Ask the camera's device for a snapshot without waiting. Raises as ``capture_snapshot``, not 502 and 504."""
    request, question = _request(camera, options)
    await deps.database.run(lambda connection: add_request(connection, request))
    try:
        await send_question(deps, question)
    except Problem as problem:
        await _withdraw_unsent(deps, request.id, problem)
        raise
    return await existing_snapshot(deps, request.id)


async def capture_all(
    deps: Dependencies, cameras: Sequence[Camera], options: CaptureOptions, *, root_path: str
) -> list[dict[str, Any]]:
    """Capture snapshots of all cameras at the same time; return the JSON of each outcome, in the same order."""

    async def capture(camera: Camera) -> dict[str, Any]:
        outcome: dict[str, Any] = {"camera_id": str(camera.id), "camera_slug": camera.slug}
        try:
            snapshot = await capture_snapshot(deps, camera, options)
        except Problem as problem:
            return outcome | _failure(problem.kind, str(problem.detail))
        except VedetteError as error:
            logger.warning("capturing a snapshot of camera %s failed: %s", camera.slug, error)
            return outcome | _failure("unavailable", "A service is temporarily unavailable. Retry in a few seconds.")
        content = enveloped_snapshot(snapshot, root_path=root_path)
        return outcome | {"status": snapshot.status, "snapshot": content, "error": None}

    return list(await asyncio.gather(*map(capture, cameras)))


async def existing_snapshot(
    deps: Dependencies, snapshot_id: UUID, *, scope: CameraScope | None = None
) -> CameraSnapshot:
    """Return the snapshot; raise the 404 Problem if it does not exist in the scope."""
    snapshot = await deps.database.run(lambda connection: find_snapshot(connection, snapshot_id, scope=scope))
    if snapshot is None:
        raise snapshot_not_found()
    return snapshot


def snapshot_not_found() -> Problem:
    """Return the 404 Problem for a snapshot that does not exist."""
    detail = "There is no snapshot with this id. It may have been deleted, or its retention has ended."
    return Problem(404, "snapshot-not-found", detail)


def _request(camera: Camera, options: CaptureOptions) -> tuple[SnapshotRequest, DeviceQuestion]:
    if not camera.fields.is_active:
        raise Problem(409, "camera-inactive", "The camera is switched off. Switch it on first (is_active).")
    snapshot_id, command_id = _new_id(), new_command_id()
    command = SnapshotCommand(
        command_id=command_id,
        camera_id=camera.slug,
        snapshot_id=str(snapshot_id),
        thumbnail=options.thumbnail,
        reply_within_s=options.timeout_s,
    )
    question = DeviceQuestion(
        command=command,
        device_id=camera.fields.device_id,
        requested_by=options.requested_by,
        timeout_s=options.timeout_s,
        is_abandoned=options.is_abandoned,
    )
    request = SnapshotRequest(
        id=snapshot_id,
        camera_id=camera.id,
        camera_slug=camera.slug,
        device_id=camera.fields.device_id or "",
        command_id=command_id,
    )
    return request, question


async def _withdraw_unsent(deps: Dependencies, snapshot_id: UUID, problem: Problem) -> None:
    """Delete the row of a snapshot whose command was not sent. Of a silent device, the snapshot may still come."""
    if problem.status == 409:
        await deps.database.run(lambda connection: withdraw_request(connection, snapshot_id))


def _failure(code: str, message: str) -> dict[str, Any]:
    return {"status": "failed", "snapshot": None, "error": {"code": code, "message": message}}
