"""The demo's camera: in the API like any other, created at the first start and changed by the command line.

A source or a setting that the API does not accept, such as a GStreamer pipeline, is pinned in the agent's own file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import psycopg
from pydantic import ValidationError

from cloud_functions.db.cameras.changes import create_camera, replace_camera
from cloud_functions.db.cameras.queries import find_camera
from cloud_functions.db.cameras.record import Camera, CameraFields
from cloud_functions.db.connect import connect_to, database_error
from cloud_functions.db.types import Connection
from cloud_functions.plates.master_keys import master_keys
from cloud_functions.privacy.camera_passwords import CameraPasswords
from edge_agent.cli.rules_file import load_rules_file
from infra.local.demo.device import CAMERA_ID, DEVICE_ID
from shared.cameras import CameraConfig
from shared.errors import VedetteError
from shared.ids import Uuid7Generator
from shared.stream_address import check_managed_source, redact_source, split_login

DEFAULT_SOURCE: Final = "synthetic:gate"
_NAME: Final = "Camera 1"
_SENSITIVITY: Final = 0.7
_DEFAULT_TIMEZONE: Final = "UTC"
_RETRY_INTERVAL_S: Final = 10.0
_HAS_CAMERAS: Final = "SELECT FROM cameras WHERE device_id = %s LIMIT 1"
_VERSIONS: Final = """
SELECT version, COALESCE(applied_version, 0), rejected_version FROM device_configurations WHERE device_id = %s
"""
_TRY_AGAIN: Final = "SELECT raise_device_configurations(ARRAY[%s::text])"


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraOptions:
    """What the command line says about the camera. What it does not mention stays as it is in the API."""

    source: str | None = None
    model: str | None = None
    plates: bool = True
    rules: Path | None = None

    @property
    def are_given(self) -> bool:
        """Whether the command line mentions the camera at all."""
        return self != CameraOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPlan:
    """The camera of the command line."""

    options: CameraOptions
    source: str = field(repr=False)
    """It may contain a password."""
    settings: Mapping[str, Any]
    """As in the ``[[cameras]]`` table of an agent's file, without the time zone."""
    timezone: str | None
    """Of the rules file; None without one. It is the device's, because a camera of the API has none of its own."""
    pinned_because: str | None
    """Why the API does not accept the camera; None: it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackDatabase:
    """Where the stack has its cameras, and the setting of the key that seals their passwords."""

    url: str = field(repr=False)
    master_key: str


@dataclass(frozen=True, slots=True)
class StoredCamera:
    """The camera as the agent runs it."""

    shown_source: str
    """Without a login."""
    reads_plates: bool
    is_new_source: bool = False
    """Whether this start created the camera or gave it another source."""
    version_to_prove: int | None = None
    """The version of the device's configuration that this start made, or that no device has ever run."""


def plan_camera(options: CameraOptions) -> CameraPlan:
    """Return the camera of the command line; raise ConfigurationError if the rules file is invalid."""
    source = DEFAULT_SOURCE if options.source is None else absolute_source(options.source)
    settings = camera_settings(source, model=options.model, plates=options.plates, rules=options.rules)
    events = dict(settings.get("events", {}))
    timezone = events.pop("timezone", None) or (None if options.rules is None else _DEFAULT_TIMEZONE)
    if "events" in settings:
        settings["events"] = events
    return CameraPlan(
        options=options,
        source=source,
        settings=settings,
        timezone=timezone,
        pinned_because=_refusal(source, settings),
    )


def camera_settings(source: str, *, model: str | None, plates: bool, rules: Path | None) -> dict[str, Any]:
    """Return the settings of a new camera: those in ``rules``, with the given model and plate reading.

    Raises ConfigurationError if ``rules`` is invalid.
    """
    settings: dict[str, Any] = {} if rules is None else _settings_in(rules, source)
    if model is not None:
        settings["model"] = {"name": model}
    if not plates:
        settings.pop("anpr", None)
    elif "anpr" not in settings and settings.get("mode", "tracking") == "tracking":
        settings["anpr"] = {"enabled": True}
    return settings


def absolute_source(source: str) -> str:
    """Return a file's path so that it is found from any folder; other sources unchanged."""
    path = file_path(source)
    return str(path.absolute()) if path.is_file() else source


def file_path(source: str) -> Path:
    """Return the path that a source names, as the agent resolves it: ``~`` is home, and ``file:`` may come first."""
    named = source if Path(source).exists() else source.removeprefix("file:")
    return Path(named).expanduser()


def store_camera(plan: CameraPlan, database: StackDatabase) -> StoredCamera:
    """Create the camera in the API, or change what the command line mentions.

    If it mentions nothing, a camera that exists stays as it is, and none is created beside other cameras of the device.

    Raises:
        ConfigurationError, PermanentError, TransientError: the database or the master key is unavailable.
    """
    passwords = CameraPasswords(master_keys=master_keys(database.master_key))
    try:
        with connect_to(database.url) as connection, connection.transaction():
            return _stored(connection, plan, passwords)
    except psycopg.Error as error:
        raise database_error(error) from error


def pinned_camera(plan: CameraPlan) -> StoredCamera:
    """Return the camera of a plan that the API does not accept."""
    return StoredCamera(redact_source(plan.source), reads_plates=_reads_plates(plan.settings))


