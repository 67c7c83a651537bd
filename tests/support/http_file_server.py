"""A real web server on loopback that serves given pages and simulates given faults."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """A server's content: ``pages`` maps a path to a body; the other attributes set faults."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.status: dict[str, int] = {}
        self.state_length = True
        self.cut_after: int | None = None
        self.wait = threading.Event()
        self.hold: set[str] = set()
        self.asked: list[str] = []
        self.authorization: list[str | None] = []
        self.url = ""


@contextmanager
def serve() -> Iterator[Web]:
    """Serve until the block ends."""
    web = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(web))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        web.wait.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked.append(self.path)
            web.authorization.append(self.headers.get("Authorization"))
            if self.path in web.hold:
                web.wait.wait(10)
                return
            body = web.pages.get(self.path)
            self.send_response(web.status.get(self.path, 200 if body is not None else 404))
            if body is not None and web.state_length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write((body or b"")[: web.cut_after])

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    return Handler
