"""Requests of AWS clients are encoded as botocore encodes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.aws import AwsClients, encode_form
from cloud_functions.snapshot_store import S3SnapshotStore

_VALUES = st.one_of(st.text(), st.text(alphabet='ab {}":,%+&=~\n\x00\x7f'), st.integers(), st.booleans())


@given(st.dictionaries(st.from_regex(r"[A-Za-z.0-9]+", fullmatch=True), _VALUES))
def test_a_form_is_encoded_as_by_urlencode(form: dict[str, Any]) -> None:
    """Every text, number and truth value has the same encoding."""
    params: dict[str, Any] = {"body": dict(form)}
    encode_form(params)
    assert params["body"] == urlencode(form).encode()


def test_a_signed_url_names_the_regional_host_in_every_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The global host redirects requests for a new bucket, and a signature is not valid for the other host."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    hosts = {region: urlsplit(_signed_url(region)) for region in boto3.Session().get_available_regions("s3")}
    assert {"us-east-1", "us-west-2", "eu-west-1", "eu-central-2"} <= set(hosts)
    for region, url in hosts.items():
        assert url.hostname == f"pictures.s3.{region}.amazonaws.com"
        assert url.path == "/site/a.jpg"
        assert parse_qs(url.query)["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert f"/{region}/s3/" in parse_qs(url.query)["X-Amz-Credential"][0]


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("cn-north-1", "pictures.s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "pictures.s3.us-gov-west-1.amazonaws.com"),
    ],
)
def test_a_signed_url_names_the_host_of_another_partition(
    region: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """China has a domain of its own."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert urlsplit(_signed_url(region)).hostname == host


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4566", "https://store.example"])
def test_another_store_gets_the_bucket_in_the_path(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_ENDPOINT_URL_S3 selects it, as the local stack does."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    url = _signed_url("us-east-1")
    assert url.startswith(f"{endpoint}/pictures/site/a.jpg?")
    assert "X-Amz-Signature" in url


def _signed_url(region: str) -> str:
    store = S3SnapshotStore(bucket="pictures", aws=AwsClients(region=region))
    return store.signed_url("site/a.jpg", filename="a.jpg", content_type="image/jpeg", expires_s=60)


def test_a_body_that_is_no_form_is_left_alone() -> None:
    """Other protocols have bytes already."""
    params: dict[str, Any] = {"body": b"{}"}
    encode_form(params)
    assert params["body"] == b"{}"


def test_a_batch_is_sent_as_a_form_that_was_encoded_once() -> None:
    """botocore gets the encoded form, with which it signs and sends the request."""
    client = AwsClients(region="eu-central-1").client("sns")
    sent: list[Any] = []

    def answer(request: Any, **_: object) -> Any:
        sent.append(request)
        raise ConnectionError

    client.meta.events.register("before-sign.sns.PublishBatch", lambda request, **_: sent.append(request.data))
    client.meta.events.register("before-send.sns.PublishBatch", answer)
    try:
        client.publish_batch(TopicArn="arn", PublishBatchRequestEntries=[{"Id": "0", "Message": '{"a": "é"}'}])
    except Exception:
        assert isinstance(sent[0], bytes)
    assert b"member.1.Message=%7B%22a%22%3A+%22%C3%A9%22%7D" in sent[0]
