"""Fan-out to a real Redis: channels, the stream, and an unavailable server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from cloud_functions.fanout.handler import build_fanout
from tests.unit.cloud_functions.fanout.test_fanout import aws_event


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    one = redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=None)
    yield one
    one.close()


def records(count: int, *, camera: str) -> dict[str, Any]:
    record = aws_event("sns_sqs_raw")["Records"][0]
    document = json.loads(record["body"])
    return {
        "Records": [
            record | {"messageId": f"m{number}", "body": json.dumps(document | {"id": number, "camera_id": camera})}
            for number in range(count)
        ]
    }


def test_an_event_goes_to_its_three_channels(redis_url: str, client: redis.Redis) -> None:
    """The channel of all events, that of its type, and that of its camera."""
    fanout = build_fanout({"REDIS_URL": redis_url})
    listener = client.pubsub(ignore_subscribe_messages=True)
    channels = ["events", "events:tracking", "events:camera:three"]
    listener.subscribe(*channels)
    while client.pubsub_numsub(channels[-1])[0][1] == 0:
        time.sleep(0.005)
    assert fanout.handle(records(2, camera="three")) == {"batchItemFailures": []}
    heard: list[tuple[str, int]] = []
    deadline = time.monotonic() + 10
    while len(heard) < 6 and time.monotonic() < deadline:
        message = listener.get_message(timeout=1)
        if message and json.loads(message["data"])["camera_id"] == "three":
            heard.append((message["channel"], json.loads(message["data"])["id"]))
    assert heard == [(channel, number) for number in range(2) for channel in channels]
    listener.close()


def test_host_port_database_and_channel_are_settings(redis_url: str, client: redis.Redis) -> None:
    """The documented variables lead to the same server, and the channels begin with the chosen name."""
    address = urlsplit(redis_url)
    variables = {"REDIS_HOST": str(address.hostname), "REDIS_PORT": str(address.port), "REDIS_DB": "0"}
    fanout = build_fanout(variables | {"REDIS_CHANNEL_NAME": "gate"})
    listener = client.pubsub()
    channels = ["gate", "gate:tracking", "gate:camera:seven"]
    listener.subscribe(*channels)
    assert [listener.get_message(timeout=10)["type"] for _ in channels] == ["subscribe"] * 3
    assert fanout.handle(records(1, camera="seven")) == {"batchItemFailures": []}
    assert [listener.get_message(timeout=10)["channel"] for _ in channels] == channels
    listener.close()


def test_the_stream_keeps_the_latest(redis_url: str, client: redis.Redis) -> None:
    """The setting for its name enables the stream; its length is capped approximately."""
    variables = {"REDIS_URL": redis_url, "REDIS_STREAM": "test-stream", "REDIS_STREAM_LENGTH": "50"}
    fanout = build_fanout(variables)
    for _ in range(5):
        fanout.handle(records(100, camera="four"))
    assert 50 <= client.xlen("test-stream") < 300
    [(_, fields)] = client.xrevrange("test-stream", count=1)
    assert json.loads(fields["event"])["id"] == 99


def test_a_refused_command_fails_only_its_event(redis_url: str, client: redis.Redis) -> None:
    """The stream's key has another type: the events are on the channels, and all are returned for a retry."""
    client.set("not-a-stream", "text")
    fanout = build_fanout({"REDIS_URL": redis_url, "REDIS_STREAM": "not-a-stream"})
    assert fanout.handle(records(2, camera="five")) == {
        "batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]
    }


def test_cloud_19_unavailable_server_returns_the_batch_and_is_reconnected(redis_url: str, client: redis.Redis) -> None:
    """The batch is returned without a long wait, and a broken connection is replaced."""
    away = build_fanout({"REDIS_URL": "redis://127.0.0.1:1"})
    assert len(away.handle(records(3, camera="six"))["batchItemFailures"]) == 3
    fanout = build_fanout({"REDIS_URL": redis_url})
    assert fanout.handle(records(1, camera="six")) == {"batchItemFailures": []}
    for connection in client.client_list():
        if connection["name"] == "vedette-fanout":
            client.client_kill(connection["addr"])
    answers = [fanout.handle(records(1, camera="six")) for _ in range(2)]
    assert answers[-1] == {"batchItemFailures": []}
