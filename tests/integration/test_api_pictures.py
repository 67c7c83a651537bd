"""Snapshots of events from a local S3, and the health check."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest

from cloud_functions.api.backends.health_probes import BucketProbe, DatabaseProbe, FanOutProbe
from cloud_functions.api.backends.thread_pool import InlineThreadPool
from cloud_functions.api.http.limits import Limits
from cloud_functions.aws import AwsClients
from cloud_functions.snapshot_store import S3SnapshotStore
from shared.clock import ManualClock
from shared.errors import PermanentError, TransientError
from tests.support.api_calls import NOON, ApiCalls, lambda_api, store, stored_event

PATH = "camera-1/2026-11-20/tracking_120000_000000.webp"
PICTURE = f"snapshots/gate-01/{PATH}"
THUMBNAIL = "thumbnails/gate-01/camera-1/2026-11-20/tracking_120000_000000.jpg"
BYTES = bytes(range(256)) * 40


@pytest.fixture
def aws(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> AwsClients:
    """Clients of the local AWS endpoints."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    return AwsClients(region="eu-central-1")


@pytest.fixture
def bucket(aws: AwsClients) -> str:
    """A new bucket."""
    name = f"pictures-{uuid.uuid4().hex[:12]}"
    aws.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return name


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def api(database_url: str, aws: AwsClients, bucket: str) -> Iterator[ApiCalls]:
    """A client of an application with that bucket and an image limit of 10,000 bytes."""
    store_ = S3SnapshotStore(bucket=bucket, aws=aws)
    limits = Limits(image_bytes=len(BYTES), export_bytes=10_000)
    handler, dependencies = lambda_api(database_url, snapshots=store_, limits=limits)
    yield ApiCalls(handler)
    handler.close()
    dependencies.close()


def test_a_snapshot_is_a_download(api: ApiCalls, aws: AwsClients, bucket: str, database_url: str) -> None:
    """The response has the stored bytes, the content type, and a file name with the id of the event."""
    [number] = store(database_url, [stored_event("tracking", snapshot_path=PATH)])
    aws.client("s3").put_object(Bucket=bucket, Key=PICTURE, Body=BYTES)
    aws.client("s3").put_object(Bucket=bucket, Key=THUMBNAIL, Body=b"small")
    answer = api.get(f"/api/events/{number}/snapshot")
    assert (answer.status, answer.body) == (200, BYTES)
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["content-disposition"] == f'attachment; filename="event_{number}_snapshot.webp"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    small = api.get(f"/api/events/{number}/thumbnail")
    assert (small.body, small.headers["content-type"]) == (b"small", "image/jpeg")
    assert small.headers["content-disposition"] == f'attachment; filename="event_{number}_thumbnail.jpg"'


def test_a_large_snapshot_redirects_to_a_signed_url(
    api: ApiCalls, aws: AwsClients, bucket: str, database_url: str
) -> None:
    """One byte over the limit is a 307 to a URL that returns the whole image."""
    [number] = store(database_url, [stored_event("tracking", snapshot_path=PATH)])
    aws.client("s3").put_object(Bucket=bucket, Key=PICTURE, Body=BYTES + b"!")
    answer = api.get(f"/api/events/{number}/snapshot")
    assert answer.status == 307
    fetched = httpx.get(answer.headers["location"])
    assert fetched.content == BYTES + b"!"
    assert fetched.headers["content-type"] == "image/webp"


def test_a_signed_url_expires_and_names_the_file(
    api: ApiCalls, aws: AwsClients, bucket: str, database_url: str
) -> None:
    """The URL is signed, has an expiry time, and downloads under the file name of the event."""
    [number] = store(database_url, [stored_event("tracking", snapshot_path=PATH)])
    aws.client("s3").put_object(Bucket=bucket, Key=PICTURE, Body=BYTES)
    answer = api.get(f"/api/events/{number}/snapshot-url").json()
    query = parse_qs(urlsplit(answer["url"]).query)
    assert urlsplit(answer["url"]).path.endswith(PICTURE)
    assert any("ignature" in name for name in query)
    assert query["response-content-disposition"] == [f'attachment; filename="event_{number}_snapshot.webp"']
    assert answer["expires_in"] == 900
    assert httpx.get(answer["url"]).content == BYTES


