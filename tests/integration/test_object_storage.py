"""The storage service on three implementations of S3: the one-machine stack's, moto and rclone."""

from __future__ import annotations

import asyncio
import io
import random
import tracemalloc
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from typing import IO, Any, TypeVar, cast

import boto3
import pytest

from cloud_functions.aws import AwsClients
from cloud_functions.object_storage.bucket import PART_BYTES, Bucket, ObjectMissingError
from cloud_functions.object_storage.storage_service import BucketStats, StorageService
from shared.errors import ContractError, PermanentError, TransientError

STORES = ("stack_s3", "moto_server", "rclone_s3")
MIB = 1024 * 1024
T = TypeVar("T")


def _use(monkeypatch: pytest.MonkeyPatch, url: str, *, region: str = "eu-central-1", secret: str = "test") -> None:
    for name, value in {"AWS_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": region}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        boto3, "DEFAULT_SESSION", boto3.session.Session(aws_access_key_id="test", aws_secret_access_key=secret)
    )


@pytest.fixture
def new_service(monkeypatch: pytest.MonkeyPatch) -> Callable[..., StorageService]:
    """Return a function that makes a service with a bucket of its own, which does not exist yet."""

    def make(url: str, *, max_file_bytes: int = 100 * MIB, create_bucket: bool = True) -> StorageService:
        _use(monkeypatch, url)
        return StorageService(
            bucket=f"storage-{uuid.uuid4().hex[:12]}",
            aws=AwsClients(),
            max_file_bytes=max_file_bytes,
            create_bucket=create_bucket,
        )

    return make


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest) -> str:
    """The endpoint of each store."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def storage(url: str, new_service: Callable[..., StorageService]) -> StorageService:
    """A service on each store."""
    return new_service(url)


def _upload(storage: StorageService, *paths: str) -> None:
    async def upload() -> None:
        for path in paths:
            await storage.upload_file(path, path.encode())

    asyncio.run(upload())


def _paths(storage: StorageService, directory: str = "", **options: Any) -> list[str]:
    return [each.key for each in asyncio.run(storage.list_files(directory, **options))]


def test_a_file_is_returned_as_it_was_uploaded(storage: StorageService) -> None:
    """The first upload creates the bucket; content, type and metadata are kept, and a second upload replaces them."""

    async def use() -> None:
        stored = await storage.upload_file("a/é 1.jpg", b"picture", metadata={"camera": "gate 1"})
        assert (stored.key, stored.size_bytes, stored.content_type) == ("a/é 1.jpg", 7, "image/jpeg")
        assert dict(stored.metadata) == {"camera": "gate 1"}
        assert await storage.download_file("a/é 1.jpg") == b"picture"
        assert await storage.file_exists("a/é 1.jpg")
        assert await storage.get_file_size("a/é 1.jpg") == 7
        replaced = await storage.upload_file("a/é 1.jpg", io.BytesIO(b"other text"), "text/plain")
        assert (replaced.size_bytes, replaced.content_type) == (10, "text/plain")
        assert await storage.download_file("a/é 1.jpg") == b"other text"

    asyncio.run(use())


def test_an_empty_file_is_a_file(storage: StorageService) -> None:
    """Its size is 0, and its content type that of unknown suffixes."""

    async def use() -> None:
        stored = await storage.upload_file("empty", b"")
        assert (stored.size_bytes, stored.content_type) == (0, "application/octet-stream")
        assert await storage.download_file("empty") == b""

    asyncio.run(use())


def test_a_missing_file_is_reported(storage: StorageService) -> None:
    """Reading, sizing and copying it raise ObjectMissingError; deleting it does not."""
    _upload(storage, "a")

    async def use() -> None:
        assert not await storage.file_exists("b")
        for call in (
            storage.download_file("b"),
            storage.get_file_size("b"),
            storage.copy_file("b", "c"),
            storage.download_to("b", io.BytesIO()),
        ):
            with pytest.raises(ObjectMissingError, match="the object b does not exist"):
                await call
        await storage.delete_file("b")
        assert not await storage.file_exists("c")

    asyncio.run(use())


def test_a_large_file_goes_through_in_parts(storage: StorageService) -> None:
    """An upload of more than two parts from a file that cannot seek and reads short, and its download, are complete."""
    content = random.Random(7).randbytes(2 * PART_BYTES + 12345)

    async def use() -> None:
        stored = await storage.upload_file("big", cast(IO[bytes], _Pipe(content)), "video/mp4", {"camera": "gate"})
        assert (stored.size_bytes, stored.content_type) == (len(content), "video/mp4")
        received = io.BytesIO()
        assert await storage.download_to("big", received) == len(content)
        assert received.getvalue() == content

    asyncio.run(use())


class _Pipe:
    """A source like a pipe: reads return less than was requested, and there is no seek."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, 1_000_000) if size >= 0 else 1_000_000)


