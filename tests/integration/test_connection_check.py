"""The check of a connection to a camera: each cause with a real server, a closed port, a name, a file."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.camera.connection_check import check_connection
from edge_agent.camera.settings import SourceSettings
from tests.support.clips import make_clip, numbered
from tests.support.http_file_server import serve
from tests.support.ports import reserve_port
from tests.support.rtsp_server import Behaviour, RtspServer

PASSWORD = "open-s3same"


@pytest.fixture(scope="module")
def server() -> Iterator[RtspServer]:
    with RtspServer(numbered(50, width=320, height=128), auth="digest", password=PASSWORD) as one:
        yield one


def _url(server: RtspServer) -> str:
    return server.url(user="viewer", password=PASSWORD)


def test_a_working_camera(server: RtspServer) -> None:
    """The stream's properties, and no cause."""
    result = check_connection(_url(server), timeout_s=20)
    assert (result.error, result.cause, result.resolution, result.fps) == (None, None, "320x128", 25.0)
    assert result.latency_ms is not None
    assert result.latency_ms > 0


@pytest.mark.parametrize(("user", "password"), [(None, None), ("viewer", "wrong-w0rd")])
def test_wrong_credentials(server: RtspServer, user: str | None, password: str | None) -> None:
    """None where a login is required, and a wrong one; the password is in no text."""
    result = check_connection(server.url(user=user, password=password), timeout_s=20)
    assert result.cause == "wrong_credentials"
    assert "401" in str(result.error)
    assert "wrong-w0rd" not in str(result)


@pytest.mark.parametrize(("status", "cause"), [(403, "wrong_credentials"), (404, "no_such_stream"), (503, "failed")])
def test_refused_streams(server: RtspServer, status: int, cause: str) -> None:
    """The camera answers, but not with a stream."""
    server.behaviour.status = status
    try:
        assert check_connection(_url(server), timeout_s=20).cause == cause
    finally:
        server.behaviour.status = None


def test_a_closed_port() -> None:
    """Nothing listens there."""
    result = check_connection(f"rtsp://127.0.0.1:{reserve_port()}/live", timeout_s=20)
    assert result.cause == "connection_refused"


@pytest.mark.parametrize("check_credentials", [True, False])
def test_a_host_that_does_not_exist(check_credentials: bool) -> None:
    """The name does not resolve: `.invalid` never does (RFC 6761)."""
    url = "rtsp://me:secret-w0rd@no-such-camera.invalid/live"
    result = check_connection(url, timeout_s=20, check_credentials=check_credentials)
    assert result.cause == "host_unreachable"
    assert "no-such-camera.invalid" in str(result.error)
    assert "secret-w0rd" not in str(result)


@pytest.mark.parametrize("check_credentials", [True, False])
def test_a_silent_camera(check_credentials: bool) -> None:
    """The port is open, and nothing answers: the check ends at its timeout."""
    with RtspServer(numbered(2), behaviour=Behaviour(mute=True)) as mute:
        result = check_connection(mute.url(), timeout_s=1.5, check_credentials=check_credentials)
    assert result.cause == "timed_out"


def test_a_camera_that_sends_no_pictures() -> None:
    """It accepts the client and then stalls."""
    with RtspServer(numbered(50), behaviour=Behaviour(stall=True)) as stalled:
        settings = SourceSettings(watchdog_s=60)
        assert check_connection(stalled.url(), settings, timeout_s=2).cause == "timed_out"


def test_a_web_page_is_no_video() -> None:
    """An address that returns text; one that does not exist is a missing stream."""
    with serve() as web:
        web.pages["/index.html"] = b"<html>" + b"camera " * 5000
        assert check_connection(f"{web.url}/index.html", timeout_s=20).cause == "not_video"
        assert check_connection(f"{web.url}/missing.mjpeg", timeout_s=20).cause == "no_such_stream"


def test_files(tmp_path: Path) -> None:
    """A recording works; a missing file, a text and an empty file have their cause."""
    clip = make_clip(tmp_path / "a.mp4", numbered(9, width=160, height=64), 20)
    assert check_connection(str(clip), timeout_s=20).fps == 20.0
    text, empty = tmp_path / "notes.mp4", tmp_path / "empty.mp4"
    text.write_text("not a video\n" * 100)
    empty.touch()
    causes = [check_connection(str(path), timeout_s=20).cause for path in (text, empty, tmp_path / "none.mp4")]
    assert causes == ["not_video", "not_video", "no_such_stream"]
    assert check_connection("ftp://host/x").cause == "failed"


def test_without_credentials_only_the_server_is_contacted(server: RtspServer) -> None:
    """It answers although the login is missing, and nobody logs in: no request has credentials."""
    before = len(server.seen.lines)
    result = check_connection(server.url(), timeout_s=20, check_credentials=False)
    assert (result.error, result.resolution) == (None, None)
    assert result.latency_ms is not None
    assert [line.split()[0] for line in server.seen.lines[before:]] == ["OPTIONS"]


def test_another_protocol_is_no_camera() -> None:
    """A web server at the port of the camera, and a port that closes each connection."""
    with serve() as web:
        result = check_connection(web.url.replace("http", "rtsp") + "/live", timeout_s=20, check_credentials=False)
        assert result.cause == "not_video"
        assert check_connection(f"{web.url}/live", timeout_s=20, check_credentials=False).error is None
    with RtspServer(numbered(2), behaviour=Behaviour(refuse=True)) as refusing:
        result = check_connection(refusing.url(), timeout_s=20, check_credentials=False)
        assert result.cause == "failed"
        assert "closed the connection" in str(result.error)


def test_tls_without_a_tls_server() -> None:
    """A plain server at an `rtsps` address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"rtsps://127.0.0.1:{listener.getsockname()[1]}/live"
        assert check_connection(url, timeout_s=1, check_credentials=False).cause == "timed_out"
