"""A consumer of a Kafka broker through librdkafka. No other module imports confluent_kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cloud_functions.ingest.kafka.backlog import Partition
from cloud_functions.ingest.sources.kafka_records import KafkaRecord
from shared.errors import ConfigurationError, PermanentError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, Producer

log = logging.getLogger(__name__)

_DEFAULTS: Final[Mapping[str, Any]] = {
    "client.id": "vedette-ingest",
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "socket.keepalive.enable": True,
    "topic.metadata.refresh.interval.ms": 30_000,  # finds topics that are created later
    "max.poll.interval.ms": 600_000,  # enough for two batches in which every request to SNS times out
}
_FIXED: Final[Mapping[str, Any]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": False,
}
_COMMAND_LINE_OPTIONS: Final = {
    "bootstrap.servers": "--brokers",
    "metadata.broker.list": "--brokers",
    "group.id": "--group",
}

_LOG_INTERVAL_S: Final = 10.0
_REBALANCE_ERRORS: Final = frozenset({"REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID"})
"""Commit errors that are normal while a group rebalances."""

PartitionCallback = Callable[[Collection[Partition]], None]


def read_properties(path: Path) -> dict[str, str]:
    """Return the librdkafka properties in a file of ``name=value`` lines; lines that begin with ``#`` are comments.

    Raises:
        ConfigurationError: the file cannot be read, or sets a property that at-least-once delivery depends on.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    properties: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not name or name.startswith("#"):
            continue
        if not equals:
            raise ConfigurationError(f"{path}, line {number}: expected name=value, a librdkafka property")
        if name in _COMMAND_LINE_OPTIONS:
            raise ConfigurationError(f"{path}, line {number}: set {name} with the option {_COMMAND_LINE_OPTIONS[name]}")
        if name in _FIXED:
            raise ConfigurationError(f"{path}, line {number}: {name} cannot be changed: offsets follow the database")
        properties[name] = value
    return properties


def make_producer(brokers: str, properties: Mapping[str, Any], **more: Any) -> Producer:
    """Return a producer; raise ConfigurationError for an unknown or invalid property."""
    kafka = _library()
    try:
        return kafka.Producer({**properties, **more, "bootstrap.servers": brokers}, logger=LibrdkafkaLogger("producer"))
    except (kafka.KafkaException, TypeError, ValueError) as error:
        raise _configuration_error(error) from None


