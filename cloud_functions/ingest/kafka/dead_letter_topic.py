"""Sends rejected messages to a Kafka topic, for deployments without SQS."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloud_functions.ingest.sources.messages import Rejection

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

log = logging.getLogger(__name__)

DELIVERY_TIMEOUT_S: Final = 10.0
PRODUCER_PROPERTIES: Final = {"acks": "all", "linger.ms": 0, "message.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000)}
"""A dead letter that times out is not delivered later: its record is consumed again first."""


class KafkaDeadLetters:
    """Sends each rejected record, as JSON, to one topic; reason, detail and topic travel as headers."""

    def __init__(self, *, producer: Producer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    def send(self, rejections: Sequence[Rejection]) -> set[str]:
        failed = {rejection.message_id for rejection in rejections}

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            key = message.key()
            if error is None and key is not None:
                failed.discard(key.decode())
            else:
                log.warning("a dead letter could not be sent: %s", error)

        for rejection in rejections:
            try:
                self._producer.produce(
                    self._topic,
                    rejection.body.encode(),
                    key=rejection.message_id.encode(),
                    headers=[(name, value.encode()) for name, value in _headers(rejection).items() if value],
                    on_delivery=on_delivery,
                )
            except BufferError:
                break  # the queue is full: the remaining records are consumed again
        self._producer.flush(DELIVERY_TIMEOUT_S + 1)
        return failed


def _headers(rejection: Rejection) -> dict[str, str]:
    return {"reason": rejection.reason, "detail": rejection.detail, "topic": rejection.topic}
