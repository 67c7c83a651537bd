"""Asks a device: stores the command, publishes it, and waits for the reply that ingest records.

The wait holds no database connection. It reads the command's row when a reply is signalled, and from time to time.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.envelope import envelope_response, error_description
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.responses import root_path
from cloud_functions.db.commands.record import (
    NewCommand,
    StoredCommand,
    add_command,
    find_command,
    record_publish_failure,
)
from cloud_functions.device_commands import send_command
from shared.commands import Command, Reply
from shared.errors import VedetteError
from shared.ids import Uuid7Generator

MIN_TIMEOUT_S: Final = 1
DEFAULT_TIMEOUT_S: Final = 10
MAX_TIMEOUT_S: Final = 25
"""Below the time after which API Gateway ends a request (30 s)."""
_VALID_FOR: Final = timedelta(seconds=60)
"""Least time before a command expires: the clocks of the device and the cloud may differ by some seconds."""
_CHECK_CLIENT_EVERY_S: Final = 0.5
_new_id = Uuid7Generator()

DEVICE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    409: error_description(
        "The device is offline (`device-offline`), or no device runs the camera (`camera-without-device`)."
    ),
    504: error_description("The device did not answer in time (`device-silent`)."),
}
"""OpenAPI descriptions of the errors of ``ask_device`` for a route of a camera, in the envelope."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceQuestion:
    """One command for one device. ``command`` needs no times: ``ask_device`` sets them."""

    command: Command
    """Its ``command_id`` is from ``new_command_id``."""
    device_id: str | None
    """The device of the camera; None if the camera has none."""
    requested_by: str
    """Name of the caller."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    is_abandoned: Callable[[], Awaitable[bool]] | None = None
    """Whether the client has gone, such as ``request.is_disconnected``. The wait then ends."""


def new_command_id() -> str:
    """Return a new id of a command."""
    return str(_new_id())


async def ask_device(deps: Dependencies, question: DeviceQuestion) -> Reply:
    """Send the command and return the device's reply, whose status may be ``error``.

    Raises:
        Problem: 409 ``camera-without-device`` or ``device-offline``; 504 ``device-silent``, no reply in time.
        TransientError: the database or the broker is temporarily unavailable.
    """
    deadline_s = time.monotonic() + question.timeout_s
    command_id = UUID(question.command.command_id)
    with deps.replies.watch(command_id) as signal:  # before the command is sent, so that no signal is missed
        await send_question(deps, question)
        while True:
            stored = await deps.database.run(lambda connection: find_command(connection, command_id))
            if stored is not None and stored.replied_at is not None:
                return _reply(stored)
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0 or await _is_abandoned(question):
                raise _silent(question)
            await signal.pause(min(remaining_s, _CHECK_CLIENT_EVERY_S))


async def send_question(deps: Dependencies, question: DeviceQuestion) -> UUID:
    """Store and publish the command without waiting for its reply; return its id. Raises as ``ask_device``, not 504."""
    if question.device_id is None:
        detail = "No device runs this camera. Set the camera's device_id to the device whose agent is to run it."
        raise Problem(409, "camera-without-device", detail)
    now = deps.clock.now()
    times = {"issued_at": now, "expires_at": now + max(_VALID_FOR, timedelta(seconds=question.timeout_s))}
    command = question.command.model_copy(update=times)
    row = _row(question, question.device_id, times["expires_at"])
    site_id = await deps.database.run(lambda connection: add_command(connection, row))
    if site_id is None:
        detail = f"The device {question.device_id} is offline: it has sent no heartbeat for 90 seconds, or never."
        raise Problem(409, "device-offline", detail)
    try:
        await deps.thread_pool.run(
            lambda: send_command(deps.commands, site_id=site_id, device_id=row.device_id, command=command)
        )
    except VedetteError:
        with suppress(VedetteError):
            await deps.database.run(
                lambda connection: record_publish_failure(connection, row.id, "the command could not be published")
            )
        raise
    return row.id


def accepted_response(request: Request, command_id: UUID) -> Response:
    """Return the 202 for a caller who does not wait. ``Location`` is where the reply will be."""
    path = f"{root_path(request)}/api/v1/commands/{command_id}"
    return envelope_response({"command_id": str(command_id), "status": "sent"}, status=202, headers={"Location": path})


def _row(question: DeviceQuestion, device_id: str, expires_at: datetime) -> NewCommand:
    command = question.command
    return NewCommand(
        id=UUID(command.command_id),
        device_id=device_id,
        kind=command.command,
        camera_id=getattr(command, "camera_id", None),
        requested_by=question.requested_by,
        expires_at=expires_at,
    )


def _reply(stored: StoredCommand) -> Reply:
    return Reply.model_validate(stored.reply)


async def _is_abandoned(question: DeviceQuestion) -> bool:
    return question.is_abandoned is not None and await question.is_abandoned()


def _silent(question: DeviceQuestion) -> Problem:
    detail = (
        f"The device {question.device_id} did not answer within {question.timeout_s:g} s. A later answer is at"
        f" /api/v1/commands/{question.command.command_id}."
    )
    return Problem(504, "device-silent", detail)
