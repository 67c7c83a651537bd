"""The HTTP server of ``/metrics``: a few daemon threads beside the program, which never waits for it."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from shared.metrics.address import ListenAddress
from shared.metrics.exposition import CONTENT_TYPE
from shared.retry import FaultLog

log = logging.getLogger(__name__)

_RETRY_S: Final = 30.0
_MOST_CONNECTIONS: Final = 8
"""Further connections are closed at once, so that clients cannot fill the memory with threads."""
_READ_TIMEOUT_S: Final = 5.0
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class MetricsServer:
    """Serves the text that ``collect`` returns. A port that is in use is a warning; the server tries again."""

    def __init__(self, *, address: ListenAddress, collect: Callable[[], str], retry_s: float = _RETRY_S) -> None:
        self._address = address
        self._collect = collect
        self._retry_s = retry_s
        self._faults = FaultLog(log)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine reach the server."""
        return self._address.is_loopback

    def start(self) -> None:
        """Listen in the background; returns at once."""
        if not self._address.is_loopback:
            log.warning("metrics are served on %s, without a password, to everyone who reaches it", self._address)
        self._thread.start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop listening."""
        with self._lock:
            self._closing.set()
            server = self._server
        if server is not None:
            server.shutdown()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def text(self) -> str | None:
        """Return the metrics, or None after logging why they cannot be read now."""
        try:
            return self._collect()
        except Exception as error:
            self._faults.log(error, "reading the metrics failed")
            return None

    def _run(self) -> None:
        has_warned = False
        while not self._closing.is_set():
            try:
                server = _Server(self._address, self)
            except OSError as error:
                if not has_warned:
                    log.warning(
                        "metrics are not served: cannot listen on %s: %s; trying again every %g s",
                        self._address,
                        error.strerror,
                        self._retry_s,
                    )
                has_warned = True
                self._closing.wait(self._retry_s)
                continue
            with server:
                self._serve(server)
            return

    def _serve(self, server: _Server) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            self._server = server
        log.info("metrics are on http://%s/metrics", self._address)
        server.serve_forever(poll_interval=0.2)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: ListenAddress, owner: MetricsServer) -> None:
        self.owner = owner
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._free = threading.Semaphore(_MOST_CONNECTIONS)
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        """Bind without the reverse lookup of the host name that ``HTTPServer`` makes."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "metrics", self.socket.getsockname()[1]

    def accepts(self, host: str | None) -> bool:
        """Return whether the ``Host`` of a request may be answered.

        On loopback, any other name is of a web page that had its own name resolved to this machine.
        """
        if host is None or not self.owner.is_loopback:
            return True
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
        return name.strip("[]").lower() in {*_LOOPBACK_NAMES, str(self.server_address[0])}

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of ours."""
        del request, client_address
        log.debug("a request for metrics failed: %s", sys.exception())


class _Handler(BaseHTTPRequestHandler):
    timeout = _READ_TIMEOUT_S
    server_version = "vedette"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args

    def _answer(self, *, with_body: bool) -> None:
        server = self.server
        assert isinstance(server, _Server)  # noqa: S101
        status, text, content_type = HTTPStatus.OK, "", CONTENT_TYPE
        if not server.accepts(self.headers.get("Host")):
            status, text = HTTPStatus.MISDIRECTED_REQUEST, "metrics are for programs of this machine\n"
            content_type = "text/plain; charset=utf-8"
        elif self.path.partition("?")[0] != "/metrics":
            status, text, content_type = HTTPStatus.NOT_FOUND, "metrics are on /metrics\n", "text/plain; charset=utf-8"
        elif (found := server.owner.text()) is None:
            status, text = HTTPStatus.INTERNAL_SERVER_ERROR, "reading the metrics failed; see the log\n"
            content_type = "text/plain; charset=utf-8"
        else:
            text = found
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
