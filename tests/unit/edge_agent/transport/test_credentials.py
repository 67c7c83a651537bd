"""AWS credentials for the device's certificate, from an HTTPS server that requires it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edge_agent.transport.credentials import IotCredentialsProvider
from edge_agent.transport.s3 import S3Store
from edge_agent.transport.settings import IotCredentialsSettings, S3Settings
from shared.errors import ConfigurationError, PermanentError, TransientError
from tests.support.certificates import TestAuthority
from tests.support.ports import reserve_port


class CredentialsEndpoint:
    """A server that behaves like the AWS IoT credentials provider, with mutual TLS."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        endpoint = self
        self.requests: list[tuple[str, str | None, str]] = []
        self.status = 200
        self.lifetime_s = 3600.0
        self.body: bytes | None = None

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                peer = str(self.connection.getpeercert())  # pyright: ignore[reportAttributeAccessIssue]
                endpoint.requests.append((self.path, self.headers["x-amzn-iot-thingname"], peer))
                body = endpoint.response()
                self.send_response(endpoint.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """Ignore clients that close the connection."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True)
        self._thread.start()

    def response(self) -> bytes:
        if self.body is not None:
            return self.body
        number = len(self.requests)
        expires = datetime.now(UTC) + timedelta(seconds=self.lifetime_s)
        return json.dumps(
            {
                "credentials": {
                    "accessKeyId": f"ASIA{number}",
                    "secretAccessKey": f"hidden{number}",
                    "sessionToken": f"token{number}",
                    "expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            }
        ).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def endpoint(server_tls: ssl.SSLContext) -> Iterator[CredentialsEndpoint]:
    endpoint = CredentialsEndpoint(server_tls)
    yield endpoint
    endpoint.close()


@pytest.fixture
def settings(endpoint: CredentialsEndpoint, authority: TestAuthority) -> IotCredentialsSettings:
    certificate, key = authority.issue("gate-01")
    return IotCredentialsSettings(
        endpoint=endpoint.address,
        role_alias="VedetteSnapshots",
        certificate_file=certificate,
        private_key_file=key,
        ca_file=authority.ca_file,
        timeout_s=5,
    )


def test_fetch_returns_credentials_for_the_certificate(
    endpoint: CredentialsEndpoint, settings: IotCredentialsSettings
) -> None:
    """The request has the right path, thing name and client certificate."""
    credentials = IotCredentialsProvider(settings=settings, thing_name="gate-01").fetch()
    assert (credentials["access_key"], credentials["secret_key"], credentials["token"]) == (
        "ASIA1",
        "hidden1",
        "token1",
    )
    path, thing, peer = endpoint.requests[0]
    assert path == "/role-aliases/VedetteSnapshots/credentials"
    assert thing == "gate-01"
    assert "gate-01" in peer


def test_boto3_refreshes_credentials_before_they_expire(
    endpoint: CredentialsEndpoint, settings: IotCredentialsSettings
) -> None:
    """They are fetched on first use and kept until they are about to expire."""
    endpoint.lifetime_s = 300  # botocore refreshes what lasts less than 15 minutes
    session = IotCredentialsProvider(settings=settings, thing_name="gate-01").session("eu-central-1")
    assert endpoint.requests == []
    credentials = session.get_credentials()
    assert credentials is not None
    first = credentials.get_frozen_credentials().access_key
    endpoint.lifetime_s = 3600
    second = credentials.get_frozen_credentials().access_key
    third = credentials.get_frozen_credentials().access_key
    assert first != second
    assert second == third


def test_the_store_fetches_credentials(
    endpoint: CredentialsEndpoint, settings: IotCredentialsSettings, moto_server: str
) -> None:
    """An image upload with IoT credentials fetches them first."""
    store = S3Store(
        settings=S3Settings(
            bucket="no-such-bucket", region="eu-central-1", endpoint_url=moto_server, iot_credentials=settings
        ),
        device_id="gate-01",
    )
    with pytest.raises(PermanentError, match="no such bucket"):
        store.put("snapshots/gate-01/a", b"x", content_type="image/jpeg")
    assert len(endpoint.requests) == 1
    endpoint.status = 403
    store.close()


def test_a_refused_certificate_is_a_permanent_error_of_put(
    endpoint: CredentialsEndpoint, settings: IotCredentialsSettings, moto_server: str
) -> None:
    """The error contains the reason instead of boto3's message."""
    endpoint.status = 403
    store = S3Store(
        settings=S3Settings(
            bucket="no-such-bucket", region="eu-central-1", endpoint_url=moto_server, iot_credentials=settings
        ),
        device_id="gate-01",
    )
    with pytest.raises(PermanentError, match="certificate is active"):
        store.put("snapshots/gate-01/a", b"x", content_type="image/jpeg")
    store.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (403, None, PermanentError, "VedetteSnapshots"),
        (404, None, PermanentError, "role alias"),
        (500, None, TransientError, "returned status 500"),
        (200, b"not json hidden", TransientError, "invalid response"),
        (200, b"{}", TransientError, "invalid response"),
        (200, b"[]", TransientError, "invalid response"),
    ],
)
def test_invalid_responses_are_explained_without_secrets(
    endpoint: CredentialsEndpoint,
    settings: IotCredentialsSettings,
    status: int,
    body: bytes | None,
    kind: type[Exception],
    words: str,
) -> None:
    """Temporary failures are transient, refusals are permanent, and no response is quoted."""
    endpoint.status, endpoint.body = status, body
    with pytest.raises(kind, match=words) as raised:
        IotCredentialsProvider(settings=settings, thing_name="gate-01").fetch()
    assert "hidden" not in str(raised.value)


def test_an_unavailable_endpoint_is_a_transient_error(settings: IotCredentialsSettings) -> None:
    """A later attempt may succeed."""
    unavailable = settings.model_copy(update={"endpoint": f"127.0.0.1:{reserve_port()}"})
    with pytest.raises(TransientError, match="cannot be reached"):
        IotCredentialsProvider(settings=unavailable, thing_name="gate-01").fetch()


def test_edge_35_an_untrusted_endpoint_gets_no_request(
    settings: IotCredentialsSettings, endpoint: CredentialsEndpoint
) -> None:
    """A server with an untrusted certificate receives no request."""
    trusting_others = settings.model_copy(update={"ca_file": None})
    with pytest.raises(TransientError, match="CERTIFICATE_VERIFY_FAILED"):
        IotCredentialsProvider(settings=trusting_others, thing_name="gate-01").fetch()
    assert endpoint.requests == []


def test_an_unusable_certificate_is_a_configuration_error(settings: IotCredentialsSettings) -> None:
    """The constructor raises, with the file."""
    broken = settings.model_copy(update={"private_key_file": settings.private_key_file.with_name("nowhere.key")})
    with pytest.raises(ConfigurationError, match="nowhere"):
        S3Store(settings=S3Settings(bucket="bucket", iot_credentials=broken), device_id="gate-01")


@pytest.mark.parametrize("wrong", ["host:abc", "https://host"])
def test_edge_36_an_invalid_endpoint_is_explained(settings: IotCredentialsSettings, wrong: str) -> None:
    """The error contains the configured value."""
    provider = IotCredentialsProvider(settings=settings.model_copy(update={"endpoint": wrong}), thing_name="gate-01")
    with pytest.raises((PermanentError, TransientError), match=wrong):
        provider.fetch()
