"""S3 on a folder, asked the way our code asks: with boto3."""

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


def test_an_object_comes_back_as_it_was_put(endpoint: Endpoint) -> None:
    """Body, content type, metadata and ETag are those of the put."""
    s3 = endpoint.client("s3")
    put = s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"picture", ContentType="image/jpeg", Metadata={"sha256": "ab"})
    got = s3.get_object(Bucket=BUCKET, Key=KEY)
    assert got["Body"].read() == b"picture"
    assert (got["ContentType"], got["Metadata"], got["ETag"]) == ("image/jpeg", {"sha256": "ab"}, put["ETag"])
    head = s3.head_object(Bucket=BUCKET, Key=KEY)
    assert (head["ContentLength"], head["ContentType"]) == (7, "image/jpeg")


def test_objects_are_plain_files_and_outlive_the_server(endpoint: Endpoint) -> None:
    """The body is a file under the bucket's folder, and another server on the folder serves it."""
    endpoint.client("s3").put_object(Bucket=BUCKET, Key=KEY, Body=b"picture", ContentType="image/jpeg")
    assert (endpoint.folder / "objects" / BUCKET / KEY).read_bytes() == b"picture"
    path, head = ObjectFolder(endpoint.folder / "objects").head(BUCKET, KEY)
    assert path.read_bytes() == b"picture"
    assert head.headers == {"content-type": "image/jpeg"}


def test_a_file_without_its_head_is_still_served(endpoint: Endpoint) -> None:
    """A file that was copied into the folder by hand has a computed ETag and no known type."""
    path = endpoint.folder / "objects" / BUCKET / "copied.bin"
    path.write_bytes(b"copied")
    got = endpoint.client("s3").get_object(Bucket=BUCKET, Key="copied.bin")
    assert (got["Body"].read(), got["ContentType"]) == (b"copied", "binary/octet-stream")


def test_what_is_not_there_is_said_in_s3s_words(endpoint: Endpoint) -> None:
    """A missing key, a missing bucket and a deleted object have the error codes that S3 clients expect."""
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


def test_buckets_are_made_and_looked_for(endpoint: Endpoint) -> None:
    """create_bucket and head_bucket work; a name that could climb out of the folder is refused."""
    s3 = endpoint.client("s3")
    s3.create_bucket(Bucket="another", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.head_bucket(Bucket="another")
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket="missing")


def test_listing_pages_by_prefix(endpoint: Endpoint) -> None:
    """Keys come in order, under the prefix alone, in pages."""
    s3 = endpoint.client("s3")
    for number in range(5):
        s3.put_object(Bucket=BUCKET, Key=f"a/{number}.jpg", Body=b"x" * number)
    s3.put_object(Bucket=BUCKET, Key="b/0.jpg", Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="a/", PaginationConfig={"PageSize": 2})
    found = [(item["Key"], item["Size"]) for page in pages for item in page.get("Contents", [])]
    assert found == [(f"a/{number}.jpg", number) for number in range(5)]
    with pytest.raises(ClientError):
        s3.list_objects_v2(Bucket="missing")


def test_many_objects_are_deleted_at_once(endpoint: Endpoint) -> None:
    """delete_objects deletes what it names, there or not."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key="a&b", Body=b"x")
    answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "a&b"}, {"Key": "missing"}]})
    assert [item["Key"] for item in answer["Deleted"]] == ["a&b", "missing"]
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("bytes=0-3", b"0123"), ("bytes=7-", b"789"), ("bytes=-2", b"89"), ("bytes=5-99", b"56789")],
)
def test_a_range_of_bytes(endpoint: Endpoint, wanted: str, expected: bytes) -> None:
    """Part of an object is read by range."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key="digits", Body=b"0123456789")
    assert s3.get_object(Bucket=BUCKET, Key="digits", Range=wanted)["Body"].read() == expected


def test_a_range_beyond_the_end_is_refused(endpoint: Endpoint) -> None:
    """A range that holds no byte is an error, as in S3."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key="digits", Body=b"0123456789")
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=BUCKET, Key="digits", Range="bytes=10-")
    assert _code(error) == "InvalidRange"


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "a//b", "a/./b", "x" * 201])
def test_no_key_climbs_out_of_the_bucket(endpoint: Endpoint, key: str) -> None:
    """A key with empty, dotted or overlong parts is refused before any file is touched."""
    folder = ObjectFolder(endpoint.folder / "objects")
    with pytest.raises(Exception, match="InvalidObjectName"):
        folder.put(BUCKET, key, b"x", {})
    assert not (endpoint.folder / "outside").exists()
    assert not (endpoint.folder / "objects" / "outside").exists()


@pytest.mark.parametrize("bucket", ["..", ".head", "a", "A/b", "a..b"])
def test_no_bucket_is_another_folder(tmp_path: Path, bucket: str) -> None:
    """Only S3's own bucket names name a folder."""
    with pytest.raises(Exception, match="InvalidBucketName"):
        ObjectFolder(tmp_path).make_bucket(bucket)


