"""Images into a bucket: against a real S3 endpoint on this machine, and what its refusals mean."""

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
    """Keys of nobody's, where boto3 looks by itself."""
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


def test_an_image_arrives_whole_with_type_and_hash(moto_server: str, client: Any, bucket: str) -> None:
    """The object holds the bytes, its content type, and its sha256 for verification."""
    store = make_store(moto_server, bucket)
    store.put(KEY, b"jpeg bytes", content_type="image/jpeg")
    store.put(KEY, b"jpeg bytes", content_type="image/jpeg")  # a second delivery changes nothing
    got = client.get_object(Bucket=bucket, Key=KEY)
    assert got["Body"].read() == b"jpeg bytes"
    assert got["ContentType"] == "image/jpeg"
    assert got["Metadata"]["sha256"] == hashlib.sha256(b"jpeg bytes").hexdigest()
    store.close()
    store.close()


def test_no_such_bucket_is_permanent_and_named(moto_server: str) -> None:
    """No retry makes a bucket."""
    store = make_store(moto_server, "nowhere-at-all")
    with pytest.raises(PermanentError, match=r"nowhere-at-all.*no such bucket"):
        store.put(KEY, b"x", content_type="image/jpeg")
    store.close()


def test_a_store_that_is_away_is_transient() -> None:
    """A refused connection may work later."""
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
def test_refusals_are_sorted_by_what_helps(
    moto_server: str, code: str, status: int, kind: type[Exception], words: str
) -> None:
    """Retry what may pass, put off what will not, and say it plainly."""
    store = make_store(moto_server, "bucket")
    inner = store._connected_client()
    with Stubber(inner) as stubber:
        stubber.add_client_error("put_object", service_error_code=code, http_status_code=status)
        with pytest.raises(kind, match=words):
            store.put(KEY, b"x", content_type="image/jpeg")
    assert (store._client is None) is (code == "ExpiredToken")
    store.close()


def test_no_credentials_at_all_is_said_plainly(moto_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """A device nobody gave keys says what is missing, and keeps its images."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = make_store(moto_server, "bucket")
    with pytest.raises(TransientError, match="no AWS credentials"):
        store.put(KEY, b"x", content_type="image/jpeg")
    store.close()


def test_boto3_is_imported_only_when_needed() -> None:
    """Making a store costs nothing: boto3 takes long to import, and some devices never send an image."""
    import subprocess
    import sys

    code = (
        "import sys; from edge_agent.transport.s3 import S3Store; from edge_agent.transport.settings import S3Settings;"
        "S3Store(settings=S3Settings(bucket='bucket'), device_id='d'); sys.exit('boto3' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
