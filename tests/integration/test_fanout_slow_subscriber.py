"""Fan-out to a Redis with slow subscribers, without memory or with another password: no event is lost."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cloud_functions.fanout.handler import build_fanout
from infra.local.servers.redis import RedisServer
from tests.integration.test_fanout_redis import records
from tests.support.ports import reserve_port
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that only this module uses, because its tests change the settings."""
    server = RedisServer(folder=Path(tmp_path_factory.mktemp("redis")), port=reserve_port())
    server.process.start()
    yield server.url
    server.process.stop()


@pytest.fixture
def admin(own_redis: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_redis, decode_responses=True) as client:
        kept = {name: client.config_get(name)[name] for name in ("maxmemory", "client-output-buffer-limit")}
        yield client
        for name, value in kept.items():
            client.config_set(name, value)
        client.flushall()


def subscribe_and_never_read(url: str, channel: str) -> socket.socket:
    """Subscribe over a plain socket with a small buffer and never read from it."""
    address = redis.Redis.from_url(url).connection_pool.connection_kwargs
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((address["host"], address["port"]))
    if address.get("password"):
        client.sendall(f"AUTH {address['password']}\r\n".encode())
    client.sendall(f"CLIENT SETNAME sleeper\r\nSUBSCRIBE {channel}\r\n".encode())
    return client


def sleepers(admin: redis.Redis) -> int:
    return sum(client["name"] == "sleeper" for client in admin.client_list())


def test_cloud_19_subscriber_that_does_not_read_delays_no_other(own_redis: str, admin: redis.Redis) -> None:
    """Redis disconnects it when its buffer is full; another subscriber gets every event."""
    admin.config_set("client-output-buffer-limit", "pubsub 262144 0 0")
    sleeper = subscribe_and_never_read(own_redis, "events")
    eventually(lambda: admin.pubsub_numsub("events")[0][1] == 1 and sleepers(admin) == 1)
    listener = admin.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("events")
    eventually(lambda: admin.pubsub_numsub("events")[0][1] == 2)
    fanout = build_fanout({"REDIS_URL": own_redis})
    heard: list[int] = []
    for _ in range(60):
        assert fanout.handle(records(100, camera="slow")) == {"batchItemFailures": []}
        while message := listener.get_message(timeout=0.05):
            heard.append(json.loads(message["data"])["id"])
    assert heard == list(range(100)) * 60
    assert sleepers(admin) == 0
    listener.close()
    sleeper.close()


def test_cloud_19_server_without_memory_returns_the_batch(own_redis: str, admin: redis.Redis) -> None:
    """After an ``OOM`` error the batch is returned, and a retry succeeds when there is memory."""
    fanout = build_fanout({"REDIS_URL": own_redis, "REDIS_STREAM": "kept"})
    admin.config_set("maxmemory", "1")
    assert len(fanout.handle(records(3, camera="full"))["batchItemFailures"]) == 3
    admin.config_set("maxmemory", "0")
    assert fanout.handle(records(3, camera="full")) == {"batchItemFailures": []}
    assert admin.xlen("kept") == 3


def test_cloud_19_wrong_password_returns_the_batch_and_is_not_logged(
    own_redis: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No event is lost until the password is corrected, and the log contains neither password nor address."""
    host_and_port = own_redis.rpartition("@")[2].removeprefix("redis://")
    fanout = build_fanout({"REDIS_URL": f"redis://nobody:sesame-1@{host_and_port}"})
    assert len(fanout.handle(records(3, camera="locked"))["batchItemFailures"]) == 3
    assert "Redis" in caplog.text
    assert "sesame-1" not in caplog.text
