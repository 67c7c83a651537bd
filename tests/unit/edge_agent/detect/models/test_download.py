"""Downloads from a real web server: verified, and replaced atomically."""

from __future__ import annotations

import base64
import hashlib
import resource
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from edge_agent.detect.models.download import Downloader, NotThereError
from shared.errors import ConfigurationError, TransientError, VedetteError
from tests.support.http_file_server import Web

BODY = b"model" * 40_000
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "models" / "m.tflite"


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_file_is_downloaded_with_hash_and_progress(web: Web, target: Path) -> None:
    """Content and hash are right, and progress reaches the total."""
    web.pages["/m.tflite"] = BODY
    seen: list[tuple[int, int | None]] = []
    found = Downloader(progress=lambda size, total: seen.append((size, total)))(
        f"{web.url}/m.tflite", target, sha256=SHA256
    )
    assert found == SHA256
    assert target.read_bytes() == BODY
    assert [size for size, _ in seen] == sorted(size for size, _ in seen)
    assert seen[-1] == (len(BODY), len(BODY))
    assert left_in(target.parent) == ["m.tflite"]


def test_response_without_content_length_is_accepted(web: Web, target: Path) -> None:
    """The total is unknown, and the end of the response is the end of the file."""
    web.pages["/m.tflite"], web.state_length = BODY, False
    totals: list[int | None] = []
    Downloader(progress=lambda _, total: totals.append(total))(f"{web.url}/m.tflite", target)
    assert target.read_bytes() == BODY
    assert set(totals) == {None}


def test_file_address_is_copied(tmp_path: Path, target: Path) -> None:
    """``file:`` addresses are supported."""
    source = tmp_path / "source.tflite"
    source.write_bytes(BODY)
    assert Downloader()(source.as_uri(), target) == SHA256
    assert target.read_bytes() == BODY


def cut_short(web: Web) -> None:
    web.cut_after = 100_000


def replace_content(web: Web) -> None:
    web.pages["/m.tflite"] = b"<html>Please log in</html>"


def answer_status(status: int) -> Any:
    def break_download(web: Web) -> None:
        web.status["/m.tflite"] = status

    return break_download


def remove_file(web: Web) -> None:
    del web.pages["/m.tflite"]


@pytest.mark.parametrize(
    ("break_download", "kind", "message"),
    [
        (cut_short, TransientError, r"stopped after 100,000 of 200,000 bytes; try again"),
        (replace_content, ConfigurationError, r"is not the expected file \(sha256 .*a proxy or a login page"),
        (remove_file, NotThereError, r"does not exist \(HTTP status 404\)"),
        (answer_status(403), ConfigurationError, r"was refused \(HTTP status 403\)"),
        (answer_status(503), TransientError, r"returned HTTP status 503; try again later"),
    ],
)
def test_failed_download_raises_one_line_and_leaves_no_file(
    web: Web, target: Path, break_download: Any, kind: type[VedetteError], message: str
) -> None:
    """Each kind of failed download raises its own error, and no file is kept."""
    web.pages["/m.tflite"] = BODY
    break_download(web)
    with pytest.raises(kind, match=message) as caught:
        Downloader()(f"{web.url}/m.tflite", target, sha256=SHA256)
    assert "\n" not in str(caught.value)
    assert "/m.tflite" in str(caught.value)
    assert left_in(target.parent) == []


def test_failed_download_keeps_the_existing_file(web: Web, target: Path) -> None:
    """The previous file is unchanged."""
    target.parent.mkdir(parents=True)
    target.write_bytes(b"old")
    with pytest.raises(NotThereError):
        Downloader()(f"{web.url}/m.tflite", target)
    assert target.read_bytes() == b"old"


def test_unresponsive_server_times_out(web: Web, target: Path) -> None:
    """A transient error is raised after the timeout."""
    web.hold.add("/m.tflite")
    with pytest.raises(TransientError, match="does not answer; check the network"):
        Downloader(timeout_s=0.1)(f"{web.url}/m.tflite", target)
    web.wait.set()


def test_stalled_response_times_out(target: Path) -> None:
    """A transient error is raised if the body stalls."""
    listener = socket.create_server(("127.0.0.1", 0))
    done = threading.Event()

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
            done.wait(10)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with pytest.raises(TransientError, match="does not answer"):
            Downloader(timeout_s=0.1)(f"http://127.0.0.1:{listener.getsockname()[1]}/m.tflite", target)
    finally:
        done.set()
        thread.join()
        listener.close()
    assert left_in(target.parent) == []


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n"])
def test_response_that_is_not_http_raises_a_transient_error(target: Path, answer: bytes) -> None:
    """The error names the address of a port with another protocol."""
    listener = socket.create_server(("127.0.0.1", 0))

    def speak() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    thread = threading.Thread(target=speak)
    thread.start()
    with pytest.raises(TransientError, match="cannot be reached"):
        Downloader(timeout_s=2)(f"http://127.0.0.1:{listener.getsockname()[1]}/m.tflite", target)
    thread.join()
    listener.close()


def test_refused_connection_raises_a_transient_error(target: Path) -> None:
    """The error contains the reason."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransientError, match=r"cannot be reached \(.*[Rr]efused"):
        Downloader()(f"http://127.0.0.1:{port}/m.tflite", target)


@pytest.mark.parametrize("url", ["ftp://example.org/m.tflite", "gopher://x", "/etc/passwd", "data:,x"])
def test_other_schemes_are_rejected(target: Path, url: str) -> None:
    """Only https, http and file are supported."""
    with pytest.raises(ConfigurationError, match="only https, http and file"):
        Downloader()(url, target)


def test_missing_file_address_raises_not_there(tmp_path: Path, target: Path) -> None:
    """A missing file raises the same error as HTTP status 404."""
    with pytest.raises(NotThereError, match=r"cannot read file:.*gone\.tflite"):
        Downloader()((tmp_path / "gone.tflite").as_uri(), target)


def test_download_above_the_size_limit_is_rejected(web: Web, target: Path) -> None:
    """An endless response does not fill the disk."""
    web.pages["/m.tflite"], web.state_length = BODY, False
    with pytest.raises(ConfigurationError, match="larger than 100,000 bytes"):
        Downloader(max_bytes=100_000)(f"{web.url}/m.tflite", target)
    assert left_in(target.parent) == []


def test_credentials_in_the_address_are_sent_and_never_shown(web: Web, target: Path) -> None:
    """A mirror may require a password, which is in no error."""
    web.pages["/m.tflite"] = BODY
    address = web.url.replace("http://", "http://site:p%40ss@")
    Downloader()(f"{address}/m.tflite", target)
    assert web.authorization == ["Basic " + base64.b64encode(b"site:p@ss").decode()]
    with pytest.raises(NotThereError) as caught:
        Downloader()(f"{address}/other.tflite", target)
    assert "ss@" not in str(caught.value)


def test_unwritable_cache_is_named(web: Web, tmp_path: Path) -> None:
    """A file is in the place of the folder; the error names the folder and the reason."""
    web.pages["/m.tflite"] = BODY
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"cannot write m\.tflite to the model cache .*cache"):
        Downloader()(f"{web.url}/m.tflite", tmp_path / "cache" / "m.tflite")


def test_full_disk_is_reported(web: Web, target: Path) -> None:
    """If writing fails, the error names the folder and the reason, and no file remains."""
    web.pages["/m.tflite"] = BODY
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ConfigurationError, match=r"cannot write m\.tflite to the model cache .*: File too large"):
            Downloader()(f"{web.url}/m.tflite", target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_in(target.parent) == []
