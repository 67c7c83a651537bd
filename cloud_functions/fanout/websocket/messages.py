"""The messages that connections receive from fan-out. All are JSON objects with a ``type``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from cloud_functions.db.events.json_size import short_numbers
from cloud_functions.db.events.record import FlatEvent, truncated_data
from cloud_functions.db.stream.order import cursor_text
from cloud_functions.db.stream.reading import StreamBatch

MAX_MESSAGE_BYTES: Final = 96 * 1024
"""Events of one message together, below API Gateway's limit of 128 KB for a message."""
MAX_EVENTS: Final = 200
"""Events of one message."""


def events_message(name: str, batch: StreamBatch) -> tuple[str, int] | None:
    """Return one message with the first events of the batch, and the position it reaches; None for an empty batch.

    An event that is too large comes without its data, like in the API.
    """
    documents: list[str] = []
    reached, size = 0, 0
    for position, event, match in batch.events:
        document = _document(event, match)
        document_bytes = len(document.encode("utf-8", "replace"))
        if documents and size + document_bytes > MAX_MESSAGE_BYTES:
            break
        documents.append(document)
        size += document_bytes
        reached = position
    if not documents:
        return None
    if len(documents) == len(batch.events):
        reached = batch.until
    head = f'"type":"events","subscription":{json.dumps(name)},"cursor":"{cursor_text(reached)}"'
    return f'{{{head},"events":[{",".join(documents)}]}}', reached


def heartbeat_message(positions: Mapping[str, int]) -> str:
    """Return the message of a connection to which nothing was sent for a while: the cursor of each subscription."""
    return _text({"type": "heartbeat", "cursors": _cursors(positions)})


def closing_message(code: str, detail: str, positions: Mapping[str, int]) -> str:
    """Return the last message before a connection is closed: why, and the cursor of each subscription."""
    return _text({"type": "closing", "code": code, "detail": detail, "cursors": _cursors(positions)})


def _cursors(positions: Mapping[str, int]) -> dict[str, str]:
    return {name: cursor_text(position) for name, position in positions.items()}


def _text(message: Mapping[str, object]) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _document(event: FlatEvent, match: str | None) -> str:
    """Return the JSON object of an event, or the document in its place, if it is not too large."""
    document = (
        replace(event, event_data_json=short_numbers(event.event_data_json)).to_json() if match is None else match
    )
    if len(document) * 4 <= MAX_MESSAGE_BYTES or len(document.encode("utf-8", "replace")) <= MAX_MESSAGE_BYTES:
        return document
    flat = event.to_dict() if match is None else json.loads(match)
    flat["event_data"] = truncated_data(event.event_data_json, event.id)
    return _text(flat)
