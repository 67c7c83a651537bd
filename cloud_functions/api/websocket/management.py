"""The management API of connections under uvicorn: ``POST`` and ``DELETE /@connections/{id}``, on loopback only.

It is API Gateway's, so fan-out uses the same client. It has a port of its own, which no proxy of the API serves, and
refuses browsers.
"""

from __future__ import annotations

import logging
import threading
from enum import IntEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol
from urllib.parse import unquote

from cloud_functions.api.security.origin_check import refusal

log = logging.getLogger(__name__)

_PREFIX: Final = "/@connections/"
_MAX_BODY: Final = 128 * 1024
"""API Gateway's limit of a message."""
_LOOPBACK: Final = "127.0.0.1"


class Sent(IntEnum):
    """What came of a message, as the status of the response."""

    ACCEPTED = 200
    GONE = 410
    REFUSED = 429


class Connections(Protocol):
    """The open connections. Thread-safe."""

    def send(self, connection_id: str, text: str) -> Sent:
        """Send a message to a connection."""
        ...

    def close(self, connection_id: str) -> bool:
        """Close a connection; return whether there is one."""
        ...


class ManagementServer:
    """Serves requests on threads between ``start`` and ``stop``."""

    def __init__(self, connections: Connections, *, port: int) -> None:
        self._handler = type("ManagementHandler", (_Handler,), {"connections": connections})
        self._port = port
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen; log a warning if the port is in use, because everything else works without it."""
        try:
            server = ThreadingHTTPServer((_LOOPBACK, self._port), self._handler)
        except OSError as error:
            log.warning("WebSocket connections get no events: port %d cannot be used: %s", self._port, error)
            return
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, name="websocket-management", daemon=True).start()
        self._server = server

    @property
    def port(self) -> int:
        """The port on which the server listens, once started."""
        return self._port if self._server is None else self._server.server_address[1]

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connections: Connections

    def do_POST(self) -> None:
        body = self._body()
        connection_id = self._connection_id()
        if body is None or connection_id is None:
            return
        try:
            text = body.decode()
        except UnicodeDecodeError:
            self._answer(400, "BadRequestException")
            return
        sent = self.connections.send(connection_id, text)
        names = {Sent.GONE: "GoneException", Sent.REFUSED: "LimitExceededException"}
        self._answer(sent.value, names.get(sent))

    def do_DELETE(self) -> None:
        connection_id = self._connection_id()
        if connection_id is not None:
            is_closed = self.connections.close(connection_id)
            self._answer(204 if is_closed else 410, None if is_closed else "GoneException")

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) <= _MAX_BODY:
            return self.rfile.read(int(length))
        self.close_connection = True  # its body is not read
        self._answer(413, "PayloadTooLargeException")
        return None

    def _connection_id(self) -> str | None:
        """Return the id in the path; None, after a response, if the request is refused or has none."""
        from_browser = "Sec-Fetch-Site" in self.headers or "Origin" in self.headers
        if from_browser or refusal(hosts=self.headers.get_all("Host", []), origins=[]) is not None:
            self._answer(403, "ForbiddenException")
            return None
        if not self.path.startswith(_PREFIX):
            self._answer(404, "NotFoundException")
            return None
        return unquote(self.path.removeprefix(_PREFIX))

    def _answer(self, status: int, error: str | None) -> None:
        body = b"" if error is None else b"{}"
        self.send_response(status)
        if error is not None:
            self.send_header("x-amzn-ErrorType", error)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
