"""A real HTTP server that receives deliveries and behaves as a test wants, and a fan-out that delivers to it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from cloud_functions.fanout.messages import Delivery
from cloud_functions.fanout.targets.webhook import WebhookTarget
from cloud_functions.fanout.webhooks.addresses import AddressPolicy
from cloud_functions.fanout.webhooks.dispatcher import Dispatcher
from cloud_functions.fanout.webhooks.receiver import Receiver
from cloud_functions.privacy.webhook_secrets import WebhookSecrets
from shared.clock import SystemClock
from tests.support.api_calls import database_at, store, stored_event
from tests.support.protected_sites import keys

LOOPBACK = "127.0.0.0/8"


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answers."""

    status: int = 204
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    drip_s: float | None = None
    """Send the body one byte at a time, so far apart."""


class ReceivingServer:
    """Records each request and answers what ``behave`` returns for it. ``behave`` may also block."""

    def __init__(
        self, behave: Callable[[Received], Reply] = lambda _: Reply(), *, certificate: tuple[Path, Path] | None = None
    ) -> None:
        """``certificate``: certificate and key of an https server."""
        self.received: list[Received] = []
        self.behave = behave
        self.ended = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                one = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                outer.received.append(one)
                reply = outer.behave(one)
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(reply.body)), **(reply.headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self._write(reply)

            def _write(self, reply: Reply) -> None:
                if reply.drip_s is None:
                    self.wfile.write(reply.body)
                    return
                for byte in reply.body:
                    if outer.ended.wait(reply.drip_s):
                        return
                    try:
                        self.wfile.write(bytes([byte]))
                    except OSError:
                        return

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificate is not None:
            scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self._server.server_address[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}/events?from=vedette"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiving(
    behave: Callable[[Received], Reply] = lambda _: Reply(), *, certificate: tuple[Path, Path] | None = None
) -> Generator[ReceivingServer]:
    """Yield a running server."""
    server = ReceivingServer(behave, certificate=certificate)
    try:
        yield server
    finally:
        server.close()


class WebhookFanout:
    """The fan-out function's target on a database, and rows to deliver."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        networks: str = LOOPBACK,
        timeout_s: float = 5.0,
        in_background: bool = False,
        resolve_host: Callable[[str, int], Sequence[str]] | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        max_pending: int = 10_000,
    ) -> None:
        self.url = url
        resolving: dict[str, Any] = {} if resolve_host is None else {"resolve_host": resolve_host}
        dispatcher = Dispatcher(
            database=database_at(url),
            secrets=WebhookSecrets(master_keys=keys(folder)),
            open_receiver=partial(
                Receiver, policy=AddressPolicy.parse(networks), timeout_s=timeout_s, tls=tls, **resolving
            ),
            clock=SystemClock(),
        )
        self.target = WebhookTarget(dispatcher=dispatcher, in_background=in_background, max_pending=max_pending)

    def publish(self, event_type: str = "motion", **fields: Any) -> dict[str, Any]:
        """Store an event, deliver its document, and return the document."""
        document = self.stored(event_type, **fields)
        assert self.target.deliver([self.delivery(document)]) == set()
        return document

    def stored(self, event_type: str = "motion", **fields: Any) -> dict[str, Any]:
        """Store an event and return its document."""
        row = stored_event(event_type, **({"event_id": str(uuid4())} | fields))
        [number] = store(self.url, [row])
        return row | {"id": number, "timestamp": row["timestamp"].isoformat()}

    def delivery(self, document: dict[str, Any]) -> Delivery:
        return Delivery(str(uuid4()), json.dumps(document), document)

    def repeat(self) -> None:
        """Do what the schedule's event does, with nothing paused and everything due."""
        self.execute("UPDATE webhooks SET paused_until = NULL, leased_until = NULL")
        self.execute("UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 second'")
        self.target.deliver([])

    def execute(self, query: Any) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self.target.close()
