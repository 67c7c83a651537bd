"""Downloads from a real web server: whole, checked and in one step, or not at all."""

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


def test_a_file_arrives_whole_with_its_hash_and_progress(web: Web, target: Path) -> None:
    """The bytes are there, the hash is theirs, and progress went up to the total."""
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


def test_a_server_that_states_no_length_is_believed(web: Web, target: Path) -> None:
    """Without a Content-Length the total is unknown, and the end of the answer is the end of the file."""
    web.pages["/m.tflite"], web.state_length = BODY, False
    totals: list[int | None] = []
    Downloader(progress=lambda _, total: totals.append(total))(f"{web.url}/m.tflite", target)
    assert target.read_bytes() == BODY
    assert set(totals) == {None}


def test_a_file_on_disk_is_fetched_by_its_address(tmp_path: Path, target: Path) -> None:
    """file: addresses work like the others."""
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
        (replace_content, ConfigurationError, r"is not the file expected \(sha256 .*a proxy or a login page"),
        (remove_file, NotThereError, r"does not exist \(HTTP status 404\)"),
        (answer_status(403), ConfigurationError, r"was refused \(HTTP status 403\)"),
        (answer_status(503), TransientError, r"returned HTTP status 503; try again later"),
    ],
)
def test_what_goes_wrong_is_one_line_and_leaves_nothing(
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


def test_a_failed_download_leaves_the_file_that_was_there(web: Web, target: Path) -> None:
    """What worked before still does."""
    target.parent.mkdir(parents=True)
    target.write_bytes(b"old")
    with pytest.raises(NotThereError):
        Downloader()(f"{web.url}/m.tflite", target)
    assert target.read_bytes() == b"old"


def test_a_server_that_does_not_answer_is_waited_for_so_long(web: Web, target: Path) -> None:
    """Silence ends in a transient error once the timeout is over."""
    web.hold.add("/m.tflite")
    with pytest.raises(TransientError, match="does not answer; check the network"):
        Downloader(timeout_s=0.1)(f"{web.url}/m.tflite", target)
    web.wait.set()


def test_a_server_that_falls_silent_in_the_middle_is_given_up(target: Path) -> None:
    """A body that stops coming ends in a transient error too."""
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
def test_an_answer_that_is_no_http_is_a_transient_error(target: Path, answer: bytes) -> None:
    """A port that speaks something else is named and not crashed on."""
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


def test_nobody_there_is_a_transient_error(target: Path) -> None:
    """A refused connection says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransientError, match=r"cannot be reached \(.*[Rr]efused"):
        Downloader()(f"http://127.0.0.1:{port}/m.tflite", target)


@pytest.mark.parametrize("url", ["ftp://example.org/m.tflite", "gopher://x", "/etc/passwd", "data:,x"])
def test_other_schemes_are_refused(target: Path, url: str) -> None:
    """Only https, http and file are fetched."""
    with pytest.raises(ConfigurationError, match="only https, http and file"):
        Downloader()(url, target)


def test_a_missing_file_on_disk_is_not_there(tmp_path: Path, target: Path) -> None:
    """A file: address of nothing is the same kind of error as a 404."""
    with pytest.raises(NotThereError, match=r"cannot read file:.*gone\.tflite"):
        Downloader()((tmp_path / "gone.tflite").as_uri(), target)


def test_a_file_larger_than_any_model_is_given_up(web: Web, target: Path) -> None:
    """A stream without end fills no disk."""
    web.pages["/m.tflite"], web.state_length = BODY, False
    with pytest.raises(ConfigurationError, match="larger than 100,000 bytes"):
        Downloader(max_bytes=100_000)(f"{web.url}/m.tflite", target)
    assert left_in(target.parent) == []


def test_credentials_in_the_address_are_sent_and_never_shown(web: Web, target: Path) -> None:
    """A mirror behind a password works, and the password is in no message."""
    web.pages["/m.tflite"] = BODY
    address = web.url.replace("http://", "http://site:p%40ss@")
    Downloader()(f"{address}/m.tflite", target)
    assert web.authorization == ["Basic " + base64.b64encode(b"site:p@ss").decode()]
    with pytest.raises(NotThereError) as caught:
        Downloader()(f"{address}/other.tflite", target)
    assert "ss@" not in str(caught.value)


def test_a_cache_that_cannot_be_written_is_named(web: Web, tmp_path: Path) -> None:
    """A file where the folder should be: the error names the folder and the reason."""
    web.pages["/m.tflite"] = BODY
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"cannot write m\.tflite to the model cache .*cache"):
        Downloader()(f"{web.url}/m.tflite", tmp_path / "cache" / "m.tflite")


def test_a_disk_that_takes_no_more_is_named(web: Web, target: Path) -> None:
    """When writing fails in the middle, the error names the folder and the reason, and nothing is left."""
    web.pages["/m.tflite"] = BODY
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ConfigurationError, match=r"cannot write m\.tflite to the model cache .*: File too large"):
            Downloader()(f"{web.url}/m.tflite", target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_in(target.parent) == []
