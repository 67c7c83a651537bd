"""Subscribers of Redis: each receives what follows its subscription, whatever the others do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from cloud_functions.fanout.handler import build_fanout
from tests.integration.test_fanout_redis import records


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    one = redis.Redis.from_url(redis_url, decode_responses=True, socket_timeout=None)
    yield one
    one.close()


def test_each_subscriber_receives_what_follows_its_subscription(redis_url: str, client: Any) -> None:
    """One that comes later gets no earlier event, and one that leaves does not affect the others."""
    fanout = build_fanout({"REDIS_URL": redis_url, "REDIS_CHANNEL_NAME": "each"})

    def subscribe() -> Any:
        listener = client.pubsub()
        listener.subscribe("each")
        assert listener.get_message(timeout=10)["type"] == "subscribe"
        return listener

    def next_camera(listener: Any) -> str:
        return json.loads(listener.get_message(timeout=10)["data"])["camera_id"]

    first, leaving = subscribe(), subscribe()
    assert fanout.handle(records(1, camera="before")) == {"batchItemFailures": []}
    assert next_camera(leaving) == "before"
    leaving.close()
    late = subscribe()
    assert fanout.handle(records(1, camera="after")) == {"batchItemFailures": []}
    assert [next_camera(first), next_camera(first), next_camera(late)] == ["before", "after", "after"]
    first.close()
    late.close()
