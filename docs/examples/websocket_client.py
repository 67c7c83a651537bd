"""Print events as they are stored, over WebSocket, and go on after an interruption without a gap. Needs ``websockets``.

    VEDETTE_TOKEN=vdk_… python websocket_client.py ws://127.0.0.1:8069/api/v1/websocket cursor.txt

``VEDETTE_TOKEN`` is an access token or an API key; without it, the server must allow callers without credentials. The
cursor of the last message is kept in a file, so that the program also goes on where it was after a restart.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

LONGEST_PAUSE_S = 30.0
SILENCE_S = 120.0
"""The server sends something at least every minute or so: after a longer silence the connection is dead."""


class RefusedError(Exception):
    """The server does not accept the credentials or the subscription: trying again does not help."""


class Recent:
    """The ids of the last events. After a crash of the server, the last ones may come a second time."""

    def __init__(self, size: int = 10_000) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._size = size

    def is_new(self, event_id: str) -> bool:
        """Remember the id; return whether it was unknown."""
        if event_id in self._ids:
            return False
        self._ids[event_id] = None
        if len(self._ids) > self._size:
            self._ids.popitem(last=False)
        return True


def follow(
    url: str,
    handle: Callable[[dict[str, Any]], None],
    *,
    cursor_file: Path,
    token: str | None = None,
    conditions: dict[str, Any] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Call ``handle`` with each event that meets the conditions until ``stopped``; raise RefusedError."""
    recent = Recent()
    pause_s = 0.5
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    while not stopped():
        reason = "stopped"
        try:
            with connect(url, additional_headers=headers, max_size=None) as connection:
                cursor = cursor_file.read_text() if cursor_file.exists() else None
                message = {"action": "subscribe", **(conditions or {})}
                connection.send(json.dumps(message if cursor is None else message | {"after": cursor}))
                while not stopped():
                    received = json.loads(connection.recv(timeout=SILENCE_S))
                    pause_s = 0.5
                    if received["type"] == "error":
                        raise RefusedError(f"{received['code']}: {received['detail']}")
                    for event in received.get("events", []):
                        if recent.is_new(event["event_id"]):
                            handle(event)
                    # Only now: what was not handled comes again.
                    save(cursor_file, received.get("cursor") or received.get("cursors", {}).get("default"))
        except InvalidStatus as error:
            if error.response.status_code in {401, 403}:
                raise RefusedError(error.response.body.decode()) from None
            reason = str(error)
        except (OSError, WebSocketException, TimeoutError) as error:
            reason = type(error).__name__
        if not stopped():
            print(f"{reason}: next attempt in {pause_s:g} s", file=sys.stderr, flush=True)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def save(cursor_file: Path, cursor: str | None) -> None:
    """Replace the file at once, so that a crash leaves the old cursor or the new one."""
    if cursor is not None:
        new = cursor_file.with_suffix(".new")
        new.write_text(cursor)
        new.replace(cursor_file)


def show(event: dict[str, Any]) -> None:
    """Print one event in one line."""
    print(event["id"], event["timestamp"], event["event_type"], event["camera_id"], flush=True)


if __name__ == "__main__":
    try:
        follow(
            sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8069/api/v1/websocket",
            show,
            cursor_file=Path(sys.argv[2] if len(sys.argv) > 2 else "cursor.txt"),
            token=os.environ.get("VEDETTE_TOKEN"),
        )
    except RefusedError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
