"""``edge-agent doctor`` on a device's real files and servers: each fault is staged, found and explained."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edge_agent.cli.main import main
from edge_agent.outbox import Outbox
from shared.clock import SystemClock
from tests.support.certificates import TestAuthority
from tests.support.edge.outbox_builders import motion_event, with_image
from tests.support.ports import reserve_port

Report = Callable[[Path], tuple[int, dict[str, tuple[str, str]]]]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Return a function that runs the command, and returns its status, and status and text by check."""

    def call(path: Path) -> tuple[int, dict[str, tuple[str, str]]]:
        status = main(["doctor", "--config", str(path), "--json"])
        found = json.loads(capsys.readouterr().out)["checks"]
        return status, {one["name"]: (one["status"], one["text"]) for one in found}

    return call


def _agent_file(folder: Path, mqtt: str, *, store: str, source: str = "synthetic:gate") -> Path:
    path = folder / "agent.toml"
    path.write_text(
        f"""
site_id = "hq"
device_id = "gate-01"
state_dir = "{folder}"
[mqtt]
host = "127.0.0.1"
{mqtt}
[s3]
bucket = "pictures"
endpoint_url = "{store}"
[[cameras]]
id = "camera-1"
source = "{source}"
[cameras.model]
name = "none"
""",
        encoding="utf-8",
    )
    return path


@contextmanager
def _store(*, ahead: timedelta = timedelta()) -> Generator[str]:
    """Serve an image store that refuses all requests, as without credentials, with the time of its clock."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(SystemClock().now() + ahead, usegmt=True)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _broker(context: ssl.SSLContext | None = None) -> Generator[int]:
    """Accept one connection, and wait for the client to speak or leave."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            try:
                with connection if context is None else context.wrap_socket(connection, server_side=True) as stream:
                    stream.recv(1)
            except OSError:
                connection.close()  # one side has refused a certificate

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_device_in_order(tmp_path: Path, report: Report) -> None:
    """All is in order but the agent, which does not run; with its outbox open, it does."""
    with _store() as store, _broker() as port:
        status, found = report(_agent_file(tmp_path, f"port = {port}", store=store))
    bad = {name: text for name, (one, text) in found.items() if one in {"warning", "fault"}}
    assert (status, bad) == (1, {"agent": "no agent runs with this state_dir"})
    assert {name for name, (one, _) in found.items() if one == "ok"} >= {
        "broker",
        "store",
        "clock",
        "disk",
        "camera camera-1",
    }
    outbox = Outbox(tmp_path / "outbox.db")
    try:
        with _store(ahead=timedelta(hours=-1)) as store, _broker() as port:
            status, found = report(_agent_file(tmp_path, f"port = {port}", store=store))
    finally:
        outbox.close()
    assert found["agent"] == ("ok", "the agent runs")
    assert found["clock"][0] == "fault"
    assert "ahead of the image store's" in found["clock"][1]
    assert found["outbox"] == ("ok", "0 events and 0 pictures wait")
    assert found["camera camera-1"][0] == "ok"
    assert status == 2


def test_every_fault_has_a_line(tmp_path: Path, report: Report) -> None:
    """Nothing listens, the camera is missing, the certificate expires, and events wait for long."""
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put(with_image(motion_event()), snapshot=b"jpg")
    outbox.close()
    certificate, key = TestAuthority(tmp_path).issue("gate-01", days=(-1.0, 9.5))
    port = reserve_port()
    mqtt = f'port = {port}\ncertificate_file = "{certificate}"\nprivate_key_file = "{key}"\n'
    status, found = report(_agent_file(tmp_path, mqtt, store=f"http://127.0.0.1:{port}", source="missing.mp4"))
    assert status == 2
    assert found["broker"][0] == "fault"
    assert "nothing listens there (connection refused)" in found["broker"][1]
    assert found["store"][0] == "fault"
    assert found["camera camera-1"][0] == "fault"
    assert "missing.mp4" in found["camera camera-1"][1]
    assert found["certificates"][0] == "warning"
    assert "in 9 days" in found["certificates"][1]
    assert found["outbox"][0] == "warning"
    assert found["outbox"][1].startswith("1 events and 1 pictures wait, the oldest for ")
    assert found["clock"][0] == "skipped"


def test_a_broker_that_does_not_trust_the_device(tmp_path: Path, report: Report) -> None:
    """It refuses the certificate only after the handshake (TLS 1.3), without a log-in."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    authority, other = TestAuthority(ours), TestAuthority(theirs)
    server, server_key = authority.issue("broker")
    device, device_key = other.issue("gate-01")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server, server_key)
    context.load_verify_locations(authority.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    with _store() as store, _broker(context) as port:
        mqtt = f'port = {port}\nca_file = "{authority.ca_file}"\n'
        mqtt += f'certificate_file = "{device}"\nprivate_key_file = "{device_key}"\n'
        _, found = report(_agent_file(tmp_path, mqtt, store=store))
    assert found["broker"][0] == "fault"
    assert "the broker does not trust the issuer of the device's certificate" in found["broker"][1]