def test_a_link_works_until_it_expires(endpoint: Endpoint) -> None:
    """A presigned link needs no credentials, names the download, and stops at its time."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"picture", ContentType="image/jpeg")
    wanted = {"Bucket": BUCKET, "Key": KEY, "ResponseContentDisposition": 'attachment; filename="a.jpg"'}
    link = s3.generate_presigned_url("get_object", Params=wanted, ExpiresIn=60)
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"picture"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a.jpg"'
    old = re.sub(r"X-Amz-Date=\w+", "X-Amz-Date=20200101T000000Z", link)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(old)
    assert refused.value.code == 403
    refused.value.close()


def test_a_link_with_a_spoilt_date_is_refused(endpoint: Endpoint) -> None:
    """What cannot be checked is not let through."""
    link = endpoint.client("s3").generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": KEY})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(link.replace("X-Amz-Date=2", "X-Amz-Date=x"))
    assert refused.value.code == 400
    refused.value.close()


def test_multipart_uploads_are_said_to_be_missing(endpoint: Endpoint) -> None:
    """What is not implemented answers so, rather than storing half of it."""
    with pytest.raises(ClientError) as error:
        endpoint.client("s3").create_multipart_upload(Bucket=BUCKET, Key="big")
    assert _code(error) == "NotImplemented"


def test_unsigned_requests_are_for_the_fallback(endpoint: Endpoint) -> None:
    """A request that is not signed for S3 goes past the store."""
    with pytest.raises(urllib.error.HTTPError) as passed:
        urllib.request.urlopen(f"{endpoint.url}/{BUCKET}/{KEY}")
    assert passed.value.code == 418
    passed.value.close()


@given(st.lists(st.binary(min_size=1, max_size=50)))
def test_chunk_framing_comes_off(parts: list[bytes]) -> None:
    """Whatever the chunks hold, their contents in order are the body."""
    framed = b"".join(b"%x;chunk-signature=ab\r\n%b\r\n" % (len(part), part) for part in parts)
    assert _unchunk(framed + b"0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n") == b"".join(parts)


def test_cloud_b9_a_level_is_listed_by_itself(endpoint: Endpoint) -> None:
    """With a delimiter, folders are prefixes; only the objects beside them are objects; pages continue."""
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


def test_cloud_b9_folders_go_with_their_last_object(endpoint: Endpoint) -> None:
    """A deleted day leaves no empty folders behind; the bucket itself stays."""
    s3 = endpoint.client("s3")
    for key in ("a/1/x.jpg", "a/2/x.jpg"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    s3.delete_object(Bucket=BUCKET, Key="a/1/x.jpg")
    assert sorted(path.name for path in (endpoint.folder / "objects" / BUCKET / "a").iterdir()) == ["2"]
    s3.delete_object(Bucket=BUCKET, Key="a/2/x.jpg")
    assert list((endpoint.folder / "objects" / BUCKET).iterdir()) == []
    assert not list((endpoint.folder / "objects" / ".head" / BUCKET).iterdir())
    s3.put_object(Bucket=BUCKET, Key="a/1/x.jpg", Body=b"x")


def test_cloud_b8_a_removed_picture_folder_is_made_again(endpoint: Endpoint) -> None:
    """Somebody deletes ``objects`` by hand while the stack runs: the pictures are gone, and new ones are stored."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"picture")
    shutil.rmtree(endpoint.folder / "objects")
    with pytest.raises(ClientError) as gone:
        s3.get_object(Bucket=BUCKET, Key=KEY)
    assert _code(gone) == "NoSuchKey"
    s3.put_object(Bucket=BUCKET, Key=KEY, Body=b"another")
    assert s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read() == b"another"


def test_cloud_b8_a_removed_state_folder_is_not_made_again(tmp_path: Path) -> None:
    """Nothing of it, or the supervisor's folder would be half there."""
    objects = ObjectFolder(tmp_path / "state" / "objects")
    objects.make_bucket(BUCKET)
    shutil.rmtree(tmp_path / "state")
    assert not objects.has_bucket(BUCKET)
    assert not (tmp_path / "state").exists()