@pytest.mark.parametrize("what", ["snapshot", "thumbnail", "snapshot-url"])
def test_a_snapshot_that_was_not_uploaded_yet_is_pending(api: ApiCalls, database_url: str, what: str) -> None:
    """Events usually arrive before their snapshots: the 404 has ``Retry-After``."""
    [number] = store(database_url, [stored_event("tracking", snapshot_path=PATH)])
    answer = api.get(f"/api/events/{number}/{what}")
    assert answer.status == 404
    assert answer.json()["type"] == "urn:vedette:problem:snapshot-pending"
    assert answer.headers["retry-after"] == "5"


def test_a_snapshot_long_missing_is_gone(database_url: str, aws: AwsClients, bucket: str, clock: ManualClock) -> None:
    """After the pending period, the problem type is ``snapshot-gone``."""
    [number] = store(database_url, [stored_event("tracking", snapshot_path=PATH)])
    clock.advance(timedelta(days=3650).total_seconds())
    handler, dependencies = lambda_api(database_url, snapshots=S3SnapshotStore(bucket=bucket, aws=aws), clock=clock)
    answer = ApiCalls(handler).get(f"/api/events/{number}/snapshot")
    handler.close()
    dependencies.close()
    assert answer.json()["type"] == "urn:vedette:problem:snapshot-gone"
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("what", ["snapshot", "thumbnail", "snapshot-url"])
def test_an_event_without_a_snapshot_is_no_snapshot(api: ApiCalls, database_url: str, what: str) -> None:
    """The problem differs from that of a pending snapshot."""
    [number] = store(database_url, [stored_event("motion")])
    assert api.get(f"/api/events/{number}/{what}").json()["type"] == "urn:vedette:problem:no-snapshot"
    assert api.get(f"/api/events/{number + 1}/{what}").json()["type"] == "urn:vedette:problem:event-not-found"


def test_deletion_is_split_into_requests_of_a_thousand(aws: AwsClients, bucket: str) -> None:
    """S3 deletes at most 1,000 objects per request. All objects are deleted, including missing ones."""
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key="first", Body=b"")
    s3.put_object(Bucket=bucket, Key="last", Body=b"")
    pictures = S3SnapshotStore(bucket=bucket, aws=aws)
    pictures.delete(["first", *(f"absent-{n}" for n in range(1100)), "last"])
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert not pictures.exists("first")


def test_an_unreachable_bucket_is_transient_and_a_missing_one_permanent(aws: AwsClients) -> None:
    """The error names the bucket."""
    nowhere = S3SnapshotStore(bucket="no-such-bucket-here", aws=aws)
    with pytest.raises(PermanentError, match="no-such-bucket-here"):
        nowhere.check()

    class Unreachable(AwsClients):
        def client(self, service: str, *, endpoint_url: str | None = None) -> object:
            del endpoint_url
            return boto3.client(service, region_name="eu-central-1", endpoint_url="http://127.0.0.1:9")

    with pytest.raises(TransientError, match="pictures-1"):
        S3SnapshotStore(bucket="pictures-1", aws=Unreachable()).exists("a")


