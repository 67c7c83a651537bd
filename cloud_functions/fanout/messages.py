"""Reads what SNS put on a target's queue, with raw message delivery or without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from shared.errors import ConfigurationError


class Delivery(NamedTuple):
    """One event on its way to one target."""

    message_id: str
    document: str
    """The flat event as JSON text, passed on as it is."""
    event_type: str
    camera_id: str


def read_deliveries(event: Mapping[str, Any]) -> tuple[list[Delivery], list[str]]:
    """Return the deliveries of an SQS batch, and the ids of messages that are none.

    Raises:
        ConfigurationError: the function was wired to something other than an SQS queue.
    """
    records = event.get("Records")
    if not isinstance(records, list):
        raise ConfigurationError("fan-out takes SQS batches from a queue that is subscribed to the events topic")
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
        told = from_json(body)
        document = body
        if isinstance(told, dict) and told.get("Type") == "Notification":
            document = told["Message"]
            told = from_json(document)
        event_type, camera_id = told["event_type"], told["camera_id"]
    except (ValueError, KeyError, TypeError):
        return None
    if type(event_type) is not str or type(camera_id) is not str:
        return None
    return Delivery(message_id, document, event_type, camera_id)
