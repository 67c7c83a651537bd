"""Publishes events on Redis channels: ``events``, ``events:{type}``, ``events:camera:{camera_id}``; and to a stream.

Channels forget: who is not listening misses the event. The stream (switched on by ``REDIS_STREAM``) keeps the latest.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from cloud_functions.fanout.messages import Delivery
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    import redis

    from cloud_functions.settings import FanoutSettings

log = logging.getLogger(__name__)

ALL_EVENTS: Final = "events"
_TIMEOUT_S: Final = 1.0
"""A publisher must not wait: the queue keeps what could not be published. (redis-py would wait 5 s and then retry.)"""


def channels_of(delivery: Delivery) -> tuple[str, str, str]:
    """Return the channels that carry this event."""
    return ALL_EVENTS, f"{ALL_EVENTS}:{delivery.event_type}", f"{ALL_EVENTS}:camera:{delivery.camera_id}"


class RedisTarget:
    """Publishes a batch in one round trip."""

    def __init__(self, *, client: redis.Redis, stream: str | None = None, stream_length: int = 100_000) -> None:
        self._client = client
        self._stream = stream
        self._stream_length = stream_length

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        from redis.exceptions import RedisError

        pipeline = self._client.pipeline(transaction=False)
        for delivery in deliveries:
            for channel in channels_of(delivery):
                pipeline.publish(channel, delivery.document)
            if self._stream is not None:
                pipeline.xadd(self._stream, {"event": delivery.document}, maxlen=self._stream_length, approximate=True)
        try:
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        except RedisError as error:
            log.warning("Redis does not take events: %s", type(error).__name__)
            return {delivery.message_id for delivery in deliveries}
        commands = len(answers) // len(deliveries)
        failed: set[str] = set()
        for number, answer in enumerate(answers):
            if isinstance(answer, Exception):
                log.warning("Redis refused an event: %s", type(answer).__name__)
                failed.add(deliveries[number // commands].message_id)
        return failed


def build(settings: FanoutSettings) -> RedisTarget:
    """Return the target for ``REDIS_URL``; connects on first use, and again after a failure."""
    if settings.redis_url is None:
        raise ConfigurationError("REDIS_URL is not set: say where events are published (redis:// or rediss://)")
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    try:
        client = redis.Redis.from_url(
            settings.redis_url,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            client_name="vedette-fanout",
        )
    except ValueError:
        raise ConfigurationError("REDIS_URL must begin with redis://, rediss:// or unix://") from None
    return RedisTarget(client=client, stream=settings.redis_stream, stream_length=settings.redis_stream_length)