def test_health_names_failed_checks_and_no_secret(database_url: str, aws: AwsClients, bucket: str) -> None:
    """First all checks pass, then the bucket is unavailable (degraded). No response has an address, bucket name or
    password."""
    topic = aws.client("sns").create_topic(Name=f"hub-{bucket}")["TopicArn"]
    thread_pool = InlineThreadPool()
    from cloud_functions.api.backends.database import ApiDatabase
    from tests.support.api_calls import database_at

    database = ApiDatabase(make_database=lambda: database_at(database_url), thread_pool=thread_pool)
    for bucket_name, status in ((bucket, "ok"), ("not-this-one", "degraded")):
        probes = (
            DatabaseProbe(database),
            BucketProbe(store=S3SnapshotStore(bucket=bucket_name, aws=aws), thread_pool=thread_pool),
            FanOutProbe(topic_arn=topic, aws=aws, thread_pool=thread_pool),
        )
        handler, _ = lambda_api(database_url, probes=probes)
        calls = ApiCalls(handler)
        answer = calls.get("/health")
        assert answer.status == 200
        health = answer.json()
        assert health["status"] == status
        assert health["checks"]["database"]["status"] == "ok"
        assert health["checks"]["database"]["schema"].isalnum()
        assert int(health["checks"]["database"]["postgresql"]) >= 15
        assert health["checks"]["bucket"]["status"] == ("ok" if status == "ok" else "failed")
        assert health["checks"]["fan_out"]["status"] == "ok"
        text = answer.body.decode()
        assert bucket_name not in text
        assert topic not in text
        assert "127.0.0.1" not in text
        assert calls.get("/api/health").json()["status"] == status
        assert calls.get("/api/v1/health").status == 200
        handler.close()
    database.close()


def test_cloud_27_health_responds_while_sns_is_unavailable(database_url: str) -> None:
    """Without SNS and S3 two checks fail, and the response lists them."""
    from cloud_functions.api.backends.database import ApiDatabase
    from tests.support.api_calls import database_at

    class Unreachable(AwsClients):
        def client(self, service: str, *, endpoint_url: str | None = None) -> object:
            del endpoint_url
            return boto3.client(service, region_name="eu-central-1", endpoint_url="http://127.0.0.1:9")

    thread_pool = InlineThreadPool()
    database = ApiDatabase(make_database=lambda: database_at(database_url), thread_pool=thread_pool)
    probes = (
        DatabaseProbe(database),
        BucketProbe(store=S3SnapshotStore(bucket="pictures-1", aws=Unreachable()), thread_pool=thread_pool),
        FanOutProbe(topic_arn="arn:aws:sns:eu-central-1:000000000000:hub", aws=Unreachable(), thread_pool=thread_pool),
    )
    handler, _ = lambda_api(database_url, probes=probes)
    answer = ApiCalls(handler).get("/health")
    handler.close()
    database.close()
    assert (answer.status, answer.json()["status"]) == (200, "degraded")
    checks = answer.json()["checks"]
    assert {name: checks[name]["status"] for name in ("database", "bucket", "fan_out")} == {
        "database": "ok",
        "bucket": "failed",
        "fan_out": "failed",
    }


def test_cloud_27_an_error_in_one_check_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A probe that raises an unexpected error fails. Its traceback is in the log, not in the response."""

    class Broken:
        name = "fan_out"
        essential = False

        async def check(self) -> dict[str, str]:
            raise ZeroDivisionError("hush-hush")

    handler, _ = lambda_api(probes=(Broken(),))
    answer = ApiCalls(handler).get("/health")
    handler.close()
    assert (answer.status, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["fan_out"] == {"status": "failed"}
    assert "ZeroDivisionError" in caplog.text
    assert b"hush-hush" not in answer.body


def test_cloud_27_a_url_that_cannot_be_signed_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials, signing raises a project error, which the API returns as a 503."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")

    class Anonymous(AwsClients):
        def client(self, service: str, *, endpoint_url: str | None = None) -> object:
            del endpoint_url
            return boto3.session.Session().client(service, region_name="eu-central-1")  # not the shared default session

    store = S3SnapshotStore(bucket="pictures-1", aws=Anonymous())
    with pytest.raises(TransientError, match="NoCredentialsError"):
        store.signed_url("a", filename="a.jpg", content_type="image/jpeg", expires_s=60)


def test_health_without_a_database_is_503() -> None:
    """A load balancer then removes the instance. Checks that are not configured do not fail."""
    from cloud_functions.api.backends.database import ApiDatabase
    from tests.support.api_calls import no_database

    database = ApiDatabase(make_database=no_database, thread_pool=InlineThreadPool())
    handler, _ = lambda_api(probes=(DatabaseProbe(database),))
    answer = ApiCalls(handler).get("/api/health")
    handler.close()
    assert answer.status == 503
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["checks"]["fan_out"] == {"status": "not_configured"}
