"""The HTTP server of the local AWS endpoint: WSGI with keep-alive.

werkzeug's own handler closes every connection and then waits for further data on it, so that each boto3 call costs a
connection and a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any, cast

from werkzeug.serving import WSGIRequestHandler
from werkzeug.serving import make_server as make_werkzeug_server

from infra.local.aws.wsgi import Application, Environ, OriginGuard
from infra.local.processes.ports import LOOPBACK

log = logging.getLogger(__name__)

_DRAINED_BYTES = 256 * 1024
"""The rest of a body up to this size is read and dropped, so that the connection can be used again."""
_WITHOUT_BODY = frozenset({204, 304})


class _Body:
    """The body of a request with a known length: reads never go beyond it."""

    def __init__(self, file: BufferedIOBase, length: int) -> None:
        self._file = file
        self.left = length

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        return data

    def readline(self, size: int = -1) -> bytes:
        data = self._file.readline(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        return data

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")


class KeepAliveHandler(WSGIRequestHandler):
    """Answers requests, and keeps the connection if request and response have a known length."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Serve one request."""
        environ: Environ = self.make_environ()
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
        else:
            environ["wsgi.input"] = _Body(self.rfile, int(self.headers.get("Content-Length") or 0))
        self._sent = self._has_body = False
        try:
            self._respond(environ)
        except ConnectionError:
            self.close_connection = True
        except Exception:
            log.exception("answering %s %s failed", self.command, self.path.partition("?")[0])
            self.close_connection = True
            if not self._sent:
                self.send_error(500)
        self._drain(environ["wsgi.input"])

    def _respond(self, environ: Environ) -> None:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> None:
            started.append((status, headers))

        content: Any = cast("Application", self.server.app)(environ, start_response)
        try:
            first = True
            for data in content:
                if first:
                    self._send_head(*started[0])
                    first = False
                if self._has_body:
                    self.wfile.write(data)
            if first:
                self._send_head(*started[0])
        finally:
            if hasattr(content, "close"):
                content.close()

    def _send_head(self, status: str, headers: list[tuple[str, str]]) -> None:
        code, _, reason = status.partition(" ")
        self._sent = True
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        self._has_body = self.command != "HEAD" and int(code) not in _WITHOUT_BODY
        if self._has_body and not any(name.lower() == "content-length" for name, _ in headers):
            self.close_connection = True  # its end is the end of the body
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _drain(self, body: Any) -> None:
        """Leave the connection at the next request, or close it."""
        if self.close_connection or not isinstance(body, _Body):
            return
        if body.left > _DRAINED_BYTES:
            self.close_connection = True
        else:
            body.read()


def make_server(port: int, application: Application) -> Any:
    """Return a threaded HTTP server on loopback."""
    server: Any = make_werkzeug_server(
        LOOPBACK, port, OriginGuard(application), threaded=True, request_handler=KeepAliveHandler
    )
    server.daemon_threads = True
    return server
