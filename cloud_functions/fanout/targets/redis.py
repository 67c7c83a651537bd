"""Publishes events to Redis channels: ``events``, ``events:{type}`` and ``events:camera:{camera_id}``; and to a stream.

``REDIS_CHANNEL_NAME`` replaces the word ``events`` in the names of the channels. A subscriber that is not connected
misses the event on a channel. The stream (``REDIS_STREAM``) keeps the latest events.
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

_TIMEOUT_S: Final = 1.0
"""Short, because the queue keeps events that could not be published. (The default is 5 s and a retry.)"""


def channels_of(delivery: Delivery, *, channel: str) -> tuple[str, str, str]:
    """Return the channels of this event: ``channel``, that of its type and that of its camera."""
    return channel, f"{channel}:{delivery.event_type}", f"{channel}:camera:{delivery.camera_id}"


class RedisTarget:
    """Publishes a batch of events in one round trip."""

    def __init__(
        self,
        *,
        client: redis.Redis,
        channel: str = "events",
        stream: str | None = None,
        stream_length: int = 100_000,
    ) -> None:
        self._client = client
        self._channel = channel
        self._stream = stream
        self._stream_length = stream_length

    def deliver(self, deliveries: Sequence[Delivery]) -> set[str]:
        if not deliveries:
            return set()
        from redis.exceptions import RedisError

        pipeline = self._client.pipeline(transaction=False)
        for delivery in deliveries:
            for channel in channels_of(delivery, channel=self._channel):
                pipeline.publish(channel, delivery.document)
            if self._stream is not None:
                pipeline.xadd(self._stream, {"event": delivery.document}, maxlen=self._stream_length, approximate=True)
        try:
            replies: list[Any] = pipeline.execute(raise_on_error=False)
        except RedisError as error:
            log.warning("events could not be published to Redis: %s", type(error).__name__)
            return {delivery.message_id for delivery in deliveries}
        commands = len(replies) // len(deliveries)
        failed: set[str] = set()
        for number, reply in enumerate(replies):
            if isinstance(reply, Exception):
                log.warning("Redis rejected an event: %s", type(reply).__name__)
                failed.add(deliveries[number // commands].message_id)
        return failed


def build(settings: FanoutSettings) -> RedisTarget:
    """Return the target for the server of the settings. It connects on first use, and again after a failure."""
    if settings.redis_url is None:
        raise ConfigurationError("REDIS_URL is not set: set it (redis:// or rediss://), or REDIS_HOST")
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
    return RedisTarget(
        client=client,
        channel=settings.redis_channel,
        stream=settings.redis_stream,
        stream_length=settings.redis_stream_length,
    )
