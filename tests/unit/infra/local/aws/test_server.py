"""The HTTP server of the local AWS endpoint keeps connections, and never mixes up requests on them."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterable, Iterator

import pytest

from infra.local.aws.server import make_server
from infra.local.aws.wsgi import Environ, StartResponse
from tests.support.ports import reserve_port


def _application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the body of the request, or as the path says."""
    path = environ["PATH_INFO"]
    if path == "/broken":
        raise RuntimeError("the application failed")
    if path == "/unread":
        start_response("200 OK", [("Content-Length", "6")])
        return [b"unread"]
    body = environ["wsgi.input"].read()
    start_response("200 OK", [] if path == "/no-length" else [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def connection() -> Iterator[http.client.HTTPConnection]:
    port = reserve_port()
    server = make_server(port, _application)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    yield client
    client.close()
    server.shutdown()
    server.server_close()
    thread.join()


def _ask(client: http.client.HTTPConnection, path: str, body: bytes, method: str = "POST") -> tuple[int, bytes]:
    client.request(method, path, body)
    answer = client.getresponse()
    return answer.status, answer.read()


def test_a_connection_serves_several_requests(connection: http.client.HTTPConnection) -> None:
    """Requests with and without a body, and ones whose body the application does not read, use one connection."""
    assert _ask(connection, "/", b"one") == (200, b"one")
    used = connection.sock
    assert _ask(connection, "/unread", b"GET /not-a-request HTTP/1.1\r\n\r\n") == (200, b"unread")
    assert _ask(connection, "/", b"", "GET") == (200, b"")
    assert _ask(connection, "/unread", b"", "HEAD") == (200, b"")
    assert _ask(connection, "/", b"two") == (200, b"two")
    assert connection.sock is used


def test_a_response_without_length_ends_with_the_connection(connection: http.client.HTTPConnection) -> None:
    """The client gets the whole body, and the next request opens a connection."""
    assert _ask(connection, "/no-length", b"all of it") == (200, b"all of it")
    assert connection.sock is None
    assert _ask(connection, "/", b"next") == (200, b"next")


def test_a_large_body_that_is_not_read_ends_the_connection(connection: http.client.HTTPConnection) -> None:
    """It is not read just to keep a connection."""
    assert _ask(connection, "/", b"x" * 400_000)[0] == 200
    connection.request("POST", "/unread", headers={"Content-Length": "400000"})
    assert connection.getresponse().read() == b"unread"
    assert connection.sock is not None
    assert connection.sock.recv(10) == b""


def test_an_error_of_the_application_is_a_500(
    connection: http.client.HTTPConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged."""
    assert _ask(connection, "/broken", b"")[0] == 500
    assert "answering POST /broken failed" in caplog.text
