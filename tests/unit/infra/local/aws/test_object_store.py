"""The local S3 on a folder, called through boto3."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from infra.local.aws.object_store import ObjectFolder
from infra.local.aws.resources import BUCKET
from infra.local.aws.wsgi import _unchunk
from tests.unit.infra.local.conftest import Endpoint

KEY = "snapshots/gate-01/camera-1/2026-11-20/tracking_103045_123456.jpg"


def _code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_an_object_is_returned_as_it_was_stored(endpoint: Endpoint) -> None:
    """Body, content type, metadata and ETag are those of the upload."""
    s3 = endpoint.client("s3")
    put = s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"picture", ContentType="image/jpeg", Metadata={"sha256": "ab"})
    response = s3.get_object(Bucket=BUCKET, Key=KEY)
    assert response["Body"].read() == b"picture"
    assert (response["ContentType"], response["Metadata"]) == ("image/jpeg", {"sha256": "ab"})
    assert response["ETag"] == put["ETag"]
    head = s3.head_object(Bucket=BUCKET, Key=KEY)
    assert (head["ContentLength"], head["ContentType"]) == (7, "image/jpeg")


def test_objects_are_plain_files_that_survive_a_restart(endpoint: Endpoint) -> None:
    """The body is a file in the bucket's folder, and another server on the same folder serves it."""
    endpoint.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=b"picture", ContentType="image/jpeg")
    assert (endpoint.folder / "objects" / BUCKET / KEY).read_bytes() == b"picture"
    path, head = ObjectFolder(endpoint.folder / "objects").head(BUCKET, KEY)
    assert path.read_bytes() == b"picture"
    assert head.headers == {"content-type": "image/jpeg"}


def test_a_file_without_stored_headers_is_served(endpoint: Endpoint) -> None:
    """A file that was copied into the folder by hand has a computed ETag and a generic content type."""
    path = endpoint.folder / "objects" / BUCKET / "copied.bin"
    path.write_bytes(b"copied")
    response = endpoint.client("s3").get_object(Bucket=BUCKET, Key="copied.bin")
    assert (response["Body"].read(), response["ContentType"]) == (b"copied", "binary/octet-stream")


def test_missing_objects_and_buckets_have_the_error_codes_of_s3(endpoint: Endpoint) -> None:
    """A missing key, a missing bucket and a deleted object are reported as on AWS."""
    s3 = endpoint.client("s3")
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=BUCKET, Key="nothing")
    assert _code(error) == "NoSuchKey"
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="no-such-bucket", Key="a", Body=b"")
    assert _code(error) == "NoSuchBucket"
    s3.put_object(Bucket=BUCKET, Key="a/b", Body=b"x")
    s3.delete_object(Bucket=BUCKET, Key="a/b")
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=BUCKET, Key="a/b")
    assert _code(error) == "404"


def test_a_bucket_can_be_created_and_found(endpoint: Endpoint) -> None:
    """head_bucket succeeds after create_bucket, and fails for a missing bucket."""
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket="another", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.head_bucket(Bucket="another")
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket="missing")


def test_keys_are_listed_by_prefix_in_pages(endpoint: Endpoint) -> None:
    """The keys are in order, and only those with the prefix are listed."""
    s3 = endpoint.client("s3")
    for number in range(5):
        s3.put_object(Bucket=BUCKET, Key=f"a/{number}.jpg", Body=b"x" * number)
    s3.put_object(Bucket=BUCKET, Key="b/0.jpg", Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="a/", PaginationConfig={"PageSize": 2})
    listed = [(item["Key"], item["Size"]) for page in pages for item in page.get("Contents", [])]
    assert listed == [(f"a/{number}.jpg", number) for number in range(5)]
    with pytest.raises(ClientError):
        s3.list_objects_v2(Bucket="missing")


def test_several_objects_are_deleted_in_one_request(endpoint: Endpoint) -> None:
    """The response of delete_objects also contains keys that do not exist."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key="a&b", Body=b"x")
    response = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "a&b"}, {"Key": "missing"}]})
    assert [item["Key"] for item in response["Deleted"]] == ["a&b", "missing"]
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("byte_range", "expected"),
    [("bytes=0-3", b"0123"), ("bytes=7-", b"789"), ("bytes=-2", b"89"), ("bytes=5-99", b"56789")],
)
def test_a_range_of_bytes_is_read(endpoint: Endpoint, byte_range: str, expected: bytes) -> None:
    """Only the bytes of the range are returned."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key="digits", Body=b"0123456789")
    assert s3.get_object(Bucket=BUCKET, Key="digits", Range=byte_range)["Body"].read() == expected


