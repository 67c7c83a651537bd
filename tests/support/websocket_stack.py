"""The WebSocket under uvicorn and the fan-out target that delivers to it, on a real database."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from cloud_functions.api.app import create_app
from cloud_functions.api.security.tokens import AccessTokens
from cloud_functions.api.websocket.handler import StreamHandler
from cloud_functions.api.websocket.server import WebSocketMiddleware
from cloud_functions.fanout.messages import Delivery
from cloud_functions.fanout.targets.websocket import WebSocketTarget
from cloud_functions.fanout.websocket.dispatcher import StreamDispatcher
from cloud_functions.fanout.websocket.gateway import ApiGateway
from shared.clock import SystemClock
from tests.support.api_calls import database_at, lambda_api, store, stored_event
from tests.support.served_app import served_app

TIMEOUT_S: Final = 30.0


class Client:
    """A client whose messages are JSON."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def ask(self, action: str, **fields: Any) -> dict[str, Any]:
        """Send a message and return the answer to it."""
        return self.ask_text(json.dumps({"action": action, **fields}))

    def ask_text(self, text: str | bytes) -> dict[str, Any]:
        self.connection.send(text)
        return self.receive()

    def receive(self) -> dict[str, Any]:
        return json.loads(self.connection.recv(timeout=TIMEOUT_S))

    def events(self, count: int) -> list[dict[str, Any]]:
        """Return the next events, which may come in several messages."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            message = self.receive()
            assert message["type"] == "events", message
            self.cursor: str = message["cursor"]
            found += message["events"]
        assert len(found) == count
        return found

    def numbers(self, count: int) -> list[int]:
        """Return the ``id`` of each of the next events."""
        return [event["id"] for event in self.events(count)]

    def has_nothing(self) -> bool:
        """Return whether no event is on its way: the answer to a ping is the next message."""
        return self.ask("ping") == {"type": "pong"}


class WebSocketStack:
    """One running API, its fan-out target, and rows to deliver."""

    def __init__(self, url: str, address: str, target: WebSocketTarget, gateway: ApiGateway) -> None:
        self.url = url
        self.address = address
        self.target = target
        self.gateway = gateway

    @contextmanager
    def client(self, headers: Mapping[str, str] | None = None, query: str = "", **options: Any) -> Generator[Client]:
        address = f"{self.address.replace('http', 'ws', 1)}/api/v1/websocket{query}"
        with connect(address, additional_headers=headers, proxy=None, ping_interval=None, **options) as connection:
            yield Client(connection)

    def slow_socket(self) -> socket.socket:
        """Return a connected socket that buffers little."""
        parts = urlsplit(self.address)
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((parts.hostname, parts.port))
        return one

    def publish(self, *events: dict[str, Any]) -> list[int]:
        """Store events, deliver them, and return their ids."""
        numbers = store(self.url, events)
        self.deliver(numbers)
        return numbers

    def deliver(self, numbers: Iterable[int] = ()) -> None:
        """Deliver the messages that ingest publishes for stored events."""
        assert self.target.deliver([self.message(number) for number in numbers]) == set()

    def message(self, number: int) -> Delivery:
        [(event_id, moment)] = self.execute('SELECT event_id, "timestamp" FROM events WHERE id = %s', number)
        document = {
            "id": number,
            "event_id": str(event_id),
            "event_type": "motion",
            "camera_id": "camera-1",
            "timestamp": moment.isoformat(),
        }
        return Delivery(str(uuid4()), json.dumps(document), document)

    def close_connections(self) -> None:
        """Close every connection from the server's side."""
        for (connection_id,) in self.execute("SELECT id FROM websocket_connections"):
            self.gateway.close(connection_id)

    def execute(self, query: Any, *parameters: Any) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []


def motion(camera: str = "camera-1", **fields: Any) -> dict[str, Any]:
    """Return an event to store."""
    return stored_event("motion", camera_id=camera, **fields)


@contextmanager
def websocket_stack(url: str, *, users: bool = False, budget_s: float = 60) -> Generator[WebSocketStack]:
    """Yield a running stack. With ``users`` it checks users and API keys."""
    with _served(url, users=users) as (address, port):
        gateway = ApiGateway(endpoint_url=f"http://127.0.0.1:{port}")
        dispatcher = StreamDispatcher(database=database_at(url), gateway=gateway, budget_s=budget_s, busy_budget_s=60)
        target = WebSocketTarget(dispatcher=dispatcher)
        target.deliver([])  # the stream begins behind what is stored
        try:
            yield WebSocketStack(url, address, target, gateway)
        finally:
            target.close()


@contextmanager
def _served(url: str, *, users: bool) -> Generator[tuple[str, int]]:
    tokens = AccessTokens(clock=SystemClock()) if users else None
    handler, dependencies = lambda_api(url, tokens=tokens)
    app = WebSocketMiddleware(
        create_app(dependencies=dependencies), handler=StreamHandler(dependencies), management_port=0
    )
    with served_app(app, ws="auto") as address:
        yield address, app.management_port
    handler.close()
