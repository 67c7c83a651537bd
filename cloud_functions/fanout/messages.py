"""Reads the SNS messages of a target's queue, with or without raw message delivery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from shared.errors import ConfigurationError


class Delivery(NamedTuple):
    """One event for one target."""

    message_id: str
    document: str
    """The flat event as JSON text, delivered unchanged."""
    event_type: str
    camera_id: str


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
        delivery = _read(record["messageId"], record["body"])
        if delivery is None:
            unreadable.append(record["messageId"])
        else:
            deliveries.append(delivery)
    return deliveries, unreadable


def _read(message_id: str, body: str) -> Delivery | None:
    try:
        flat = from_json(body)
        document = body
        if isinstance(flat, dict) and flat.get("Type") == "Notification":
            document = flat["Message"]
            flat = from_json(document)
        event_type, camera_id = flat["event_type"], flat["camera_id"]
    except (ValueError, KeyError, TypeError):
        return None
    if type(event_type) is not str or type(camera_id) is not str:
        return None
    return Delivery(message_id, document, event_type, camera_id)
