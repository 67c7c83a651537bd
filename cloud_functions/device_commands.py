"""Publishes commands to devices, including requests for missing events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, timedelta
from typing import Any, Final, Protocol
from uuid import uuid4

from cloud_functions.aws import AwsClients, aws_error
from cloud_functions.db.devices.gaps import DueResend
from shared.clock import Clock
from shared.commands import Command, ResendCommand
from shared.errors import VedetteError
from shared.topics import DeviceTopics

log = logging.getLogger(__name__)

RESEND_VALID_FOR: Final = timedelta(minutes=10)


class CommandPublisher(Protocol):
    """Publishes to an MQTT topic at least once."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1; raise TransientError or PermanentError on failure."""
        ...


class IotCommandPublisher:
    """Publishes through the data plane of AWS IoT Core."""

    def __init__(self, *, aws: AwsClients, endpoint_url: str | None = None) -> None:
        self._aws = aws
        self._endpoint_url = endpoint_url

    def prepare(self) -> None:
        """Make the client now, which takes a second; otherwise the first command does. A failure is left to it."""
        try:
            self._client()
        except Exception as error:  # for example no region
            log.info("the client for commands to devices is made on first use: %s", type(error).__name__)

    def publish(self, topic: str, payload: bytes) -> None:
        try:
            self._client().publish(topic=topic, qos=1, payload=payload)
        except Exception as error:
            raise aws_error(error, doing="publishing a command") from error

    def _client(self) -> Any:
        return self._aws.client("iot-data", endpoint_url=self._endpoint_url)


def send_command(publisher: CommandPublisher, *, site_id: str, device_id: str, command: Command) -> None:
    """Publish one command to one device."""
    topic = DeviceTopics(site_id=site_id, device_id=device_id).command(command.command)
    publisher.publish(topic, command.model_dump_json(exclude_none=True).encode())


def request_resends(
    publisher: CommandPublisher,
    resends: Sequence[DueResend],
    *,
    clock: Clock,
    new_id: Callable[[], str] = lambda: str(uuid4()),
) -> int:
    """Send a ``resend`` command for each; return the number sent. The others are due again later."""
    sent = 0
    now = clock.now().astimezone(UTC)
    for resend in resends:
        command = ResendCommand(
            command_id=new_id(),
            issued_at=now,
            expires_at=now + RESEND_VALID_FOR,
            sequence_epoch=resend.sequence_epoch,
            ranges=resend.ranges,
        )
        try:
            send_command(publisher, site_id=resend.site_id, device_id=resend.device_id, command=command)
            sent += 1
        except VedetteError as error:
            log.warning("the resend command to device %s failed: %s", resend.device_id, error)
    return sent