def test_a_range_beyond_the_end_is_rejected(endpoint: Endpoint) -> None:
    """As on AWS, a range without a byte is an error."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key="digits", Body=b"0123456789")
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=BUCKET, Key="digits", Range="bytes=10-")
    assert _code(error) == "InvalidRange"


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "a//b", "a/./b", "x" * 201])
def test_a_key_cannot_leave_its_bucket(endpoint: Endpoint, key: str) -> None:
    """A key with an empty, dotted or too long part is rejected before a file is accessed."""
    folder = ObjectFolder(endpoint.folder / "objects")
    with pytest.raises(Exception, match="InvalidObjectName"):
        folder.put(BUCKET, key, b"x", {})
    assert not (endpoint.folder / "outside").exists()
    assert not (endpoint.folder / "objects" / "outside").exists()


@pytest.mark.parametrize("bucket", ["..", ".head", "a", "A/b", "a..b"])
def test_an_invalid_bucket_name_is_rejected(tmp_path: Path, bucket: str) -> None:
    """Only names that S3 allows are used as folders."""
    with pytest.raises(Exception, match="InvalidBucketName"):
        ObjectFolder(tmp_path).make_bucket(bucket)


def test_a_presigned_url_works_until_it_expires(endpoint: Endpoint) -> None:
    """It requires no credentials, and sets the file name of the download."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"picture", ContentType="image/jpeg")
    params = {"Bucket": BUCKET, "Key": KEY, "ResponseContentDisposition": 'attachment; filename="a.jpg"'}
    url = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=60)
    with urllib.request.urlopen(url) as response:
        assert response.read() == b"picture"
        assert response.headers["Content-Disposition"] == 'attachment; filename="a.jpg"'
    expired = re.sub(r"X-Amz-Date=\w+", "X-Amz-Date=20200101T000000Z", url)
    with pytest.raises(urllib.error.HTTPError) as rejected:
        urllib.request.urlopen(expired)
    assert rejected.value.code == 403
    rejected.value.close()


def test_a_presigned_url_with_an_invalid_date_is_rejected(endpoint: Endpoint) -> None:
    """Its expiry cannot be checked."""
    url = endpoint.client("s3").generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": KEY})
    with pytest.raises(urllib.error.HTTPError) as rejected:
        urllib.request.urlopen(url.replace("X-Amz-Date=2", "X-Amz-Date=x"))
    assert rejected.value.code == 400
    rejected.value.close()


def test_unsigned_requests_go_to_the_fallback(endpoint: Endpoint) -> None:
    """The store answers only requests that are signed for S3."""
    with pytest.raises(urllib.error.HTTPError) as answered:
        urllib.request.urlopen(f"{endpoint.url}/{BUCKET}/{KEY}")
    assert answered.value.code == 418
    answered.value.close()


@given(st.lists(st.binary(min_size=1, max_size=50)))
def test_aws_chunked_encoding_is_decoded(parts: list[bytes]) -> None:
    """The body is the concatenation of the chunks."""
    framed = b"".join(b"%x;chunk-signature=ab\r\n%b\r\n" % (len(part), part) for part in parts)
    assert _unchunk(framed + b"0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n") == b"".join(parts)


def test_cloud_b9_a_single_level_is_listed_with_a_delimiter(endpoint: Endpoint) -> None:
    """Folders are listed as common prefixes, objects of the level as contents, in pages."""
    s3 = endpoint.client("s3")
    for key in ("a/1/x.jpg", "a/1/y.jpg", "a/2/x.jpg", "a/b.jpg", "c.jpg"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="a/", Delimiter="/")
    assert [entry["Prefix"] for entry in listed["CommonPrefixes"]] == ["a/1/", "a/2/"]
    assert [entry["Key"] for entry in listed["Contents"]] == ["a/b.jpg"]
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="a/", Delimiter="/", PaginationConfig={"PageSize": 1}
    )
    assert [[entry["Prefix"] for entry in page.get("CommonPrefixes", [])] for page in pages] == [["a/1/"], ["a/2/"], []]
    top = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")
    assert [entry["Prefix"] for entry in top["CommonPrefixes"]] == ["a/"]


def test_cloud_b9_a_folder_is_deleted_with_its_last_object(endpoint: Endpoint) -> None:
    """Deleting all objects of a day leaves no empty folders, except that of the bucket."""
    s3 = endpoint.client("s3")
    for key in ("a/1/x.jpg", "a/2/x.jpg"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    s3.delete_object(Bucket=BUCKET, Key="a/1/x.jpg")
    assert sorted(path.name for path in (endpoint.folder / "objects" / BUCKET / "a").iterdir()) == ["2"]
    s3.delete_object(Bucket=BUCKET, Key="a/2/x.jpg")
    assert list((endpoint.folder / "objects" / BUCKET).iterdir()) == []
    assert not list((endpoint.folder / "objects" / ".head" / BUCKET).iterdir())
    s3.put_object(Bucket=BUCKET, Key="a/1/x.jpg", Body=b"x")


def test_cloud_b8_a_removed_object_folder_is_created_again(endpoint: Endpoint) -> None:
    """If ``objects`` is deleted by hand while the stack runs, old objects are missing and new ones are stored."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"picture")
    shutil.rmtree(endpoint.folder / "objects")
    with pytest.raises(ClientError) as missing:
        s3.get_object(Bucket=BUCKET, Key=KEY)
    assert _code(missing) == "NoSuchKey"
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"another")
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"another"


def test_cloud_b8_a_removed_state_folder_is_not_created_again(tmp_path: Path) -> None:
    """Otherwise the supervisor would find an incomplete state folder."""
    objects = ObjectFolder(tmp_path / "state" / "objects")
    objects.make_bucket(BUCKET)
    shutil.rmtree(tmp_path / "state")
    assert not objects.has_bucket(BUCKET)
    assert not (tmp_path / "state").exists()
