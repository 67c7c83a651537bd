"""Receive events from a webhook: verify the signature, ignore repetitions, answer at once. Needs only Python.

    WEBHOOK_SECRET=whsec_… python webhook_receiver.py 8080

The secret is in the response that registered the webhook. A request that is not signed with it is refused.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE_S = 300
LARGEST_BODY_BYTES = 1024 * 1024
REMEMBERED = 10_000


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now_s: float | None = None) -> None:
    """Raise ValueError unless the body was signed with the secret within the last five minutes.

    While a secret is rotated, the header has two signatures; one that is right is enough.
    """
    message_id, sent_at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent_at.isdigit() or abs((time.time() if now_s is None else now_s) - int(sent_at)) > TOLERANCE_S:
        raise ValueError("the timestamp is missing or too far from now")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = hmac.digest(key, f"{message_id}.{sent_at}.".encode() + body, "sha256")
    signatures = [one.removeprefix("v1,") for one in headers.get("webhook-signature", "").split()]
    if not any(hmac.compare_digest(one.encode(), base64.b64encode(expected)) for one in signatures):
        raise ValueError("the signature is wrong")


class Seen:
    """Remembers the latest ids, because a delivery may be repeated."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, message_id: str) -> bool:
        if message_id in self._ids:
            return False
        self._ids[message_id] = None
        if len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)
        return True


def make_server(
    secret: str, handle: Callable[[dict[str, Any]], None], *, host: str = "127.0.0.1", port: int = 8080
) -> ThreadingHTTPServer:
    """Return a server that calls ``handle`` with each new event."""
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            if length > LARGEST_BODY_BYTES:
                self.send_error(413)
                return
            body = self.rfile.read(length)
            try:
                verify(secret, {name.lower(): value for name, value in self.headers.items()}, body)
            except ValueError as error:
                self.send_error(401, str(error))
                return
            if seen.is_new(self.headers["webhook-id"]):
                handle(json.loads(body))  # longer work belongs on a queue: the sender waits 15 seconds at most
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    return ThreadingHTTPServer((host, port), Handler)


def show(event: dict[str, Any]) -> None:
    """Print one event in one line."""
    print(event["timestamp"], event["event_type"], event.get("camera_id", "-"), flush=True)


if __name__ == "__main__":
    with make_server(
        os.environ["WEBHOOK_SECRET"], show, port=int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    ) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            sys.exit(130)
