"""Routes of devices under ``/api/v1``, and ``GET /api/devices``, which lists cameras as devices."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from cloud_functions.api.dependencies import Deps
from cloud_functions.api.devices.requests import DeviceListParameters, DeviceRef
from cloud_functions.api.devices.responses import (
    CameraAsDevice,
    DeviceEnvelope,
    DeviceListEnvelope,
    camera_as_device,
    device_content,
)
from cloud_functions.api.http.envelope import envelope_response, page_response
from cloud_functions.api.http.problems import Problem
from cloud_functions.api.http.responses import text_response
from cloud_functions.api.http.strict_route import StrictRoute
from cloud_functions.api.security.permissions import Principal, require_in_scope
from cloud_functions.db.cameras.queries import CameraFilter, list_cameras
from cloud_functions.db.devices.queries import find_device, list_devices

router = APIRouter(prefix="/devices", tags=["Devices"], route_class=StrictRoute)
"""Mounted under ``/api/v1`` only."""
cameras_router = APIRouter(prefix="/devices", tags=["Devices"], route_class=StrictRoute)
"""Mounted under ``/api`` only."""
Reader = Annotated[Principal, Depends(require_in_scope("devices:read"))]


@router.get("", name="list_devices", response_model=DeviceListEnvelope, summary="List devices")
async def get_devices(caller: Reader, deps: Deps, params: Annotated[DeviceListParameters, Query()]) -> Response:
    """Devices sorted by id: release, last heartbeat, outbox, open gaps, configuration and cameras of each.

    Callers who are limited to camera groups see the devices that have at least one of their cameras, and only these
    cameras in them. Outbox and gaps are those of the whole device.
    """
    devices, total = await deps.database.run(
        lambda connection: list_devices(
            connection, status=params.status, limit=params.page_size, offset=params.offset, scope=caller.scope
        )
    )
    return page_response([device_content(device) for device in devices], page=params, total=total)


@router.get("/{device}", name="get_device", response_model=DeviceEnvelope, summary="Get a device")
async def get_device(caller: Reader, deps: Deps, ref: DeviceRef) -> Response:
    """The device with this id, and its state."""
    device = await deps.database.run(lambda connection: find_device(connection, ref, scope=caller.scope))
    if device is None:
        raise Problem(404, "device-not-found", "There is no device with this id.")
    return envelope_response(device_content(device))


@cameras_router.get(
    "",
    name="list_cameras_as_devices",
    response_model=list[CameraAsDevice],
    summary="List cameras as devices",
)
async def get_cameras_as_devices(caller: Reader, deps: Deps) -> Response:
    """All cameras, in the terms of the snapshots API. The devices themselves are at `/api/v1/devices`."""
    cameras, _ = await deps.database.run(lambda connection: list_cameras(connection, CameraFilter(scope=caller.scope)))
    return text_response(json.dumps([camera_as_device(camera) for camera in cameras], ensure_ascii=False))
