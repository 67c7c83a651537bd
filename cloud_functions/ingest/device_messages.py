"""Records heartbeats, statuses and replies, and what they reveal: sequence gaps, the configuration of a device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from cloud_functions.db.cameras.health import record_camera_health
from cloud_functions.db.commands.record import record_reply
from cloud_functions.db.devices.canaries import SentCanary, remove_canary, store_canary
from cloud_functions.db.devices.configurations import (
    ReplyToConfigure,
    Report,
    record_configure_reply,
    record_reconnection,
    record_report,
)
from cloud_functions.db.devices.sequences import MAX_SEQUENCE, OutboxKey, Range, mark_lost, record_highest_sequence
from cloud_functions.db.devices.status import HeartbeatRow, record_heartbeat, record_status
from cloud_functions.db.events.json_size import check_stored_size
from cloud_functions.db.types import Connection
from cloud_functions.ingest.camera_snapshots import record_reply_snapshot
from cloud_functions.ingest.sources.messages import Message
from cloud_functions.ingest.validation import check_time
from cloud_functions.settings import GapSettings
from shared.commands import Reply
from shared.errors import ContractError
from shared.events import MAX_EVENT_BYTES, contract_error, holds_nul
from shared.heartbeat import DeviceStatus, Heartbeat
from shared.ids import is_uuid
from shared.redact import redact, redact_values
from shared.topics import TopicAddress

log = logging.getLogger(__name__)

Content = TypeVar("Content", bound=BaseModel)


class MessageLimits(NamedTuple):
    """The settings and times that a device message is checked against."""

    gaps: GapSettings
    now: datetime
    latest: datetime
    """The latest acceptable timestamp, as for events."""


class RecordedMessage(NamedTuple):
    """What follows from a device message."""

    is_behind: bool = False
    """Whether the device must be sent its configuration."""
    new_canary: SentCanary | None = None
    """A canary to publish once the message is committed."""


def record_device_message(
    connection: Connection, message: Message, address: TopicAddress, limits: MessageLimits
) -> RecordedMessage:
    """Record one device message in the caller's transaction; raise ContractError if it breaks the contract."""
    return _RECORDERS[address.kind](connection, message, address, limits)


def _heartbeat(
    connection: Connection, message: Message, address: TopicAddress, limits: MessageLimits
) -> RecordedMessage:
    heartbeat = _parse(Heartbeat, message)
    check_time(heartbeat.timestamp, limits.latest)
    received_at = _received_at(message, limits.now)
    settings = limits.gaps
    _check_owner(address, site_id=heartbeat.site_id, device_id=heartbeat.device_id)
    heartbeat_json = to_json(heartbeat, inf_nan_mode="null").decode()
    check_stored_size(heartbeat_json)
    row = HeartbeatRow(
        device_id=address.device_id,
        site_id=address.site_id,
        agent_version=heartbeat.agent_version[:200],
        heartbeat=heartbeat_json,
        at=min(heartbeat.timestamp, limits.now),  # a clock that runs ahead must not hide later heartbeats
        received_at=received_at,
    )
    record_heartbeat(connection, row)
    record_camera_health(connection, device_id=address.device_id, heartbeat_json=heartbeat_json, at=received_at)
    # After the cameras, which are locked first everywhere.
    is_behind = _record_configuration(connection, address.device_id, heartbeat, at=received_at)
    status = heartbeat.outbox
    outbox = OutboxKey(address.device_id, status.sequence_epoch)
    # Events that are pending on the device are not missing. It sends the oldest first, so the newest are pending.
    sent = min(status.last_sequence, MAX_SEQUENCE) - status.pending_events
    if sent > 0:
        record_highest_sequence(connection, outbox, settings, site_id=address.site_id, highest=sent)
    _mark_lost(connection, outbox, status.dropped_ranges, "dropped")
    return RecordedMessage(is_behind, _record_canary(connection, heartbeat))


def _record_canary(connection: Connection, heartbeat: Heartbeat) -> SentCanary | None:
    """Store the canary of a heartbeat; return it if it is new."""
    if heartbeat.canary is None:
        remove_canary(connection, heartbeat.device_id)
        return None
    canary = SentCanary(
        device_id=heartbeat.device_id,
        site_id=heartbeat.site_id,
        canary_id=heartbeat.canary.canary_id,
        every_s=heartbeat.canary.every_s,
        sent_at=heartbeat.canary.sent_at,
    )
    return canary if store_canary(connection, canary) else None


