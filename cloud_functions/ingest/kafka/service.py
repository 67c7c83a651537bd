"""The composition root of the Kafka consumer: builds it from options and environment variables, and runs it."""

from __future__ import annotations

import gc
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cloud_functions.ingest.dead_letters import DeadLetters
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.ingest.ingest import Ingest
from cloud_functions.ingest.kafka.broker import KafkaSource, make_producer
from cloud_functions.ingest.kafka.consumer import KafkaIngest
from cloud_functions.ingest.kafka.dead_letter_topic import PRODUCER_PROPERTIES, KafkaDeadLetters
from cloud_functions.ingest.kafka.statistics import Statistics
from cloud_functions.observability import InMemoryMetrics
from cloud_functions.settings import Environment, IngestSettings
from shared.errors import ConfigurationError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """What a consumer consumes, and how."""

    brokers: str
    """Bootstrap brokers, ``HOST:PORT``, comma-separated."""
    topics: Sequence[str]
    group: str
    dead_letter_topic: str | None = None
    """Topic for rejected messages; with None they go to the queue ``DEAD_LETTER_QUEUE_URL``."""
    properties: Mapping[str, str] = field(default_factory=dict[str, str])
    """Properties of librdkafka."""
    batch: int = 1000
    """Maximum number of records that are processed together."""
    linger_s: float = 0.1
    """Maximum wait for a full batch."""
    statistics_every: int = 100
    """Number of messages after which statistics are logged."""


def run_consumer(options: ConsumerOptions, *, variables: Mapping[str, str], stopped: Callable[[], bool]) -> None:
    """Consume until ``stopped`` returns True. ``variables``: the environment variables of the ingest function.

    Raises:
        ConfigurationError: a setting is missing or invalid.
        PermanentError: the consumer must be started again.
    """
    metrics = InMemoryMetrics()
    ingest = _ingest(options, variables, metrics)
    source = KafkaSource(
        brokers=options.brokers, group=options.group, topics=options.topics, properties=options.properties
    )
    consumer = KafkaIngest(
        source=source,
        ingest=ingest,
        statistics=Statistics(metrics=metrics, every=options.statistics_every, monotonic=time.monotonic),
        batch=options.batch,
        linger_s=options.linger_s,
    )
    gc.freeze()  # as in Lambda: exclude loaded modules from garbage collection
    source.join(on_revoked=consumer.revoked, on_lost=consumer.lost)
    log.info("consuming %s as %s", ", ".join(options.topics), options.group)
    try:
        consumer.run(stopped)
    finally:
        source.close()


def _ingest(options: ConsumerOptions, variables: Mapping[str, str], metrics: InMemoryMetrics) -> Ingest:
    dead_letters: DeadLetters | None = None
    if options.dead_letter_topic in options.topics:
        raise ConfigurationError(
            "--dead-letter-topic is also a --topic, so rejected messages would be consumed again: use another topic"
        )
    if options.dead_letter_topic:
        producer = make_producer(options.brokers, options.properties, **PRODUCER_PROPERTIES)
        dead_letters = KafkaDeadLetters(producer=producer, topic=options.dead_letter_topic)
    elif IngestSettings.from_environment(Environment(variables)).dead_letter_queue_url is None:
        raise ConfigurationError(
            "no destination for rejected messages, which would block their partition:"
            " set DEAD_LETTER_QUEUE_URL or pass --dead-letter-topic"
        )
    return build_ingest(variables, dead_letters=dead_letters, metrics=metrics)


def stopped_by_signal() -> Callable[[], bool]:
    """Return a function that says whether SIGTERM or SIGINT was received; a second signal ends the process."""
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return lambda: bool(received)
