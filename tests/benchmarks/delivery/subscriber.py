"""A subscriber process: ``redis`` and ``websocket`` read, ``webhook`` receives and verifies deliveries.

Each event that is received is a line ``source event_id unix_time`` in the log. The webhook receiver behaves for each
path as ``PUT /PATH`` with the body ``ok``, ``500``, ``redirect`` or ``hang`` has set it. The WebSocket reader reads
nothing while the file ``--stall`` exists.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import redis
from redis.exceptions import RedisError
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from infra.local.processes.ports import LOOPBACK

METADATA_SERVICE: Final = "http://169.254.169.254/latest/meta-data/"
_HANG_S: Final = 600.0
_RECONNECT_S: Final = 0.05
_POLL_S: Final = 0.1


class Log:
    """The file of received events. Thread-safe, because each line is one ``write``."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, source: str, event_id: str) -> None:
        os.write(self._file, f"{source} {event_id} {time.time():.6f}\n".encode())


def read_stream(url: str, stream: str, log: Log, stopped: threading.Event) -> None:
    """Log every event of the stream; after a lost connection, continue after the last one that was read."""
    last = b"0-0"
    client = redis.Redis.from_url(url, socket_timeout=5)
    while not stopped.is_set():
        try:
            answer: Any = client.xread({stream: last}, count=500, block=500)
        except (RedisError, OSError):
            stopped.wait(_RECONNECT_S)
            continue
        for _, entries in answer or ():
            for entry_id, fields in entries:
                log.write("redis", json.loads(fields[b"event"])["event_id"])
                last = entry_id


def follow_websocket(url: str, log: Log, stall: Path, stopped: threading.Event) -> None:
    """Log every event; after a lost connection, resume from the cursor of the last message."""
    cursor: str | None = None
    while not stopped.is_set():
        try:
            with connect(url, max_size=None, max_queue=1) as connection:
                subscription = {"action": "subscribe"} | ({} if cursor is None else {"after": cursor})
                connection.send(json.dumps(subscription))
                while not stopped.is_set():
                    if stall.exists():
                        stopped.wait(_POLL_S)
                        continue
                    cursor = _read_message(connection, log) or cursor
        except (OSError, WebSocketException):
            stopped.wait(_RECONNECT_S)


def _read_message(connection: Connection, log: Log) -> str | None:
    """Log the events of the next message, if there is one soon; return its cursor."""
    try:
        message: dict[str, Any] = json.loads(connection.recv(timeout=_POLL_S))
    except TimeoutError:
        return None
    for event in message.get("events", []):
        log.write("faulty", event["event_id"])
    return message.get("cursor") or message.get("cursors", {}).get("default")


class Receiver(BaseHTTPRequestHandler):
    """The webhook receiver. Requests with a wrong signature are answered with 401 and not counted."""

    protocol_version = "HTTP/1.1"
    log: Log
    behaviours: dict[str, str]
    secrets: dict[str, str]
    stopped: threading.Event

    def do_PUT(self) -> None:
        """Set the behaviour, or with ``whsec_…`` the secret, of a path."""
        text = self._body().decode()
        (self.secrets if text.startswith("whsec_") else self.behaviours)[self.path] = text
        self._reply(204)

    def do_POST(self) -> None:
        body = self._body()
        behaviour = self.behaviours.get(self.path, "ok")
        if behaviour == "hang":
            self.stopped.wait(_HANG_S)
            self.close_connection = True
            return
        if behaviour == "500":
            self._reply(500)
        elif behaviour == "redirect":
            self._reply(302, location=METADATA_SERVICE)
        elif not self._is_signed(body):
            self._reply(401)
        else:
            self.log.write(self.path.lstrip("/"), self.headers["webhook-id"])
            self._reply(204)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def _is_signed(self, body: bytes) -> bool:
        secret = base64.b64decode(self.secrets[self.path].removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        return any(
            hmac.compare_digest(signature, f"v1,{digest}") for signature in self.headers["webhook-signature"].split()
        )

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _reply(self, status: int, *, location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()


def serve_webhooks(port: int, log: Log, stopped: threading.Event) -> None:
    """Serve until ``stopped`` is set."""
    attributes = {"log": log, "behaviours": {}, "secrets": {}, "stopped": stopped, "disable_nagle_algorithm": True}
    server = ThreadingHTTPServer((LOOPBACK, port), type("BenchReceiver", (Receiver,), attributes))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stopped.wait()
    server.shutdown()


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["redis", "webhook", "websocket"])
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--url", help="of Redis, or of the WebSocket")
    parser.add_argument("--stream", help="name of the stream in Redis")
    parser.add_argument("--port", type=int, help="of the webhook receiver")
    parser.add_argument("--stall", type=Path, help="the WebSocket is not read while this file exists")
    options = parser.parse_args()
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    log = Log(options.log)
    if options.kind == "redis":
        read_stream(options.url, options.stream, log, stopped)
    elif options.kind == "websocket":
        follow_websocket(options.url, log, options.stall, stopped)
    else:
        serve_webhooks(options.port, log, stopped)


if __name__ == "__main__":
    main()