def test_a_file_that_is_too_large_is_not_stored(url: str, new_service: Callable[..., StorageService]) -> None:
    """Neither from memory nor from a file, in one request or in parts; a file of exactly the limit is stored."""
    for limit in (10, PART_BYTES + 10):
        storage = new_service(url, max_file_bytes=limit)

        async def use(storage: StorageService = storage, limit: int = limit) -> None:
            for data in (bytes(limit + 1), io.BytesIO(bytes(limit + 1))):
                with pytest.raises(ContractError, match=f"exceeds the limit of {limit} bytes") as error:
                    await storage.upload_file("big", data)
                assert error.value.reason == "too_large"
            await storage.upload_file("fits", io.BytesIO(bytes(limit)))
            assert not await storage.file_exists("big")
            assert await storage.get_file_size("fits") == limit
            smaller = StorageService(bucket=storage.bucket.name, aws=AwsClients(), max_file_bytes=limit - 1)
            with pytest.raises(PermanentError, match=f"more than the limit of {limit - 1}"):
                await smaller.download_file("fits")

        asyncio.run(use())


def test_files_are_listed_below_a_directory_in_pages(storage: StorageService) -> None:
    """In the order of their paths, without those of a directory with a longer name."""
    paths = ["a-1/x", "a/1.jpg", "a/2/3.jpg", "ab/1.jpg", "b"]
    _upload(storage, *reversed(paths))
    assert _paths(storage) == sorted(paths)
    assert _paths(storage, "a") == _paths(storage, "a/") == ["a/1.jpg", "a/2/3.jpg"]
    assert _paths(storage, "nothing") == []
    first = _paths(storage, limit=2)
    assert first + _paths(storage, after=first[-1]) == sorted(paths)
    listed = asyncio.run(storage.list_files("b"))
    assert listed == []
    assert [
        (each.size_bytes, each.modified_at.tzinfo is not None) for each in asyncio.run(storage.list_files("a"))
    ] == [
        (7, True),
        (9, True),
    ]


def test_a_directory_is_deleted(storage: StorageService) -> None:
    """Only the files below it, and their number is returned."""
    _upload(storage, "a/1", "a/2/3", "ab", "b/1")
    assert asyncio.run(storage.delete_directory("a")) == 2
    assert _paths(storage) == ["ab", "b/1"]
    assert asyncio.run(storage.delete_directory("nothing/")) == 0
    with pytest.raises(ContractError, match="whole bucket"):
        asyncio.run(storage.delete_directory(""))
    asyncio.run(storage.delete_file("ab"))
    assert _paths(storage) == ["b/1"]


def test_a_file_is_copied_with_its_type(storage: StorageService) -> None:
    """The source remains; an earlier file at the destination is replaced."""

    async def use() -> None:
        await storage.upload_file("a/ü 1", b"picture", "image/png", {"camera": "gate"})
        await storage.upload_file("b/2", b"old")
        await storage.copy_file("a/ü 1", "b/2")
        assert await storage.download_file("b/2") == await storage.download_file("a/ü 1") == b"picture"
        info = await asyncio.to_thread(storage.bucket.info, "b/2")
        assert info is not None
        assert (info.content_type, dict(info.metadata)) == ("image/png", {"camera": "gate"})
        with pytest.raises(ContractError, match="its own path"):
            await storage.copy_file("b/2", "b/2")

    asyncio.run(use())


def test_the_statistics_count_all_files(storage: StorageService) -> None:
    """Number and total size."""
    _upload(storage, "a/1", "b/22", "c")
    name = storage.bucket.name
    assert asyncio.run(storage.get_bucket_stats()) == BucketStats(bucket=name, file_count=3, total_size_bytes=8)


