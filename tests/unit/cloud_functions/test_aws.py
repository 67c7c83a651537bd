"""Requests of AWS clients are encoded as botocore encodes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.aws import AwsClients, encode_form

_VALUES = st.one_of(st.text(), st.text(alphabet='ab {}":,%+&=~\n\x00\x7f'), st.integers(), st.booleans())


@given(st.dictionaries(st.from_regex(r"[A-Za-z.0-9]+", fullmatch=True), _VALUES))
def test_a_form_is_encoded_as_by_urlencode(form: dict[str, Any]) -> None:
    """Every text, number and truth value has the same encoding."""
    params: dict[str, Any] = {"body": dict(form)}
    encode_form(params)
    assert params["body"] == urlencode(form).encode()


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
