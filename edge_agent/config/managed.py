"""Turns the cameras that the API sends into the agent's own settings, and says what is wrong with them.

Logins exist in memory only: a password is opened here, and put into the source of the settings after everything else
has been checked, so that no message about the settings can contain it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from pydantic import ValidationError

from edge_agent.camera.source import check_source, scheme_of
from edge_agent.config.settings import CameraSettings
from shared.cameras import CameraConfig, DeviceCamera
from shared.clock import Clock
from shared.errors import ConfigurationError, PermanentError, VedetteError
from shared.redact import has_query_secret
from shared.settings import duplicate_names
from shared.stream_address import split_login

LOGIN_SCHEMES: Final = frozenset({"rtsp", "rtsps", "http", "https"})
CHECKED_SCHEMES: Final = LOGIN_SCHEMES | {"synthetic"}
"""Sources whose text can be checked without the camera."""
_NEEDS_DETECTION: Final = ("zones", "required_zones", "lines")
_FIELDS_OF_THE_API: Final = {"id": "slug", "source": "rtsp_url"}
"""Names of a camera's fields in the API, where the agent has others."""

OpenPassword = Callable[[str, str], str]
"""Returns the password in a sealed box (first argument) of a camera (its id). Raises PermanentError."""


class RejectedConfigurationError(ConfigurationError):
    """Cameras of the API cannot run on this device. The text lists all problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedCameraRules:
    """What a device adds to the cameras that the API sends."""

    open_password: OpenPassword
    timezone: str
    """Time zone of schedules and counter resets."""


def min_score(sensitivity: float) -> float:
    """Return ``detect.min_score`` for a sensitivity of 0..1: 0.6 at 0, the agent's default 0.25 at 0.7, 0.1 at 1.

    Raising the sensitivity lowers the score that a detection needs, so more objects are found, with more false alarms.
    """
    return round(0.6 - 0.5 * sensitivity, 4)


def camera_settings(camera: DeviceCamera, *, rules: ManagedCameraRules) -> CameraSettings:
    """Return the settings of a camera of the API. Raises RejectedConfigurationError with the API's field names."""
    try:
        document = _document(camera, timezone=rules.timezone)
        settings = CameraSettings.model_validate({**document, "id": camera.camera_id, "source": camera.source})
    except ValidationError as error:
        raise RejectedConfigurationError("; ".join(_problems(error, camera.camera_id))) from None
    try:
        return settings.model_copy(update={"source": _source(camera, rules.open_password)})
    except PermanentError as error:
        raise RejectedConfigurationError(f"camera {camera.camera_id}: {error}") from None
    except VedetteError as error:
        raise RejectedConfigurationError(f"camera {camera.camera_id}: rtsp_url: {error}") from None


def check_cameras(cameras: Sequence[DeviceCamera], *, rules: ManagedCameraRules, clock: Clock) -> list[CameraSettings]:
    """Return the settings of all cameras, or raise RejectedConfigurationError with the problems of all.

    Whether a camera, a device or a file is there is not checked here: a source that is away for a while must not stand
    in the way of changes to other cameras. For the same reason a camera that is switched off and cannot run on this
    device is left out.
    """
    problems: list[str] = []
    checked: list[CameraSettings] = []
    if alike := duplicate_names([camera.camera_id for camera in cameras]):
        problems.append(f"two cameras have the slug {alike}; slugs must be unique")
    for camera in cameras:
        try:
            settings = camera_settings(camera, rules=rules)
            if settings.enabled:
                _check_address(settings, clock=clock)
            checked.append(settings)
        except RejectedConfigurationError as error:
            if camera.enabled:
                problems.append(str(error))
    if problems:
        raise RejectedConfigurationError("; ".join(problems))
    return checked


def _document(camera: DeviceCamera, *, timezone: str) -> dict[str, Any]:
    """Return the camera's table as the agent's file would have it, without id and source."""
    document = CameraConfig.model_validate(camera.settings).document()
    detect = {"min_score": min_score(camera.detection_sensitivity)} | document.get("detect", {})
    events = {"timezone": timezone} | document.get("events", {})
    document |= {"enabled": camera.enabled, "detect": detect, "events": events}
    if not camera.enable_detection:
        # Zones, lines and plates stay in the API and apply again when detection is enabled.
        document |= {"mode": "motion", "events": {k: v for k, v in events.items() if k not in _NEEDS_DETECTION}}
        document.pop("anpr", None)
    return document


def _source(camera: DeviceCamera, open_password: OpenPassword) -> str:
    """Return the source with the login in it. Raises ConfigurationError or PermanentError."""
    scheme = scheme_of(camera.source)
    if scheme == "gst":
        raise ConfigurationError("gst: is accepted in the device's own file only, because a pipeline runs programs")
    if scheme not in LOGIN_SCHEMES:
        return camera.source
    address, username, password = split_login(camera.source)
    if username is not None or password is not None or has_query_secret(camera.source):
        raise ConfigurationError("the address contains a login, which belongs in username and password")
    password = None if camera.password_sealed is None else open_password(camera.password_sealed, camera.camera_id)
    if not camera.username and password is None:
        return address
    login = quote(camera.username or "", safe="") + ("" if password is None else f":{quote(password, safe='')}")
    prefix, _, location = address.partition("://")
    return f"{prefix}://{login}@{location}"


def _check_address(settings: CameraSettings, *, clock: Clock) -> None:
    source = settings.source or ""
    try:
        if scheme_of(source) in CHECKED_SCHEMES:
            check_source(source, settings=settings.stream, clock=clock)
    except VedetteError as error:
        raise RejectedConfigurationError(f"camera {settings.id}: rtsp_url: {error}") from None


def _problems(error: ValidationError, camera_id: str) -> Iterator[str]:
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        message = "unknown setting" if item["type"] == "extra_forbidden" else str(item["msg"])
        yield f"camera {camera_id}: {_place(item['loc'])}: {message.removeprefix('Value error, ')}"


def _place(location: Sequence[str | int]) -> str:
    """Return a place in the names of the API: ``settings.events.zones[0].polygon``."""
    first = str(location[0]) if location else ""
    if first in _FIELDS_OF_THE_API:
        return _FIELDS_OF_THE_API[first]
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "settings" + "".join(parts)
