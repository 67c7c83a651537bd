"""Kafka records as ingest takes them, wherever they were read: out of a Lambda event (here) or by our own consumer."""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from shared.errors import ContractError

TOPIC_HEADER: Final = "vedette-topic"
"""The record header that names the MQTT topic a message came by; without it a record's value is an event."""

SOURCES: Final = frozenset({"aws:kafka", "SelfManagedKafka"})
"""What a Lambda event calls MSK and a Kafka of one's own."""

_KEPT_VALUE_BYTES: Final = 128 * 1024
_KEPT_KEY_BYTES: Final = 1024
_KEPT_HEADER_BYTES: Final = 8 * 1024


def record_id(topic: str, partition: int, offset: int) -> str:
    """Return the name of the record that lies there; see ``item_identifier``."""
    return f"{topic}-{partition}@{offset}"


class KafkaRecord(NamedTuple):
    """One record as the broker has it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    """None: a tombstone."""
    headers: Sequence[tuple[str, bytes | None]]

    @property
    def record_id(self) -> str:
        """Where the record lies; see ``item_identifier``."""
        return record_id(self.topic, self.partition, self.offset)

    def header(self, name: str) -> bytes | None:
        """Return the value of the last header of this name."""
        found = [value for key, value in self.headers if key == name]
        return found[-1] if found else None

    def text(self) -> str:
        """Return the record as JSON, for a person or a program that looks at what was rejected.

        A key, a value or headers larger than a dead-letter queue takes are cut; the whole of them lies at the offset.
        """
        value, key = self.value or b"", self.key
        told: dict[str, Any] = {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": self.timestamp_ms,
            "key": None if key is None else b64encode(key[:_KEPT_KEY_BYTES]).decode(),
            "value": None if self.value is None else b64encode(value[:_KEPT_VALUE_BYTES]).decode(),
            "headers": [[name, b64encode(content or b"").decode()] for name, content in self._kept_headers()],
        }
        if len(value) > _KEPT_VALUE_BYTES:
            told["value_bytes"] = len(value)
        return to_json(told).decode()

    def _kept_headers(self) -> Iterator[tuple[str, bytes | None]]:
        room = _KEPT_HEADER_BYTES
        for name, value in self.headers:
            room -= len(name.encode()) + len(value or b"") + 16
            if room < 0:
                return
            yield name, value


def item_identifier(record_id: str) -> dict[str, str | int]:
    """Return a record's id as Lambda wants it back: ``{"partition": "TOPIC-PARTITION", "offset": OFFSET}``."""
    partition, _, offset = record_id.rpartition("@")
    return {"partition": partition, "offset": int(offset)}


def record_from_lambda(given: Mapping[str, Any]) -> KafkaRecord:
    """Return one record of a Lambda event; raise ContractError where its base64 is none.

    Headers come as lists of Java's bytes, which are signed.
    """
    return KafkaRecord(
        given["topic"],
        given["partition"],
        given["offset"],
        given["timestamp"],
        _decoded(given.get("key"), "key"),
        _decoded(given.get("value"), "value"),
        [
            (name, bytes(number & 0xFF for number in value))
            for header in given.get("headers") or ()
            for name, value in header.items()
        ],
    )


def _decoded(text: str | None, name: str) -> bytes | None:
    if text is None:
        return None
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise ContractError(f"the record's {name} is not base64", reason="bad_envelope") from error
