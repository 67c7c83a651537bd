"""The check of the ``Host`` and ``Origin`` headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.api.security.origin_check import refusal

HOST = "127.0.0.1:8069"


@pytest.mark.parametrize(
    "host",
    [
        HOST,
        "localhost",
        "localhost:8069",
        "LOCALHOST:8069",
        "localhost.",
        "[::1]:8069",
        "192.168.1.5:8069",
        "app.localhost",
    ],
)
def test_cloud_b4_names_of_this_machine_are_accepted(host: str) -> None:
    """IP addresses and localhost are accepted in every spelling."""
    assert refusal(hosts=[host], origins=[]) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8069",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io:8069",
        "evil.example@127.0.0.1",
        "127.0.0.1:80:evil.example",
        "localhost\\evil.example",
        "xn--localhost-.example",
        "0x7f.1",
        "",
        "127.0.0.1:port",
        "[::1",
    ],
)
def test_cloud_b4_other_names_are_rejected(host: str) -> None:
    """A DNS name could resolve to 127.0.0.1 (rebinding). Invalid names are rejected too."""
    assert refusal(hosts=[host], origins=[]) is not None
    assert refusal(hosts=[HOST, host], origins=[]) is not None


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8069", "http://localhost:3000", "https://[::1]", "http://127.0.0.1"]
)
def test_cloud_b4_pages_of_this_machine_are_accepted(origin: str) -> None:
    """The API's own pages and development servers on this machine may send requests."""
    assert refusal(hosts=[HOST], origins=[origin]) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://192.168.1.9",
        "file://",
        "",
        "http://[::1",
    ],
)
def test_cloud_b4_pages_of_other_sites_are_rejected(origin: str) -> None:
    """Another site, a file and a sandboxed frame are rejected."""
    assert refusal(hosts=[HOST], origins=[origin]) is not None


def test_cloud_b4_allowed_hosts_are_accepted() -> None:
    """An allowed name is accepted in Host and Origin, its subdomains are not. The same origin is always accepted."""
    allowed = frozenset({"vedette.example"})
    assert refusal(hosts=["vedette.example"], origins=["https://vedette.example"], allowed_hosts=allowed) is None
    assert refusal(hosts=["a.vedette.example"], origins=[], allowed_hosts=allowed) is not None
    assert refusal(hosts=["192.168.1.5:8069"], origins=["http://192.168.1.5:8069"]) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_cloud_b4_arbitrary_headers_raise_no_error(host: str, origin: str) -> None:
    """Any header value gives a decision, and the reason is printable."""
    reason = refusal(hosts=[host], origins=[origin])
    assert reason is None or reason.isprintable()