class ConfigurationRetry:
    """Has the device try what the command line asks for again until it works: a camera may be switched on later.

    A version that somebody else made, with a change in the API, is for them to correct.
    """

    def __init__(self, url: str, version: int | None, *, interval_s: float = _RETRY_INTERVAL_S) -> None:
        """``version``: ``version_to_prove`` of the camera; None: nothing is tried again."""
        self._url = url
        self._version = version
        self._interval_s = interval_s
        self._due_s = time.monotonic() + interval_s

    def check(self) -> None:
        """Call this periodically. An unavailable database delays the next attempt."""
        if self._version is None or time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + self._interval_s
        try:
            with connect_to(self._url) as connection, connection.transaction():
                self._version = self._next_version(connection)
        except (psycopg.Error, VedetteError):
            return

    def _next_version(self, connection: Connection) -> int | None:
        version, applied, rejected = _versions(connection)
        if version != self._version or applied == version:
            return None
        if rejected == version:
            connection.execute(_TRY_AGAIN, [DEVICE_ID])
            version, *_ = _versions(connection)
        return version


def _settings_in(rules: Path, source: str) -> dict[str, Any]:
    camera = load_rules_file(rules, camera_id=CAMERA_ID, source=source)
    return camera.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude={"id", "source", "enabled"})


def _refusal(source: str, settings: Mapping[str, Any]) -> str | None:
    """Return why the API does not accept the camera, or None."""
    try:
        check_managed_source(source)
        CameraConfig.model_validate(settings)
    except ValidationError as error:
        return f"the API has no setting {'.'.join(str(part) for part in error.errors()[0]['loc'])} with this value"
    except ValueError as error:
        return f"in the API, a source {error}"
    return None


def _reads_plates(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("anpr", {}).get("enabled"))


def _stored(connection: Connection, plan: CameraPlan, passwords: CameraPasswords) -> StoredCamera:
    camera = find_camera(connection, CAMERA_ID)
    if camera is None:
        if connection.execute(_HAS_CAMERAS, [DEVICE_ID]).fetchone() is not None and not plan.options.are_given:
            return StoredCamera("those of the API", reads_plates=True)
        fields = _create(connection, plan, passwords)
    else:
        fields = _changed(connection, camera, plan, passwords)
        if fields != camera.fields:
            replace_camera(connection, camera.id, fields)
    before = None if camera is None else camera.fields
    version, applied, _ = _versions(connection)
    return StoredCamera(
        redact_source(fields.rtsp_url),
        reads_plates=_reads_plates(fields.settings),
        is_new_source=before is None or _source(before) != _source(fields),
        version_to_prove=version if fields != before or applied == 0 else None,
    )


def _source(fields: CameraFields) -> tuple[str, str | None, bytes | None]:
    return fields.rtsp_url, fields.username, fields.password_sealed


def _versions(connection: Connection) -> tuple[int, int, int | None]:
    """Return the desired, the applied and the rejected version of the device's configuration."""
    row = connection.execute(_VERSIONS, [DEVICE_ID]).fetchone()
    return (0, 0, None) if row is None else (row[0], row[1], row[2])


def _create(connection: Connection, plan: CameraPlan, passwords: CameraPasswords) -> CameraFields:
    camera_id = Uuid7Generator()()
    login = split_login(plan.source)
    fields = CameraFields(
        name=_NAME,
        rtsp_url=login.address,
        username=login.username,
        password_sealed=passwords.seal(connection, login.password, camera_id=camera_id) if login.password else None,
        device_id=DEVICE_ID,
        group_id=None,
        location=None,
        resolution=None,
        fps=None,
        codec=None,
        is_active=True,
        enable_detection=True,
        detection_sensitivity=_SENSITIVITY,
        retention_days=None,
        settings=dict(plan.settings),
    )
    create_camera(connection, camera_id, fields, slug=CAMERA_ID, exact=True)
    return fields


def _changed(connection: Connection, camera: Camera, plan: CameraPlan, passwords: CameraPasswords) -> CameraFields:
    """Return the camera's fields with what the command line mentions."""
    options, fields = plan.options, camera.fields
    if options.are_given:
        fields = replace(fields, device_id=DEVICE_ID, is_active=True)
    if options.source is not None:
        login = split_login(plan.source)
        sealed = _sealed(connection, camera, login.password, passwords) if login.password else None
        fields = replace(fields, rtsp_url=login.address, username=login.username, password_sealed=sealed)
    settings = dict(plan.settings if options.rules is not None else fields.settings)
    if options.model is not None:
        settings["model"] = {"name": options.model}
    if not options.plates:
        settings.pop("anpr", None)
    return replace(fields, settings=settings)


def _sealed(connection: Connection, camera: Camera, password: str, passwords: CameraPasswords) -> bytes:
    """Return the password sealed; as it is stored if it is the same, so that the camera does not change."""
    stored = camera.fields.password_sealed
    if stored is not None:
        try:
            if passwords.open(connection, stored, camera_id=camera.id) == password:
                return stored
        except VedetteError:  # its key was lost: the new one seals
            pass
    return passwords.seal(connection, password, camera_id=camera.id)
