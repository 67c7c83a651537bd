"""A Kafka cluster for tests: librdkafka's mock cluster, which listens on loopback and implements the real protocol.

It has brokers, topics, consumer groups with heartbeats and rebalances, and committed offsets. The client library
includes it, so nothing needs to be installed, and it starts in milliseconds. Python's client does not expose it, so
this module calls the C interface.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

_CLIENT: Mapping[str, Any] = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 250,
    "topic.metadata.refresh.interval.ms": 500,
    "retry.backoff.ms": 50,
    "log_level": 2,
}
FAST_CONSUMER: Mapping[str, Any] = {
    **_CLIENT,
    "session.timeout.ms": 1500,
    "heartbeat.interval.ms": 200,
    "fetch.error.backoff.ms": 50,
}
"""Options for a consumer whose group members are killed: it detects a lost member within seconds."""

_PRODUCER = 0
_PRODUCE = 0  # the API key of the request in the protocol
_TOPIC_AUTHORIZATION_FAILED = 29
_POINTER, _NUMBER, _TEXT = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p
_FUNCTIONS: Mapping[str, tuple[Any, list[Any]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_conf_set": (ctypes.c_int, [_POINTER, _TEXT, _TEXT, _TEXT, ctypes.c_size_t]),
    "rd_kafka_new": (_POINTER, [ctypes.c_int, _POINTER, _TEXT, ctypes.c_size_t]),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, ctypes.c_int]),
    "rd_kafka_mock_cluster_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (_TEXT, [_POINTER]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [_POINTER, _NUMBER]),
    "rd_kafka_mock_topic_create": (ctypes.c_int, [_POINTER, _TEXT, ctypes.c_int, ctypes.c_int]),
    "rd_kafka_mock_push_request_errors_array": (
        None,
        [_POINTER, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)],
    ),
    "rd_kafka_mock_broker_set_down": (ctypes.c_int, [_POINTER, _NUMBER]),
    "rd_kafka_mock_broker_set_up": (ctypes.c_int, [_POINTER, _NUMBER]),
}


def _library() -> ctypes.CDLL:
    """Return the librdkafka that is in the wheel of confluent_kafka."""
    package = Path(confluent_kafka.__file__).parent
    libraries = [
        *package.parent.glob("confluent_kafka.libs/librdkafka*.so*"),
        *package.glob(".dylibs/librdkafka*.dylib"),
    ]
    library = ctypes.CDLL(str(libraries[0]))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class KafkaCluster:
    """One broker on loopback. Its data is lost when it ends."""

    def __init__(self, *, rebalance_delay_ms: int = 50) -> None:
        self._library = _library()
        error = ctypes.create_string_buffer(512)
        settings = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(settings, b"log_level", b"2", error, len(error))
        self._owner = self._library.rd_kafka_new(_PRODUCER, settings, error, len(error))
        assert self._owner, error.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._owner, 1)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, rebalance_delay_ms)
        self.brokers: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, *, partitions: int) -> None:
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1) == 0

    def take_down(self) -> None:
        """Close all connections and refuse new ones; topics and offsets are kept."""
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, 1) == 0

    def bring_up(self) -> None:
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, 1) == 0

    def refuse_produce(self, times: int) -> None:
        """Reject the next ``times`` produce requests of any client with an error that clients do not retry."""
        refusals = (ctypes.c_int * times)(*[_TOPIC_AUTHORIZATION_FAILED] * times)
        self._library.rd_kafka_mock_push_request_errors_array(self._cluster, _PRODUCE, times, refusals)

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._owner)

    def produce(self, topic: str, values: Iterable[bytes | None], **fields: Any) -> None:
        """Produce records to the topic's partitions in turn, and wait until the broker has stored them."""
        producer = Producer({"bootstrap.servers": self.brokers, **_CLIENT})
        count = self.partitions(topic)
        undelivered: list[Any] = []
        for number, value in enumerate(values):
            producer.produce(
                topic, value, partition=number % count, on_delivery=lambda error, _: undelivered.append(error), **fields
            )
            producer.poll(0)
        assert producer.flush(20) == 0
        assert [error for error in undelivered if error is not None] == []

    def produce_events(self, topic: str, events: Iterable[Mapping[str, Any]]) -> None:
        self.produce(topic, (json.dumps(event).encode() for event in events))

    def partitions(self, topic: str) -> int:
        producer = Producer({"bootstrap.servers": self.brokers, **_CLIENT})
        return len(producer.list_topics(topic, timeout=10).topics[topic].partitions)

    def committed(self, topic: str, *, group: str) -> dict[int, int]:
        """Return the committed offset of each partition that has one."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": group, **FAST_CONSUMER})
        try:
            partitions = [TopicPartition(topic, number) for number in range(self.partitions(topic))]
            offsets = consumer.committed(partitions, timeout=10)
        finally:
            consumer.close()
        return {place.partition: place.offset for place in offsets if place.offset >= 0}

    def read(self, topic: str, count: int) -> list[Any]:
        """Return the first ``count`` records of a topic."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "reader", **FAST_CONSUMER})
        consumer.assign([TopicPartition(topic, number, 0) for number in range(self.partitions(topic))])
        messages: list[Any] = []
        try:
            while len(messages) < count:
                got = consumer.consume(count - len(messages), 10)
                assert got, f"only {len(messages)} records arrived"
                messages += got
        finally:
            consumer.close()
        return messages
