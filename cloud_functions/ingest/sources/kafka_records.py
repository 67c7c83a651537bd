"""Kafka records, from a Lambda event or from the consumer in ``ingest.kafka``."""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic_core import to_json

from shared.errors import ContractError

TOPIC_HEADER: Final = "vedette-topic"
"""The record header with the MQTT topic of a message. Without it, the value of the record is an event."""

SOURCES: Final = frozenset({"aws:kafka", "SelfManagedKafka"})
"""The ``eventSource`` of MSK and of self-managed Kafka."""

_KEPT_VALUE_BYTES: Final = 128 * 1024
_KEPT_KEY_BYTES: Final = 1024
_KEPT_HEADER_BYTES: Final = 8 * 1024


def record_id(topic: str, partition: int, offset: int) -> str:
    """Return the id of the record at this offset; see ``item_identifier``."""
    return f"{topic}-{partition}@{offset}"


class KafkaRecord(NamedTuple):
    """One record of a Kafka topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    """None for a tombstone."""
    headers: Sequence[tuple[str, bytes | None]]

    @property
    def record_id(self) -> str:
        """The id of the record; see ``item_identifier``."""
        return record_id(self.topic, self.partition, self.offset)

    def header(self, name: str) -> bytes | None:
        """Return the value of the last header of this name."""
        values = [value for key, value in self.headers if key == name]
        return values[-1] if values else None

    def text(self) -> str:
        """Return the record as JSON, for the dead letters.

        A key, value or headers too large for a dead-letter queue are truncated; the topic has the whole record.
        """
        value, key = self.value or b"", self.key
        fields: dict[str, Any] = {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "timestamp": self.timestamp_ms,
            "key": None if key is None else b64encode(key[:_KEPT_KEY_BYTES]).decode(),
            "value": None if self.value is None else b64encode(value[:_KEPT_VALUE_BYTES]).decode(),
            "headers": [[name, b64encode(content or b"").decode()] for name, content in self._kept_headers()],
        }
        if len(value) > _KEPT_VALUE_BYTES:
            fields["value_bytes"] = len(value)
        return to_json(fields).decode()

    def _kept_headers(self) -> Iterator[tuple[str, bytes | None]]:
        free_bytes = _KEPT_HEADER_BYTES
        for name, value in self.headers:
            free_bytes -= len(name.encode()) + len(value or b"") + 16
            if free_bytes < 0:
                return
            yield name, value


def item_identifier(record_id: str) -> dict[str, str | int]:
    """Return the ``itemIdentifier`` of a record: ``{"partition": "TOPIC-PARTITION", "offset": OFFSET}``."""
    partition, _, offset = record_id.rpartition("@")
    return {"partition": partition, "offset": int(offset)}


def record_from_lambda(lambda_record: Mapping[str, Any]) -> KafkaRecord:
    """Return one record of a Lambda event; raise ContractError if its base64 is invalid.

    Lambda gives header values as lists of signed bytes.
    """
    return KafkaRecord(
        lambda_record["topic"],
        lambda_record["partition"],
        lambda_record["offset"],
        lambda_record["timestamp"],
        _decoded(lambda_record.get("key"), "key"),
        _decoded(lambda_record.get("value"), "value"),
        [
            (name, bytes(number & 0xFF for number in value))
            for header in lambda_record.get("headers") or ()
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
