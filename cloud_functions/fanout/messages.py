"""Reads the messages of a target's queue: from SNS with or without raw message delivery, and of replays.

A message may be compressed, or addressed to one subscriber; its attributes say so (``event_messages``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from cloud_functions.event_messages import CONTENT_ENCODING, GZIP_BASE64, REPLAY_ID, WEBHOOK_ID, decompressed
from shared.errors import ConfigurationError, ContractError


class Replay(NamedTuple):
    """Marks a delivery that a replay sends again."""

    replay_id: str
    webhook_id: str | None = None
    """The webhook that alone receives it; None for every subscriber of the target."""


class Delivery(NamedTuple):
    """One event for one target."""

    message_id: str
    document: str
    """The flat event as JSON text, delivered unchanged. That of a replay says ``"replayed":true``."""
    flat: Mapping[str, Any]
    """The document, parsed. It has the texts ``event_type`` and ``camera_id``."""
    replay: Replay | None = None

    @property
    def event_type(self) -> str:
        return self.flat["event_type"]

    @property
    def camera_id(self) -> str:
        return self.flat["camera_id"]


def read_deliveries(event: Mapping[str, Any]) -> tuple[list[Delivery], list[str]]:
    """Return the deliveries of an SQS batch, and the ids of messages that are not events.

    Raises:
        ConfigurationError: the event source is not an SQS queue.
    """
    records = event.get("Records")
    if not isinstance(records, list):
        raise ConfigurationError("fan-out requires SQS batches from a queue that is subscribed to the events topic")
    deliveries: list[Delivery] = []
    unreadable: list[str] = []
    for record in records:
        delivery = _read(record)
        if delivery is None:
            unreadable.append(record["messageId"])
        else:
            deliveries.append(delivery)
    return deliveries, unreadable


def _read(record: Mapping[str, Any]) -> Delivery | None:
    try:
        document, flat, attributes = _content(record)
        replay_id = attributes.get(REPLAY_ID)
        replay = None if replay_id is None else Replay(replay_id, attributes.get(WEBHOOK_ID))
        if type(flat["event_type"]) is not str or type(flat["camera_id"]) is not str:
            return None
    except (ContractError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Delivery(record["messageId"], document, flat, replay)


def _content(record: Mapping[str, Any]) -> tuple[str, Any, dict[str, str]]:
    """Return the document of a message, decompressed, as text and as a dict; and the message's attributes."""
    body: str = record["body"]
    attributes = {name: value["stringValue"] for name, value in (record.get("messageAttributes") or {}).items()}
    if CONTENT_ENCODING not in attributes:  # it may be wrapped, and is JSON in any case
        flat = from_json(body)
        if not isinstance(flat, dict) or flat.get("Type") != "Notification":
            return body, flat, attributes
        body = flat["Message"]
        attributes = {name: value["Value"] for name, value in (flat.get("MessageAttributes") or {}).items()}
    encoding = attributes.get(CONTENT_ENCODING)
    if encoding is None:
        return body, from_json(body), attributes
    if encoding != GZIP_BASE64:
        raise ContractError(f"unknown content encoding {encoding[:40]!r}", reason="bad_encoding")
    document = decompressed(body)
    return document, from_json(document), attributes
