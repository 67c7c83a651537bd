"""Turns a request into a row: the login is taken out of the address, the password sealed, group and device found."""

from __future__ import annotations

import logging
import re
from typing import Final
from uuid import UUID

from cloud_functions.api.cameras.requests import CameraRequest
from cloud_functions.api.dependencies import Dependencies
from cloud_functions.api.http.problems import Problem, invalid_parameter
from cloud_functions.api.security.permissions import outside_groups
from cloud_functions.db.cameras.groups import find_group
from cloud_functions.db.cameras.record import CameraFields
from cloud_functions.db.cameras.scope import CameraScope, has_camera_on
from cloud_functions.db.devices.configurations import default_device
from cloud_functions.db.types import Connection
from shared.errors import ConfigurationError, PermanentError

logger = logging.getLogger(__name__)

_AFTER_SERVER: Final = re.compile(r"[/?#]")
_NO_KEY: Final = (
    "The password cannot be stored: passwords are stored sealed, and this API has no key. Set PLATE_MASTER_KEY"
    " (kms:KEY or file:PATH) on the API, or leave the password out."
)


_OUTSIDE_GROUPS: Final = "Give the group_id of one of the camera groups that you are limited to."
_FOREIGN_DEVICE: Final = (
    "None of the cameras that you can see is on this device. Somebody without a limit to camera groups can put the"
    " first camera on a device."
)


def new_fields(
    deps: Dependencies, connection: Connection, body: CameraRequest, *, camera_id: UUID, scope: CameraScope | None
) -> CameraFields:
    """Return the row of a new camera; raise the 403 Problem if it would be outside of the scope."""
    group_id, device_id = _group_id(connection, body.group_id, scope), _device_id(connection, body, scope, kept=None)
    password = body.login().password
    sealed = None if password is None else seal_password(deps, connection, password, camera_id=camera_id)
    return _fields(body, sealed, group_id=group_id, device_id=device_id)


def replaced_fields(
    deps: Dependencies,
    connection: Connection,
    body: CameraRequest,
    *,
    camera_id: UUID,
    stored: CameraFields,
    scope: CameraScope | None,
) -> CameraFields:
    """Return the row that replaces ``stored``. It keeps the stored password if the request does not mention one.

    Raises:
        Problem: 403, the camera would leave the scope; 409, 422 and 503 as for a new camera.
    """
    group_id = _group_id(connection, body.group_id, scope)
    device_id = _device_id(connection, body, scope, kept=stored.device_id)
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
    return _fields(body, sealed, group_id=group_id, device_id=device_id)


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


def _fields(
    body: CameraRequest, password_sealed: bytes | None, *, group_id: UUID | None, device_id: str | None
) -> CameraFields:
    login = body.login()
    return CameraFields(
        name=body.name,
        rtsp_url=login.address,
        username=login.username,
        password_sealed=password_sealed,
        device_id=device_id,
        group_id=group_id,
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


def _group_id(connection: Connection, ref: str | None, scope: CameraScope | None) -> UUID | None:
    group = None if ref is None else find_group(connection, ref, scope=scope)
    if group is None and scope is not None:
        raise outside_groups(_OUTSIDE_GROUPS)
    if ref is None:
        return None
    if group is None:
        raise unknown_group()
    return group.id


def _device_id(
    connection: Connection, body: CameraRequest, scope: CameraScope | None, *, kept: str | None
) -> str | None:
    """Return the device of the camera: the one in the request, or the default one if the scope reaches it.

    ``kept`` is the device that the camera has. Raises the 403 Problem for another device that the scope does not reach.
    """
    device_id = body.device_id if body.names_device else default_device(connection)
    if scope is None or device_id in (None, kept) or has_camera_on(connection, scope, device_id):
        return device_id
    if body.names_device:
        raise outside_groups(_FOREIGN_DEVICE)
    return None


def unknown_group() -> Problem:
    """Return the 422 Problem for a group that does not exist."""
    return invalid_parameter("group_id", "there is no group with this id or slug", location="body")


def _server(address: str) -> tuple[str, str]:
    """Return the scheme and the host with its port: where a login is sent to."""
    scheme, _, rest = address.partition("://")
    return scheme.lower(), _AFTER_SERVER.split(rest, maxsplit=1)[0].lower()
