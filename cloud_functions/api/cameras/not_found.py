"""The 404 of a camera or a camera group that does not exist, or is not in the caller's groups."""

from __future__ import annotations

from cloud_functions.api.http.problems import Problem
from cloud_functions.db.cameras.record import Camera, CameraGroup


def camera_not_found() -> Problem:
    """Return the 404 Problem of a camera."""
    return Problem(404, "camera-not-found", "There is no camera with this id or slug.")


def existing_camera(camera: Camera | None) -> Camera:
    """Return the camera that was looked for; raise the 404 Problem if it was not found."""
    if camera is None:
        raise camera_not_found()
    return camera


def group_not_found() -> Problem:
    """Return the 404 Problem of a camera group."""
    return Problem(404, "group-not-found", "There is no group with this id or slug.")


def existing_group(group: CameraGroup | None) -> CameraGroup:
    """Return the group that was looked for; raise the 404 Problem if it was not found."""
    if group is None:
        raise group_not_found()
    return group
