"""Image uploads to a local S3 endpoint, and the classification of errors."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from edge_agent.transport.s3 import S3Store
from edge_agent.transport.settings import S3Settings
from shared.errors import PermanentError, TransientError
from tests.support.ports import reserve_port

KEY = "snapshots/gate-01/camera-1/2026-01-01/tracking_103045_123456.jpg"


@pytest.fixture(autouse=True)
def aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test credentials in the environment, where boto3 finds them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def client(moto_server: str) -> Iterator[Any]:
    client = boto3.client("s3", endpoint_url=moto_server, region_name="eu-central-1")
    yield client
    client.close()


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"snapshots-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return name


def make_store(endpoint_url: str, bucket: str, **settings: Any) -> S3Store:
    configured = S3Settings(bucket=bucket, region="eu-central-1", endpoint_url=endpoint_url, **settings)
    return S3Store(settings=configured, device_id="gate-01")


def test_an_image_is_stored_with_content_type_and_hash(moto_server: str, client: Any, bucket: str) -> None:
    """A second upload of the same image changes nothing."""
    store = make_store(moto_server, bucket)
    store.put(KEY, b"jpeg bytes", content_type="image/jpeg")
    store.put(KEY, b"jpeg bytes", content_type="image/jpeg")  # a second delivery changes nothing
    stored = client.get_object(Bucket=bucket, Key=KEY)
    assert stored["Body"].read() == b"jpeg bytes"
    assert stored["ContentType"] == "image/jpeg"
    assert stored["Metadata"]["sha256"] == hashlib.sha256(b"jpeg bytes").hexdigest()
    store.close()
    store.close()


def test_a_missing_bucket_is_a_permanent_error(moto_server: str) -> None:
    """The error contains the bucket."""
    store = make_store(moto_server, "nowhere-at-all")
    with pytest.raises(PermanentError, match=r"nowhere-at-all.*no such bucket"):
        store.put(KEY, b"x", content_type="image/jpeg")
    store.close()


def test_an_unavailable_store_is_a_transient_error() -> None:
    """A later attempt may succeed."""
    store = make_store(f"http://127.0.0.1:{reserve_port()}", "bucket", connect_timeout_s=1)
    with pytest.raises(TransientError, match="cannot store"):
        store.put(KEY, b"x", content_type="image/jpeg")
    store.close()


@pytest.mark.parametrize(
    ("code", "status", "kind", "words"),
    [
        ("AccessDenied", 403, PermanentError, "access is denied"),
        ("ExpiredToken", 400, TransientError, "credentials have expired"),
        ("RequestTimeTooSkewed", 403, TransientError, "clock is wrong"),
        ("SlowDown", 503, TransientError, "limits the request rate"),
        ("InternalError", 500, TransientError, "InternalError"),
        ("PermanentRedirect", 301, PermanentError, "another region"),
        ("InvalidAccessKeyId", 403, PermanentError, "access key is unknown"),
        ("SomethingNew", 400, PermanentError, "SomethingNew"),
        ("TooManyRequests", 429, TransientError, "TooManyRequests"),
    ],
)
def test_store_errors_are_transient_or_permanent(
    moto_server: str, code: str, status: int, kind: type[Exception], words: str
) -> None:
    """Transient if a retry may succeed, permanent otherwise, with an explanation."""
    store = make_store(moto_server, "bucket")
    inner = store._connected_client()
    with Stubber(inner) as stubber:
        stubber.add_client_error("put_object", service_error_code=code, http_status_code=status)
        with pytest.raises(kind, match=words):
            store.put(KEY, b"x", content_type="image/jpeg")
    assert (store._client is None) is (code == "ExpiredToken")
    store.close()


def test_missing_credentials_are_explained(moto_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """The error is transient, so the images stay in the outbox."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = make_store(moto_server, "bucket")
    with pytest.raises(TransientError, match="no AWS credentials"):
        store.put(KEY, b"x", content_type="image/jpeg")
    store.close()


def test_boto3_is_imported_on_first_upload() -> None:
    """Creating a store does not import boto3, which takes long."""
    import subprocess
    import sys

    code = (
        "import sys; from edge_agent.transport.s3 import S3Store; from edge_agent.transport.settings import S3Settings;"
        "S3Store(settings=S3Settings(bucket='bucket'), device_id='d'); sys.exit('boto3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
