"""Signature, address check and retry schedule of webhooks."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.events.requests import FilterParameters
from cloud_functions.api.http.list_parameters import TimeRangeParameters
from cloud_functions.api.webhooks.requests import WebhookFilter, WebhookRequest
from cloud_functions.fanout.webhooks.addresses import AddressPolicy
from cloud_functions.fanout.webhooks.retry import DELAYS_S, MAX_ATTEMPTS, retry_after
from cloud_functions.fanout.webhooks.signature import signed_headers
from shared.errors import ConfigurationError

EVERYTHING = AddressPolicy.parse("0.0.0.0/0, ::/0")
PUBLIC = ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8")
PRIVATE = (
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd12::1",
    "::ffff:10.0.0.1",
    "::10.0.0.1",
    "fec0::1",
)
NEVER = (
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::ffff:0:a9fe:a9fe",
    "localhost",
    "",
)


def test_the_signature_is_that_of_the_reference_library() -> None:
    """The value was computed by standardwebhooks 1.1.0 for the same secret, id, time and body."""
    headers = signed_headers(
        "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11",
        '{"event_type":"anpr","id":42,"note":"é"}'.encode(),
        timestamp_s=1_790_000_000,
        secrets=[bytes(range(32)), b"before"],
    )
    current, before = headers["webhook-signature"].split(" ")
    assert current == "v1,gWupFFaqdJYl9Qh+SkvDXjaRTWAvpt7b9h3aQD1xm9k="
    assert before.startswith("v1,")
    assert before != current


def test_only_public_addresses_are_allowed_without_the_setting() -> None:
    """With it, those in its networks too, but never link-local, metadata, multicast and translated addresses."""
    closed = AddressPolicy()
    assert [address for address in PUBLIC if not closed.allows(address)] == []
    assert [address for address in (*PRIVATE, *NEVER) if closed.allows(address)] == []
    assert [address for address in PRIVATE if not EVERYTHING.allows(address)] == []
    assert [address for address in NEVER if EVERYTHING.allows(address)] == []
    assert [address for address in NEVER if EVERYTHING.allows_private(address)] == []
    lan = AddressPolicy.parse("10.0.0.0/8")
    assert [address for address in PRIVATE if lan.allows(address)] == ["10.1.2.3", "::ffff:10.0.0.1"]
    assert not lan.allows_private("93.184.215.14")
    with pytest.raises(ConfigurationError, match="WEBHOOK_ALLOWED_NETWORKS"):
        AddressPolicy.parse("10.0.0.1/8")


def test_the_schedule_of_retries() -> None:
    """Ten attempts over about three days, each wait with up to a tenth of jitter, never shorter than scheduled."""
    rng = random.Random(1)
    waits = [retry_after(number, failures=number, requested_s=None, rng=rng).wait for number in range(1, MAX_ATTEMPTS)]
    for wait, scheduled_s in zip(waits, DELAYS_S, strict=True):
        assert wait is not None
        assert scheduled_s <= wait.total_seconds() <= scheduled_s * 1.1
    assert MAX_ATTEMPTS == 10
    assert retry_after(MAX_ATTEMPTS, failures=1, requested_s=None).wait is None


@given(failures=st.integers(1, 10_000), requested_s=st.none() | st.floats(-1e9, 1e9))
def test_pauses_are_bounded(failures: int, requested_s: float | None) -> None:
    """A pause grows from 5 to 60 seconds; a receiver may ask for at most an hour."""
    pause_s = retry_after(1, failures=failures, requested_s=requested_s).pause.total_seconds()
    assert 5 <= pause_s <= (60 if requested_s is None else 3600)


def test_the_filter_has_the_conditions_of_the_events_api() -> None:
    """The same names, and the same values are valid, except for the time range."""
    assert set(WebhookFilter.model_fields) == set(FilterParameters.model_fields) - set(TimeRangeParameters.model_fields)
    for name in WebhookFilter.model_fields.keys() - {"event_type"}:
        mine, theirs = WebhookFilter.model_fields[name], FilterParameters.model_fields[name]
        assert (mine.annotation, mine.metadata) == (theirs.annotation, theirs.metadata), name


@pytest.mark.parametrize(
    "url",
    [
        "https://receiver.example/events?a=b",
        "http://10.0.0.1:8080",
        "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/x",
    ],
)
def test_valid_addresses(url: str) -> None:
    """http and https, with port, path and query."""
    assert WebhookRequest(name="n", url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://receiver.example",
        "https://",
        "https://ana:sesame@receiver.example/",
        "https://receiver.example/#part",
        "https://receiver.example/a b",
        "https://receiver.example/\r\nX-Header: 1",
        "https://receiver.example:99999/",
        "https://receiver.example:0/",
        "https://receiver.exämple/",
        "receiver.example/events",
        "https://[::1",
    ],
)
def test_invalid_addresses(url: str) -> None:
    """Another scheme, no host, credentials, a fragment, spaces, control characters, a wrong port."""
    with pytest.raises(ValueError, match="url"):
        WebhookRequest(name="n", url=url)
