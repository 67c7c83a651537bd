"""The HTTP servers of the stack answer programs on this machine, and reject browsers and other hosts."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra.local.aws.http_handler import ProgramHandler
from infra.local.aws.object_store import ObjectFolder
from infra.local.aws.resources import BUCKET
from tests.unit.infra.local.conftest import Endpoint


class Echo(ProgramHandler):
    """Answers with the body of the request."""

    def do_POST(self) -> None:  # noqa: N802  http.server's name
        body = self.body(largest_bytes=100)
        self.send_response(413 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")


@pytest.fixture
def echo() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def _status(url: str, method: str, path: str, *, body: bytes = b"", **headers: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        named: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        return connection.getresponse().status
    finally:
        connection.close()


def test_cloud_b4_a_request_of_a_program_is_answered(echo: str) -> None:
    """Requests like those of boto3 and the Lambda runtime are accepted."""
    assert _status(echo, "POST", "/", body=b"x") == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_cloud_b4_a_request_of_a_browser_is_rejected(echo: str, headers: dict[str, str]) -> None:
    """Cross-site requests, DNS rebinding, and an address that is opened in a browser are rejected."""
    assert _status(echo, "POST", "/", body=b"x", **headers) == 403


@pytest.mark.parametrize("length", ["101", "-1", "many", "1e3"])
def test_cloud_b4_an_invalid_content_length_is_rejected(echo: str, length: str) -> None:
    """A length that is too large, negative or not a number is rejected before the body is read."""
    assert _status(echo, "POST", "/", Content_Length=length) == 413


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_cloud_b4_the_object_store_rejects_other_sites(endpoint: Endpoint, headers: dict[str, str]) -> None:
    """A web page cannot delete snapshots with a forged link, although signatures are not verified here."""
    endpoint.objects.put(BUCKET, "a/b.jpg", b"picture", {})
    signed = "X-Amz-Credential=x/20260101/eu-central-1/s3/aws4_request"
    delete = b"<Delete><Object><Key>a/b.jpg</Key></Object></Delete>"
    assert _status(endpoint.url, "POST", f"/{BUCKET}?delete&{signed}", body=delete, **headers) == 403
    assert _status(endpoint.url, "DELETE", f"/{BUCKET}/a/b.jpg?{signed}", **headers) == 403
    assert [key for key, _ in endpoint.objects.keys(BUCKET, "")] == ["a/b.jpg"]


@pytest.mark.parametrize("prefix", ["/etc/", "/", "//", "../", "a/../../", "./", "a//", "a/\0/"])
def test_cloud_b4_a_prefix_cannot_leave_its_bucket(endpoint: Endpoint, prefix: str) -> None:
    """A prefix that no key can have lists nothing, and no folder outside the bucket is read."""
    folder: ObjectFolder = endpoint.objects
    folder.put(BUCKET, "a/b.jpg", b"picture", {})
    assert list(folder.keys(BUCKET, prefix)) == []
    assert [key for key, _ in folder.keys(BUCKET, "a/")] == ["a/b.jpg"]
