"""The HTTP server of the metrics."""

from __future__ import annotations

import http.client
import logging
import socket
from collections.abc import Callable

import pytest

from shared.metrics.address import ListenAddress, parse_listen_address
from shared.metrics.server import MetricsServer
from tests.support.ports import reserve_port
from tests.support.waiting import eventually


def fetch(port: int, path: str = "/metrics", method: str = "GET", host: str | None = None) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    response = connection.getresponse()
    found = response.status, response.getheader("Content-Type", ""), response.read()
    connection.close()
    return found


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Callable[..., int]:
    """Start servers that the test's end closes; return the port of each."""

    def start(collect: Callable[[], str], *, port: int | None = None, retry_s: float = 30.0) -> int:
        address = ListenAddress("127.0.0.1", reserve_port() if port is None else port)
        server = MetricsServer(address=address, collect=collect, retry_s=retry_s)
        server.start()
        request.addfinalizer(server.close)
        return address.port

    return start


def listens(port: int) -> bool:
    try:
        return bool(fetch(port))
    except OSError:
        return False


def test_metrics_are_served_as_prometheus_text(serve: Callable[..., int]) -> None:
    """GET and HEAD answer; other paths are not found."""
    port = serve(lambda: "a 1\n")
    eventually(lambda: listens(port))
    assert fetch(port) == (200, "text/plain; version=0.0.4; charset=utf-8", b"a 1\n")
    assert fetch(port, "/metrics?name[]=a")[0] == 200
    assert fetch(port, method="HEAD")[2] == b""
    assert fetch(port, "/")[0] == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:9465", 200),
        ("[::1]:9465", 200),
        ("127.0.0.1", 200),
        ("rebound.example:9465", 421),
        ("localhost.example", 421),
        ("", 421),
    ],
)
def test_a_page_cannot_read_the_metrics_under_a_name_of_its_own(
    serve: Callable[..., int], host: str, status: int
) -> None:
    """DNS rebinding: a browser sends the name of the page."""
    port = serve(lambda: "a 1\n")
    eventually(lambda: listens(port))
    assert fetch(port, host=host)[0] == status


def test_a_failure_is_an_answer_and_a_logged_error(serve: Callable[..., int], caplog: pytest.LogCaptureFixture) -> None:
    """The server goes on after metrics could not be read."""
    answers = iter(["ok 1\n"])
    port = serve(lambda: next(answers))
    eventually(lambda: listens(port))
    status, _, body = fetch(port)
    assert (status, body) == (500, b"reading the metrics failed; see the log\n")
    assert "reading the metrics failed" in caplog.text


def test_a_port_in_use_is_a_warning_until_it_is_free(
    serve: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    """The program goes on without metrics, and serves them once the port is free."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = serve(lambda: "a 1\n", port=other.getsockname()[1], retry_s=0.05)
        eventually(lambda: "metrics are not served: cannot listen on 127.0.0.1:" in caplog.text)
    eventually(lambda: listens(port))
    assert caplog.text.count("metrics are not served") == 1


def test_clients_that_send_nothing_do_not_fill_the_memory(serve: Callable[..., int]) -> None:
    """Beyond eight connections, further ones are closed at once; the others still get their answer."""
    port = serve(lambda: "a 1\n")
    eventually(lambda: listens(port))
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    with socket.create_connection(("127.0.0.1", port), timeout=4) as refused:
        assert refused.recv(1) == b""
    idle[0].sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert idle[0].recv(12) == b"HTTP/1.0 200"
    for connection in idle:
        connection.close()
    eventually(lambda: listens(port))


def test_a_network_address_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """An address that others can reach is a warning at the start; loopback is not."""
    for host, warnings in (("127.0.0.1", 0), ("0.0.0.0", 1)):
        caplog.clear()
        server = MetricsServer(address=ListenAddress(host, reserve_port()), collect=str)
        server.start()
        server.close()
        found = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(found) == warnings


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:9464", "127.0.0.1", 9464, True),
        ("localhost:1", "localhost", 1, True),
        ("[::1]:9464", "::1", 9464, True),
        ("0.0.0.0:65535", "0.0.0.0", 65535, False),
        ("[::]:9464", "::", 9464, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    """IPv4, IPv6 in brackets, and localhost."""
    address = parse_listen_address(text)
    assert (address.host, address.port, address.is_loopback, str(address)) == (host, port, loopback, text)


@pytest.mark.parametrize(
    "text", ["", "9464", ":9464", "::1:9464", "metrics.example:9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:70000"]
)
def test_addresses_that_are_not_valid(text: str) -> None:
    """The error shows how to write one; a bare port is refused, because it would not say who can connect."""
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:9464"):
        parse_listen_address(text)
