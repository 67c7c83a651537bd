"""The Kafka consumer (fetch, ingest, commit offsets) against direct calls of the ingest handler with the same batches.

They run in alternation, each with its own database on one server. The broker is librdkafka's mock cluster, whose
threads
use the same machine. Publications are prepared but not sent in all of them.
"""

from __future__ import annotations

import gc
import time
from base64 import b64encode
from typing import Any

from cloud_functions.db.migrate import upgrade
from cloud_functions.ingest.handler import build_ingest
from cloud_functions.ingest.kafka.broker import KafkaSource
from cloud_functions.ingest.kafka.consumer import KafkaIngest
from cloud_functions.ingest.kafka.statistics import Statistics
from cloud_functions.observability import InMemoryMetrics
from infra.local.servers.postgres import PostgresServer
from tests.benchmarks.bench_ingest import CountingPublisher
from tests.benchmarks.figures import Figure, interleaved_medians
from tests.benchmarks.filled_database import database_server
from tests.support.kafka_cluster import KafkaCluster
from tests.support.wire_events import batch, encoded, mixed_traffic

_ROUNDS = 15
_WARM_UP = 2
_DEVICES = 5  # two for each of the five devices of mixed_traffic
_PARTITIONS = 4
_TARGET_RATIO = 0.90


def run() -> list[Figure]:
    figures: list[Figure] = []
    cluster = KafkaCluster()
    with database_server() as server:
        for size, target in ((1000, _TARGET_RATIO), (100, None)):
            seconds = _measure(server, cluster, size)
            note = f"batch of {size}; handler {size / seconds['handler']:,.0f} events/s"
            figures += [
                Figure(
                    "ingest as a Kafka consumer", size / seconds["consumer"], "events/s", better="higher", note=note
                ),
                Figure(
                    "… of direct handler calls",
                    seconds["handler"] / seconds["consumer"],
                    "ratio",
                    target,
                    "higher",
                    note=f"batch of {size}",
                ),
                Figure(
                    "Lambda Kafka event of SQS event",
                    seconds["handler"] / seconds["lambda"],
                    "ratio",
                    better="higher",
                    note=f"batch of {size}",
                ),
            ]
    cluster.close()
    return figures


def _measure(server: PostgresServer, cluster: KafkaCluster, size: int) -> dict[str, float]:
    topic = f"bench-{size}"
    cluster.create_topic(topic, partitions=_PARTITIONS)
    traffic = [
        mixed_traffic(size, seed=seed, first_sequence=1 + seed * size // _DEVICES) for seed in range(_ROUNDS + _WARM_UP)
    ]
    publisher = CountingPublisher()

    def ingest(name: str) -> Any:
        server.create_database(f"{name}_{size}")
        url = server.url_of(f"{name}_{size}")
        upgrade(url)
        return build_ingest({"DATABASE_URL": url, "KAFKA_PARTIAL_RESPONSES": "1"}, publisher=publisher, metrics=metrics)

    metrics = InMemoryMetrics()
    by_queue, by_lambda = ingest("queue"), ingest("lambda")
    source = KafkaSource(brokers=cluster.brokers, group=topic, topics=[topic], properties={})
    statistics = Statistics(metrics=metrics, every=100, monotonic=time.monotonic)
    consumer = KafkaIngest(source=source, ingest=ingest("kafka"), statistics=statistics, batch=size, linger_s=1.0)
    for events in [mixed_traffic(size, seed=99), *traffic]:
        cluster.produce(topic, map(encoded, events))
    source.join(on_revoked=consumer.revoked, on_lost=consumer.lost)
    while statistics.messages < size:
        consumer.step()  # the consumer joins its group and processes the first batch
    time.sleep(1.0)  # all records are fetched, so only the consumer's own work is measured
    queue_events, lambda_events = iter([batch(one) for one in traffic]), iter([_lambda_event(one) for one in traffic])
    gc.freeze()  # as the handler and the service do after wiring
    seconds = interleaved_medians(
        {
            "handler": lambda: by_queue.handle(next(queue_events)),
            "consumer": consumer.step,
            "lambda": lambda: by_lambda.handle(next(lambda_events)),
        },
        rounds=_ROUNDS,
        warm_up=_WARM_UP,
    )
    source.close()
    if statistics.messages != (1 + len(traffic)) * size or publisher.count != (1 + 3 * len(traffic)) * size:
        raise RuntimeError(f"not every event was ingested: {statistics.messages}, {publisher.count}")
    return seconds


def _lambda_event(events: list[dict[str, Any]]) -> dict[str, Any]:
    records: dict[str, list[dict[str, Any]]] = {}
    for number, event in enumerate(events):
        partition, offset = number % _PARTITIONS, number // _PARTITIONS
        record = {"topic": "t", "partition": partition, "offset": offset, "timestamp": 1, "headers": []}
        records.setdefault(f"t-{partition}", []).append(record | {"value": b64encode(encoded(event)).decode()})
    return {"eventSource": "aws:kafka", "records": records}
