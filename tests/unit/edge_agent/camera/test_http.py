"""Streams over HTTP: MJPEG, which many cameras offer besides RTSP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av.error
import cv2
import pytest

from edge_agent.camera.decode.decoder import open_video
from edge_agent.camera.probe import probe
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.source import open_source
from shared.clock import SystemClock
from tests.support.clips import make_clip, numbered, read_number
from tests.support.http_file_server import serve

QUICK = SourceSettings(open_timeout_s=5, watchdog_s=2, backoff_min_s=0.05, backoff_max_s=0.2)


class MjpegCamera(BaseHTTPRequestHandler):
    """Serve an endless MJPEG stream ``/video``, an image ``/still.jpg``, and ``/locked``, which requires a password."""

    def do_GET(self) -> None:
        if self.path.startswith("/locked"):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path == "/still.jpg":
            jpeg = cv2.imencode(".jpg", next(iter(numbered(1))))[1].tobytes()
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(jpeg)))
            self.end_headers()
            self.wfile.write(jpeg)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            while True:
                for image in numbered(40, width=320, height=64):
                    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n")
                    time.sleep(0.02)
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def camera() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), MjpegCamera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_mjpeg_stream_is_read(camera: str) -> None:
    """Frames arrive in order, and the stream information has size and codec."""
    source = open_source(f"{camera}/video", settings=QUICK, clock=SystemClock())
    first = source.read(10)
    second = source.read(10)
    assert first is not None
    assert second is not None
    assert read_number(first.picture.luma()) != read_number(second.picture.luma())
    assert (source.info().resolution, source.info().codec) == ("320x64", "mjpeg")
    assert source.live
    source.close()


def test_unauthorized_error_does_not_contain_the_password(camera: str) -> None:
    """HTTP status 401 is reported as for RTSP, and secrets in the query are masked."""
    url = camera.replace("//", "//me:hunter2@") + "/locked?token=topsecret"
    result = probe(url, QUICK)
    assert "refused the user name or password (401)" in (result.error or "")
    assert "hunter2" not in str(result)
    assert "topsecret" not in str(result)


def test_edge_29_address_of_a_single_image_is_reported(camera: str) -> None:
    """A snapshot address is not a stream: the camera stays offline, and the error names alternatives."""
    source = open_source(f"{camera}/still.jpg", settings=QUICK, clock=SystemClock())
    deadline = time.monotonic() + 20
    while source.status().error is None and time.monotonic() < deadline:
        assert source.read(0.05) is None
    status = source.status()
    source.close()
    assert status.state == "offline"
    assert "returns a single image (JPEG), not a stream" in (status.error or "")
    assert "read-plates" in (status.error or "")


def test_a_text_is_no_camera() -> None:
    """FFmpeg draws text as pictures: people who may add a camera could read the pages of other servers in them."""
    with serve() as web:
        web.pages["/log.txt"] = b'{"SecretAccessKey": "abc"}\n' * 2000
        for path in ("/log.txt", "/log.txt?name=.nfo"):
            web.pages.setdefault(path, web.pages["/log.txt"])
            result = probe(web.url + path, QUICK, timeout_s=10)
            assert (result.frames, result.cause) == (0, "not_video"), result


def test_a_server_cannot_name_a_file_of_the_device(tmp_path: Path) -> None:
    """A playlist may name parts on its own server, and nothing that is on the device."""
    clip = make_clip(tmp_path / "clip.ts", numbered(20))
    with serve() as web:
        web.pages["/part.ts"] = clip.read_bytes()
        shown: list[bool] = []
        for name in ("part.ts", f"file://{clip}", str(clip), f"subfile,,start,0,end,0,,:{clip}"):
            lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:10", "#EXTINF:2.0,", name, "#EXT-X-ENDLIST", ""]
            web.pages["/list.m3u8"] = "\n".join(lines).encode()
            shown.append(_pictures(f"{web.url}/list.m3u8") > 0)
        assert shown == [True, False, False, False]


def _pictures(url: str) -> int:
    try:
        video = open_video(url, hardware_decoder=None, threads=1, threading="SLICE", timeout_s=(10.0, 10.0))
    except (av.error.FFmpegError, OSError):
        return 0
    with closing(video.container):
        return sum(len(video.decode(packet)) for packet in video.container.demux(video.stream))