def _record_configuration(connection: Connection, device_id: str, heartbeat: Heartbeat, *, at: datetime) -> bool:
    """Record which configuration the device runs; return whether it should run another one."""
    configuration = heartbeat.configuration
    if configuration is None:
        report = Report(managed=False)
    else:
        report = Report(
            managed=True,
            public_key=heartbeat.public_key,
            applied_version=configuration.version,
            rejected_version=configuration.rejected_version,
            error=None if configuration.error is None else redact(configuration.error),
        )
    recorded = record_report(connection, device_id, report, at=at)
    if recorded.is_key_new:
        log.warning(
            "device %s has a new public key: its cameras' passwords are sealed to it from now on. If the device was"
            " not installed again, check who has its credentials",
            device_id,
        )
    return recorded.is_behind


def _status(connection: Connection, message: Message, address: TopicAddress, limits: MessageLimits) -> RecordedMessage:
    status = _parse(DeviceStatus, message)
    _check_owner(address, site_id=address.site_id, device_id=status.device_id)
    record_status(
        connection,
        site_id=address.site_id,
        device_id=address.device_id,
        status=status.status,
        at=_received_at(message, limits.now),
    )
    if status.status == "online":
        record_reconnection(connection, address.device_id)
    return RecordedMessage()  # its heartbeat follows


def _reply(connection: Connection, message: Message, address: TopicAddress, limits: MessageLimits) -> RecordedMessage:
    reply = _parse(Reply, message)
    _check_owner(address, site_id=reply.site_id, device_id=reply.device_id)
    if reply.snapshot is not None:
        check_time(reply.snapshot.captured_at, limits.latest)
    record_reply_snapshot(connection, reply)  # before the reply is announced
    if reply.sequence_epoch and reply.unavailable:
        _mark_lost(connection, OutboxKey(address.device_id, reply.sequence_epoch), reply.unavailable, "no longer held")
    if is_uuid(reply.command_id):
        # Only commands of the API have a row. The others, such as resend, are answered by the events that follow.
        reply_json = to_json(
            redact_values(reply.model_dump(mode="json", exclude_none=True)), inf_nan_mode="null"
        ).decode()
        check_stored_size(reply_json)
        record_reply(
            connection,
            UUID(reply.command_id),
            device_id=address.device_id,
            status=reply.status,
            reply_json=reply_json,
        )
    if reply.command == "configure" and reply.config_version is not None:
        outcome = ReplyToConfigure(
            ok=reply.status == "ok",
            applied_version=reply.config_version,
            rejected_version=reply.rejected_version,
            error=None if reply.error is None else redact(reply.error),
        )
        record_configure_reply(connection, address.device_id, outcome, at=_received_at(message, limits.now))
    return RecordedMessage()


_RECORDERS: Final[Mapping[str, Callable[[Connection, Message, TopicAddress, MessageLimits], RecordedMessage]]] = {
    "heartbeat": _heartbeat,
    "status": _status,
    "replies": _reply,
}
DEVICE_MESSAGE_KINDS: Final = frozenset(_RECORDERS)


def _mark_lost(connection: Connection, outbox: OutboxKey, ranges: list[Range], why: str) -> None:
    valid_ranges = [
        (first, min(last, MAX_SEQUENCE)) for first, last in ranges if 1 <= first <= last and first <= MAX_SEQUENCE
    ]
    gaps = mark_lost(connection, outbox, valid_ranges)
    if gaps:
        log.warning("events of device %s are lost, %s on the device (%d gaps)", outbox.device_id, why, gaps)


def _parse(kind: type[Content], message: Message) -> Content:
    if len(message.payload) > MAX_EVENT_BYTES:
        raise ContractError(
            f"a message of {len(message.payload)} bytes; the limit is {MAX_EVENT_BYTES}", reason="too_large"
        )
    if holds_nul(message.payload):
        raise ContractError("a message must not contain a NUL character", reason="nul_character")
    try:
        return kind.model_validate_json(message.payload)
    except ValidationError as error:
        event_error = contract_error(error)
        text = str(event_error).replace("not an event", f"not a {kind.__name__}", 1)
        raise ContractError(text, reason=event_error.reason) from error


def _check_owner(address: TopicAddress, *, site_id: str, device_id: str) -> None:
    if (site_id, device_id) != (address.site_id, address.device_id):
        raise ContractError("the message and its topic name different devices", reason="topic_mismatch")


def _received_at(message: Message, now: datetime) -> datetime:
    """Return when the broker received the message, at most ``now``: in Kafka the producer may set the time."""
    try:
        return min(datetime.fromtimestamp(message.received_at_ms / 1000, UTC), now)
    except (OverflowError, OSError, ValueError):
        raise ContractError("received_at_ms is not a valid time", reason="bad_envelope") from None