class LibrdkafkaLogger:
    """The logger of librdkafka. Connection failures, which repeat many times a second, are logged every ten seconds.

    Warnings about properties that apply only to consumers are dropped, because a producer may use the same file.
    """

    def __init__(self, name: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._logger = logging.getLogger(f"{__name__}.{name}")
        self._monotonic = monotonic
        self._quiet_until_s = float("-inf")

    def log(self, level: int, text: str, *arguments: object) -> None:
        """Log a line of the library; the first argument is its facility."""
        facility = arguments[0] if arguments else None
        if facility == "CONFWARN":
            return
        if facility == "FAIL":
            now_s = self._monotonic()
            if now_s < self._quiet_until_s:
                return
            self._quiet_until_s = now_s + _LOG_INTERVAL_S
        self._logger.log(level, text, *arguments)


def _library() -> Any:
    try:
        import confluent_kafka
    except ImportError as error:
        raise ConfigurationError("the Kafka consumer requires confluent-kafka: pip install 'vedette[kafka]'") from error
    return confluent_kafka


def _configuration_error(error: Exception) -> ConfigurationError:
    detail = error if isinstance(error, TypeError | ValueError) else error.args[0].str()
    return ConfigurationError(f"librdkafka rejects this configuration: {detail}")


class KafkaSource:
    """One member of a consumer group."""

    def __init__(self, *, brokers: str, group: str, topics: Sequence[str], properties: Mapping[str, str]) -> None:
        """Create the member, which joins with ``join``. Raise ConfigurationError for an invalid property."""
        self._kafka = _library()
        configuration: dict[str, Any] = {
            **_DEFAULTS, **properties, **_FIXED,
            "bootstrap.servers": brokers, "group.id": group, "error_cb": self._on_error,
        }  # fmt: skip
        try:
            self._consumer: Consumer = self._kafka.Consumer(configuration, logger=LibrdkafkaLogger("consumer"))
        except (self._kafka.KafkaException, TypeError, ValueError) as error:
            raise _configuration_error(error) from None
        self._topics = list(topics)
        self._assigned: set[Partition] = set()
        self._paused = False
        self._fatal: KafkaError | None = None

    def join(self, *, on_revoked: PartitionCallback, on_lost: PartitionCallback) -> None:
        """Join the group. While polling, ``on_revoked`` runs before a partition moves, ``on_lost`` after it moved."""

        def assigned(_: Consumer, partitions: list[Any]) -> None:
            self._assigned |= _partition_keys(partitions)
            if partitions:
                log.info("assigned %s; %d partitions in total", _partition_list(partitions), len(self._assigned))

        def revoked(_: Consumer, partitions: Iterable[Any]) -> None:
            log.info("revoked %s", _partition_list(partitions))
            on_revoked(_partition_keys(partitions))
            self._assigned -= _partition_keys(partitions)

        def lost(_: Consumer, partitions: Iterable[Any]) -> None:
            log.warning("lost %s", _partition_list(partitions))
            on_lost(_partition_keys(partitions))
            self._assigned -= _partition_keys(partitions)

        self._consumer.subscribe(self._topics, on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def poll(self, *, most: int, wait_s: float, linger_s: float) -> list[KafkaRecord]:
        """See ``RecordSource``; raise PermanentError if the broker has fenced this member."""
        if self._paused:
            self._consumer.pause(self._consumer.assignment())  # on each call, because there may be new partitions
        messages = self._consumer.consume(1, wait_s)
        if messages and most > 1:
            messages += self._consumer.consume(most - 1, linger_s)
        if self._fatal is not None:
            raise PermanentError(f"fatal Kafka error, restart the consumer: {self._fatal.str()}")
        return [record for message in messages if (record := self._record(message)) is not None]

    def commit(self, positions: Mapping[Partition, int]) -> bool:
        """See ``RecordSource``. A failed commit is repeated after the next batch."""
        offsets = [
            self._kafka.TopicPartition(*partition, offset)
            for partition, offset in positions.items()
            if partition in self._assigned
        ]
        if not offsets:
            return True
        try:
            results = self._consumer.commit(offsets=offsets, asynchronous=False)
        except self._kafka.KafkaException as error:
            kafka_error: KafkaError = error.args[0]
            level = logging.INFO if kafka_error.name() in _REBALANCE_ERRORS else logging.WARNING
            log.log(level, "offsets could not be committed: %s", kafka_error.str())
            return False
        failed = [result for result in results if result.error is not None]
        for result in failed:
            log.warning("the offset of %s-%d could not be committed: %s", result.topic, result.partition, result.error)
        return not failed

    def pause_fetching(self, paused: bool) -> None:
        if self._paused and not paused:
            self._consumer.resume(self._consumer.assignment())
        self._paused = paused

    def lag(self) -> int | None:
        """See ``RecordSource``; uses cached values only."""
        behind = [self._behind(place) for place in self._consumer.position(self._consumer.assignment())]
        known = [count for count in behind if count is not None]
        return sum(known) if known else None

    def _behind(self, place: Any) -> int | None:
        _, end = self._consumer.get_watermark_offsets(place, cached=True)
        return end - place.offset if end >= 0 and place.offset >= 0 else None

    def close(self) -> None:
        """Leave the group, so that other members take over at once."""
        self._consumer.close()

    def _record(self, message: Message) -> KafkaRecord | None:
        error = message.error()
        if error is not None:
            self._on_error(error)
            log.warning("Kafka: %s", error.str())
            return None
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if topic is None or partition is None or offset is None or (topic, partition) not in self._assigned:
            return None
        kind, timestamp_ms = message.timestamp()
        if kind == self._kafka.TIMESTAMP_NOT_AVAILABLE:
            timestamp_ms = time.time_ns() // 1_000_000
        headers: Any = message.headers() or ()
        return KafkaRecord(topic, partition, offset, timestamp_ms, message.key(), message.value(), headers)

    def _on_error(self, error: KafkaError) -> None:
        # librdkafka logs and repairs connection errors itself.
        if error.fatal():
            self._fatal = error
        elif error.code() == self._kafka.KafkaError._ALL_BROKERS_DOWN:
            log.warning("no broker is reachable; retrying")


def _partition_keys(partitions: Iterable[Any]) -> set[Partition]:
    return {(partition.topic, partition.partition) for partition in partitions}


def _partition_list(partitions: Iterable[Any]) -> str:
    return ", ".join(f"{topic}-{number}" for topic, number in sorted(_partition_keys(partitions))) or "nothing"
