"""Turns a request into a row: the login is taken out of the address, the password sealed, group and device found."""

from __future__ import annotations

import logging
import re
from typing import Final
from uuid import UUID

from cloud_functions.api.cameras.requests import CameraRequest
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.db.cameras.groups import find_group
from cloud_functions.db.cameras.record import CameraFields
from cloud_functions.db.devices.configurations import default_device
from cloud_functions.db.types import Connection
from shared.errors import ConfigurationError, PermanentError

logger = logging.getLogger(__name__)

_AFTER_SERVER: Final = re.compile(r"[/?#]")
_NO_KEY: Final = (
    "The password cannot be stored: passwords are stored sealed, and this API has no key. Set PLATE_MASTER_KEY"
    " (kms:KEY or file:PATH) on the API, or leave the password out."
)


def new_fields(deps: Dependencies, connection: Connection, body: CameraRequest, *, camera_id: UUID) -> CameraFields:
    """Return the row of a new camera."""
    password = body.login().password
    sealed = None if password is None else seal_password(deps, connection, password, camera_id=camera_id)
    return _fields(connection, body, sealed)


def replaced_fields(
    deps: Dependencies, connection: Connection, body: CameraRequest, *, camera_id: UUID, stored: CameraFields
) -> CameraFields:
    """Return the row that replaces ``stored``. It keeps the stored password if the request does not mention one."""
    login = body.login()
    if body.keeps_password and stored.password_sealed is not None:
        # Otherwise a caller who may not read the password could have it sent to a server of their own.
        if (_server(login.address), login.username) != (_server(stored.rtsp_url), stored.username):
            message = "give it again (or null), because the address or the user name changed"
            raise invalid_parameter("password", message, location="body")
        sealed = stored.password_sealed
    elif login.password is None:
        sealed = None
    else:
        sealed = seal_password(deps, connection, login.password, camera_id=camera_id)
    return _fields(connection, body, sealed)


def seal_password(deps: Dependencies, connection: Connection, password: str, *, camera_id: UUID) -> bytes:
    """Return the sealed password; raise the 409 or 503 Problem if there is no key, or if it is unavailable."""
    if not deps.camera_passwords.can_seal:
        raise Problem(409, "no-password-key", _NO_KEY)
    try:
        return deps.camera_passwords.seal(connection, password, camera_id=camera_id)
    except (ConfigurationError, PermanentError) as error:
        logger.warning("the key of camera passwords is unavailable: %s", error)
        detail = "The key of camera passwords is unavailable. The server log says why."
        raise Problem(503, "camera-keys-away", detail) from error


def _fields(connection: Connection, body: CameraRequest, password_sealed: bytes | None) -> CameraFields:
    login = body.login()
    device_id = body.device_id if body.names_device else default_device(connection)
    return CameraFields(
        name=body.name,
        rtsp_url=login.address,
        username=login.username,
        password_sealed=password_sealed,
        device_id=device_id,
        group_id=_group_id(connection, body.group_id),
        location=body.location,
        resolution=body.resolution,
        fps=body.fps,
        codec=body.codec,
        is_active=body.is_active,
        enable_detection=body.enable_detection,
        detection_sensitivity=body.detection_sensitivity,
        retention_days=body.retention_days,
        settings=body.settings.document(),
    )


def _group_id(connection: Connection, ref: str | None) -> UUID | None:
    if ref is None:
        return None
    group = find_group(connection, ref)
    if group is None:
        raise unknown_group()
    return group.id


def unknown_group() -> Problem:
    """Return the 422 Problem for a group that does not exist."""
    return invalid_parameter("group_id", "there is no group with this id or slug", location="body")


def _server(address: str) -> tuple[str, str]:
    """Return the scheme and the host with its port: where a login is sent to."""
    scheme, _, rest = address.partition("://")
    return scheme.lower(), _AFTER_SERVER.split(rest, maxsplit=1)[0].lower()
