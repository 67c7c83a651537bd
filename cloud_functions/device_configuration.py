"""Sends devices the configuration that the API stores for them: the ``configure`` command.

Ingest sends it to a device whose heartbeat reports another version, the API right after a change. Both may send the
same version, and a message may be lost: the device ignores what it runs already, and the next heartbeat starts again.
See docs/design/configuration.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from pydantic import ValidationError

from cloud_functions.db.devices.configurations import (
    DesiredCamera,
    DesiredConfiguration,
    due_configurations,
    find_desired_camera,
    record_not_sent,
    record_sent,
)
from cloud_functions.db.types import Connection, Transaction
from cloud_functions.device_commands import CommandPublisher, send_command
from cloud_functions.privacy.camera_passwords import CameraPasswords
from cloud_functions.privacy.sealed_box import seal_password
from shared.cameras import DeviceCamera
from shared.clock import Clock
from shared.commands import MAX_COMMAND_BYTES, ConfigureCommand
from shared.errors import ConfigurationError, PermanentError, TransientError, VedetteError

log = logging.getLogger(__name__)

_NO_DEVICE_KEY: Final = "camera {} has a password, and the device has not sent its public key; update its agent"
_NOT_OPENED: Final = "the password of camera {} cannot be opened: give it again, or check PLATE_MASTER_KEY"
_NOT_VALID: Final = "camera {} has a value that no device accepts: {}"
_TOO_LARGE: Final = (
    "the configuration of {} cameras takes {} KiB, and a message to a device at most {} KiB: give the device fewer"
    " cameras, or shorten their settings"
)


class Outgoing(NamedTuple):
    """A configuration on its way to a device: the command, or why it cannot be sent."""

    device_id: str
    site_id: str
    version: int
    command: ConfigureCommand | None
    problem: str | None = None


class _CannotSendError(Exception):
    """The configuration cannot be sent until a person changes something; the text says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationSender:
    """Builds and publishes configurations. Its steps are separate, because nothing is published in a transaction."""

    publisher: CommandPublisher
    passwords: CameraPasswords
    clock: Clock
    new_id: Callable[[], str] = lambda: str(uuid4())

    def send(self, transaction: Transaction, devices: Collection[str]) -> int:
        """Send their configurations to those of the devices that are behind; return the number sent.

        A failure of the broker is logged, and the configuration is due again later.

        Raises:
            VedetteError: the database is unavailable.
        """
        with transaction() as connection:
            outgoing = self.prepare(connection, devices, online_only=False)
        if not outgoing:
            return 0
        published = self.publish(outgoing)
        with transaction() as connection:
            record_outcomes(connection, published)
        return sum(one.command is not None for one in published)

    def prepare(self, connection: Connection, devices: Collection[str], *, online_only: bool) -> list[Outgoing]:
        """Return what is due for the devices. With ``online_only``, those that are offline are left out."""
        due = due_configurations(connection, devices, online_only=online_only) if devices else ()
        outgoing: list[Outgoing] = []
        for desired in due:
            head = (desired.device_id, desired.site_id, desired.version)
            try:
                outgoing.append(Outgoing(*head, self._command(connection, desired)))
            except _CannotSendError as error:
                outgoing.append(Outgoing(*head, None, str(error)))
            except TransientError as error:
                log.warning("deferring the configuration of device %s: %s", desired.device_id, error)
        return outgoing

    def publish(self, outgoing: Sequence[Outgoing]) -> list[Outgoing]:
        """Publish the commands; return those that were published, and those that cannot be sent."""
        done: list[Outgoing] = []
        for one in outgoing:
            if one.command is not None:
                try:
                    send_command(self.publisher, site_id=one.site_id, device_id=one.device_id, command=one.command)
                except VedetteError as error:
                    log.warning("sending the configuration to device %s failed: %s", one.device_id, error)
                    if isinstance(error, TransientError):  # the others would fail too
                        break
                    continue
            done.append(one)
        return done

    def camera_to_test(self, connection: Connection, camera_id: UUID) -> DeviceCamera | None:
        """Return how a device finds the camera, for the test of its connection: without settings of its pictures.

        None if the API does not configure the device, or cannot send the camera to it: the device then tests what it
        runs.
        """
        found = find_desired_camera(connection, camera_id)
        if found is None:
            return None
        try:
            camera = self._camera(connection, *found)
        except _CannotSendError as error:
            log.warning("a camera is tested as its device runs it: %s", error)
            return None
        settings = {name: value for name, value in camera.settings.items() if name == "stream"}
        return camera.model_copy(update={"settings": settings})

    def _command(self, connection: Connection, desired: DesiredConfiguration) -> ConfigureCommand:
        command = ConfigureCommand(
            command_id=self.new_id(),
            issued_at=self.clock.now().astimezone(UTC),
            version=desired.version,
            cameras=[self._camera(connection, camera, desired.public_key) for camera in desired.cameras],
        )
        size = len(command.model_dump_json(exclude_none=True).encode())
        if size > MAX_COMMAND_BYTES:
            text = _TOO_LARGE.format(len(desired.cameras), -(-size // 1024), MAX_COMMAND_BYTES // 1024)
            raise _CannotSendError(text)
        return command

    def _camera(self, connection: Connection, camera: DesiredCamera, public_key: str | None) -> DeviceCamera:
        password_sealed = self._sealed_password(connection, camera, public_key)
        try:
            return DeviceCamera(
                camera_id=camera.slug,
                source=camera.rtsp_url,
                username=camera.username,
                password_sealed=password_sealed,
                enabled=camera.is_active,
                enable_detection=camera.enable_detection,
                detection_sensitivity=camera.detection_sensitivity,
                settings=camera.settings,
            )
        except ValidationError as error:  # a row that was not written by the API
            fields = ", ".join(sorted({str(part["loc"][0]) for part in error.errors()}))
            raise _CannotSendError(_NOT_VALID.format(camera.slug, fields)) from None

    def _sealed_password(self, connection: Connection, camera: DesiredCamera, public_key: str | None) -> str | None:
        """Return the password, sealed to the device instead of the database."""
        if camera.password_sealed is None:
            return None
        if public_key is None:
            raise _CannotSendError(_NO_DEVICE_KEY.format(camera.slug))
        try:
            password = self.passwords.open(connection, camera.password_sealed, camera_id=camera.id)
        except (ConfigurationError, PermanentError) as error:
            log.warning("the password of camera %s cannot be opened: %s", camera.slug, error)
            raise _CannotSendError(_NOT_OPENED.format(camera.slug)) from None
        try:
            return seal_password(password, public_key=public_key, camera_id=camera.slug)
        except PermanentError as error:
            raise _CannotSendError(str(error)) from None


def record_outcomes(connection: Connection, published: Sequence[Outgoing]) -> None:
    """Store which versions were sent, and why the others cannot be."""
    for one in sorted(published, key=lambda one: one.device_id):
        if one.command is not None:
            record_sent(connection, one.device_id, one.version)
        else:
            record_not_sent(connection, one.device_id, one.version, one.problem or "")
