"""Multipart uploads, copies and the order of lists of the local S3, called through boto3."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.aws.object_store import ObjectFolder
from infra.local.aws.resources import BUCKET
from tests.unit.infra.local.conftest import Endpoint


def _code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def _begin(s3: Any, key: str = "big") -> str:
    created = s3.create_multipart_upload(Bucket=BUCKET, Key=key, ContentType="video/mp4", Metadata={"camera": "gate"})
    return str(created["UploadId"])


def _part(s3: Any, upload_id: str, number: int, body: bytes) -> dict[str, Any]:
    sent = s3.upload_part(Bucket=BUCKET, Key="big", UploadId=upload_id, PartNumber=number, Body=body)
    return {"PartNumber": number, "ETag": sent["ETag"]}


def test_a_large_upload_arrives_whole(endpoint: Endpoint) -> None:
    """boto3 sends it in parts, and the object's headers are those of the upload's beginning."""
    s3 = endpoint.client("s3")
    content = random.Random(7).randbytes(9 * 1024 * 1024)
    extra = {"ContentType": "video/mp4", "Metadata": {"camera": "gate"}}
    s3.upload_fileobj(io.BytesIO(content), BUCKET, "clips/big.mp4", ExtraArgs=extra)
    found = s3.get_object(Bucket=BUCKET, Key="clips/big.mp4")
    assert found["Body"].read() == content
    assert (found["ContentType"], found["Metadata"]) == ("video/mp4", {"camera": "gate"})
    assert found["ETag"].endswith('-2"')
    assert list((endpoint.folder / "objects" / ".uploads").iterdir()) == []


def test_parts_are_joined_by_number(endpoint: Endpoint) -> None:
    """Parts may be sent in any order and again; the last body of a number counts, and unlisted parts are dropped."""
    s3 = endpoint.client("s3")
    upload_id = _begin(s3)
    second = _part(s3, upload_id, 2, b"world")
    _part(s3, upload_id, 1, b"nobody")
    first = _part(s3, upload_id, 1, b"hello ")
    _part(s3, upload_id, 3, b"!")
    listed = {"Parts": [first, second]}
    s3.complete_multipart_upload(Bucket=BUCKET, Key="big", UploadId=upload_id, MultipartUpload=listed)
    assert s3.get_object(Bucket=BUCKET, Key="big")["Body"].read() == b"hello world"


def test_an_aborted_upload_leaves_nothing(endpoint: Endpoint) -> None:
    """The object does not exist, and further parts are rejected."""
    s3 = endpoint.client("s3")
    upload_id = _begin(s3)
    part = _part(s3, upload_id, 1, b"hello")
    s3.abort_multipart_upload(Bucket=BUCKET, Key="big", UploadId=upload_id)
    for call in (
        lambda: _part(s3, upload_id, 2, b"x"),
        lambda: s3.complete_multipart_upload(
            Bucket=BUCKET, Key="big", UploadId=upload_id, MultipartUpload={"Parts": [part]}
        ),
    ):
        with pytest.raises(ClientError) as error:
            call()
        assert _code(error) == "NoSuchUpload"
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_an_upload_cannot_be_completed_with_wrong_parts(endpoint: Endpoint) -> None:
    """A part that was not sent, parts out of order, another key, and an id that is a path are rejected."""
    s3 = endpoint.client("s3")
    upload_id = _begin(s3)
    parts = [_part(s3, upload_id, number, b"x") for number in (1, 2)]

    def complete(listed: list[dict[str, Any]], *, key: str = "big", upload: str = upload_id) -> str:
        with pytest.raises(ClientError) as error:
            s3.complete_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": listed})
        return _code(error)

    assert complete([*parts, {"PartNumber": 3, "ETag": '"x"'}]) == "InvalidPart"
    assert complete(parts[::-1]) == "InvalidPartOrder"
    assert complete(parts, key="other") == "NoSuchUpload"
    assert complete(parts, upload="../../queues.db") == "NoSuchUpload"


def test_lists_of_parts_are_not_implemented(endpoint: Endpoint) -> None:
    """The error code says so."""
    s3 = endpoint.client("s3")
    with pytest.raises(ClientError) as error:
        s3.list_parts(Bucket=BUCKET, Key="big", UploadId=_begin(s3))
    assert _code(error) == "NotImplemented"


def test_an_object_is_copied_with_its_headers(endpoint: Endpoint) -> None:
    """The directive REPLACE sets new ones."""
    s3 = endpoint.client("s3")
    s3.put_object(Bucket=BUCKET, Key="a/é b.jpg", Body=b"picture", ContentType="image/jpeg", Metadata={"n": "1"})
    source = {"Bucket": BUCKET, "Key": "a/é b.jpg"}
    copied = s3.copy_object(Bucket=BUCKET, Key="c/d.jpg", CopySource=source)
    found = s3.get_object(Bucket=BUCKET, Key="c/d.jpg")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (b"picture", "image/jpeg", {"n": "1"})
    assert copied["CopyObjectResult"]["ETag"] == found["ETag"]
    s3.copy_object(
        Bucket=BUCKET, Key="c/d.jpg", CopySource=source, MetadataDirective="REPLACE", ContentType="image/png"
    )
    head = s3.head_object(Bucket=BUCKET, Key="c/d.jpg")
    assert (head["ContentType"], head["Metadata"]) == ("image/png", {})


def test_a_copy_of_nothing_and_onto_itself_is_rejected(endpoint: Endpoint) -> None:
    """The error codes are those of S3."""
    s3 = endpoint.client("s3")
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket=BUCKET, Key="b", CopySource={"Bucket": BUCKET, "Key": "nothing"})
    assert _code(error) == "NoSuchKey"
    s3.put_object(Bucket=BUCKET, Key="a", Body=b"x")
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket=BUCKET, Key="a", CopySource={"Bucket": BUCKET, "Key": "a"})
    assert _code(error) == "InvalidRequest"


_NAMES = st.text("ab-.", min_size=1, max_size=3).filter(lambda name: name.strip(".") != "" and name[0] != ".")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.lists(_NAMES, min_size=2, max_size=2).map("/".join), max_size=8), st.integers(1, 3))
def test_pages_contain_every_key_once_in_order(endpoint: Endpoint, keys: set[str], page_size: int) -> None:
    """Keys are ordered by their characters, also where a folder's name is a prefix of another name."""
    s3, folder = endpoint.client("s3"), ObjectFolder(endpoint.folder / "objects")
    for old, _ in list(folder.keys(BUCKET, "")):
        folder.delete(BUCKET, old)
    for key in keys:
        folder.put(BUCKET, key, b"", {})
    paginator = s3.get_paginator("list_objects_v2")
    pages = paginator.paginate(Bucket=BUCKET, PaginationConfig={"PageSize": page_size})
    assert [item["Key"] for page in pages for item in page.get("Contents", [])] == sorted(keys)
