"""The ingest queue of the one-machine stack: what maintenance sends reaches the broker."""

from __future__ import annotations

from pathlib import Path

from infra.local.aws.ingest_queue import ingest_queue_mapping
from infra.local.aws.queue_file import QueueFile
from infra.local.aws.resources import INGEST_QUEUE
from shared.errors import TransientError
from shared.iot_envelope import encode_ingest_message


def test_messages_of_the_ingest_queue_are_published_to_the_broker(tmp_path: Path) -> None:
    """Under their topics, byte by byte. One that cannot be published, or not be read, stays."""
    queues = QueueFile(tmp_path / "queues.db")
    topics = [f"vedette/hq/{device}/events/c/motion" for device in ("good", "bad")]
    bodies = [
        encode_ingest_message(topic=topic, payload=b"\xff{}", client_id="x", received_at_ms=1) for topic in topics
    ]
    queues.put(INGEST_QUEUE, [(body, "{}") for body in [*bodies, "not a message"]])
    published: list[tuple[str, bytes]] = []

    def publish(topic: str, payload: bytes) -> None:
        if "/bad/" in topic:
            raise TransientError("the broker is unavailable")
        published.append((topic, payload))

    ingest_queue_mapping(queues, publish).step(wait_s=0)
    assert published == [("vedette/hq/good/events/c/motion", b"\xff{}")]
    assert queues.count(INGEST_QUEUE) == 2
    queues.close()