def test_signed_urls_need_no_credentials(storage: StorageService) -> None:
    """One uploads a file with its content type, the other downloads it."""
    _upload(storage, "first")
    put = asyncio.run(storage.generate_signed_url("in/a b.jpg", 0.5, method="put"))
    assert "X-Amz-Expires=1800" in put
    request = urllib.request.Request(put, data=b"picture", method="PUT", headers={"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
    got = asyncio.run(storage.generate_signed_url("in/a b.jpg"))
    assert "X-Amz-Expires=3600" in got
    with urllib.request.urlopen(got) as response:
        assert (response.read(), response.headers["Content-Type"]) == (b"picture", "image/jpeg")


@pytest.mark.parametrize("hours", [0, -1, 0.0001, 168.1])
def test_the_validity_of_a_signed_url_is_limited(hours: float) -> None:
    """More than nothing, and at most seven days."""
    storage = StorageService(bucket="any-bucket", aws=AwsClients())
    with pytest.raises(ContractError, match="at most 168"):
        asyncio.run(storage.generate_signed_url("a", hours))


def test_a_changed_signed_url_is_rejected(rclone_s3: str, new_service: Callable[..., StorageService]) -> None:
    """The signature covers the path, the method, the expiry and the content type, in every region."""
    storage = new_service(rclone_s3)
    _upload(storage, "a.jpg", "b.jpg")
    good = asyncio.run(storage.generate_signed_url("a.jpg"))
    put = asyncio.run(storage.generate_signed_url("a.jpg", method="put"))
    for request in (
        urllib.request.Request(good.replace("a.jpg", "b.jpg")),
        urllib.request.Request(good.replace("X-Amz-Expires=3600", "X-Amz-Expires=7200")),
        urllib.request.Request(good, data=b"x", method="PUT"),
        urllib.request.Request(put, data=b"x", method="PUT", headers={"Content-Type": "text/html"}),
    ):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request)
        error.value.close()
        assert error.value.code in {400, 403}


def test_urls_are_signed_with_version_4_in_the_oldest_region(
    rclone_s3: str, monkeypatch: pytest.MonkeyPatch, new_service: Callable[..., StorageService]
) -> None:
    """In us-east-1 botocore's default is Signature Version 2, which other stores reject."""
    storage = new_service(rclone_s3)
    _upload(storage, "a")
    _use(monkeypatch, rclone_s3, region="us-east-1")
    again = StorageService(bucket=storage.bucket.name, aws=AwsClients())
    with urllib.request.urlopen(asyncio.run(again.generate_signed_url("a"))) as response:
        assert response.read() == b"a"


def test_a_store_with_a_host_name_is_addressed_by_path(
    rclone_s3: str, monkeypatch: pytest.MonkeyPatch, new_service: Callable[..., StorageService]
) -> None:
    """The bucket is in the path, not in the host name; on AWS it stays in the host name."""
    storage = new_service(rclone_s3)
    assert rclone_s3.startswith("http://localhost:")
    found = asyncio.run(storage.generate_signed_url("a"))
    assert found.startswith(f"{rclone_s3}/{storage.bucket.name}/a?")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    on_aws = StorageService(bucket="some-bucket", aws=AwsClients())
    assert asyncio.run(on_aws.generate_signed_url("a")).startswith("https://some-bucket.s3.")


def test_wrong_credentials_are_a_permanent_error(
    rclone_s3: str, monkeypatch: pytest.MonkeyPatch, new_service: Callable[..., StorageService]
) -> None:
    """The error names the bucket and not the secret."""
    storage = new_service(rclone_s3)
    _upload(storage, "a")
    _use(monkeypatch, rclone_s3, secret="wrong-secret")
    denied = StorageService(bucket=storage.bucket.name, aws=AwsClients())
    with pytest.raises(PermanentError, match=storage.bucket.name) as error:
        asyncio.run(denied.download_file("a"))
    assert "wrong-secret" not in str(error.value)


def test_a_bucket_is_not_created_without_permission(url: str, new_service: Callable[..., StorageService]) -> None:
    """By default a missing bucket is an error of the upload, and the check reports it."""
    storage = new_service(url, create_bucket=False)
    with pytest.raises(PermanentError, match="NoSuchBucket"):
        asyncio.run(storage.upload_file("a", b"x"))
    assert not storage.bucket.exists()


def test_a_store_that_does_not_respond_is_a_transient_error(new_service: Callable[..., StorageService]) -> None:
    """The same call may succeed later."""
    storage = new_service("http://127.0.0.1:9", create_bucket=False)
    for call in (storage.upload_file("a", b"x"), storage.list_files(), storage.delete_directory("a")):
        with pytest.raises(TransientError, match="did not respond"):
            asyncio.run(cast(Any, call))


def test_lists_are_read_page_by_page(stack_s3: str, new_service: Callable[..., StorageService]) -> None:
    """The first of 1,005 files takes one request, and all of them are counted and deleted in two or more."""
    storage = new_service(stack_s3)
    storage.bucket.create()
    aws = AwsClients()
    calls: list[str] = []
    client = aws.client("s3")
    client.meta.events.register("before-call.s3", lambda model, **_: calls.append(model.name))
    for number in range(1005):
        client.put_object(Bucket=storage.bucket.name, Key=f"a/{number:04d}", Body=b"x")
    counting = StorageService(bucket=storage.bucket.name, aws=aws)
    calls.clear()
    assert next(Bucket(name=storage.bucket.name, aws=aws).objects()).key == "a/0000"
    assert calls == ["ListObjectsV2"]
    assert len(asyncio.run(counting.list_files("a", limit=1003))) == 1003
    assert asyncio.run(counting.get_bucket_stats()).file_count == 1005
    calls.clear()
    assert asyncio.run(counting.delete_directory("a")) == 1005
    assert calls.count("DeleteObjects") == 2
    assert asyncio.run(counting.get_bucket_stats()).file_count == 0


def test_memory_does_not_grow_with_the_size_of_a_file(
    rclone_s3: str, new_service: Callable[..., StorageService]
) -> None:
    """Uploading and downloading ten parts takes less memory than half of them."""
    storage = new_service(rclone_s3)
    size = 10 * PART_BYTES
    tracemalloc.start()
    try:
        asyncio.run(storage.upload_file("big", cast(IO[bytes], _Zeros(size))))
        assert asyncio.run(storage.download_to("big", cast(IO[bytes], _Sink()))) == size
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < size / 2


class _Zeros:
    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        given = min(size, self._left) if size >= 0 else self._left
        self._left -= given
        return bytes(given)


class _Sink:
    def write(self, data: bytes) -> int:
        return len(data)
