"""Print events as Redis publishes them, and connect again after a failure. Needs the package ``redis``.

    python redis_consumer.py redis://localhost:6379 events

Redis does not repeat what it published while nobody listened: read the events of that time from the API.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import redis

LONGEST_PAUSE_S = 30.0


def consume(
    url: str,
    handle: Callable[[dict[str, Any]], None],
    *,
    channel: str = "events",
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Call ``handle`` with each event of ``channel`` until ``stopped`` returns True."""
    pause_s = 0.1
    while not stopped():
        # Without a timeout of the socket, a channel may be silent for long; the check finds a dead connection.
        client = redis.Redis.from_url(url, socket_timeout=None, health_check_interval=30)
        try:
            with client, client.pubsub(ignore_subscribe_messages=True) as subscriber:
                subscriber.subscribe(channel)
                while not stopped():
                    message = subscriber.get_message(timeout=1.0)
                    if message is not None:
                        pause_s = 0.1
                        handle(json.loads(message["data"]))
        except redis.RedisError as error:
            print(f"{type(error).__name__}: next attempt in {pause_s:g} s", file=sys.stderr)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def show(event: dict[str, Any]) -> None:
    """Print one event in one line."""
    print(event["timestamp"], event["event_type"], event["camera_id"], flush=True)


if __name__ == "__main__":
    try:
        consume(
            sys.argv[1] if len(sys.argv) > 1 else "redis://localhost:6379",
            show,
            channel=sys.argv[2] if len(sys.argv) > 2 else "events",
        )
    except KeyboardInterrupt:
        sys.exit(130)
