"""Which hosts and origins may talk to an API on loopback."""

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
def test_cloud_b4_this_machine_is_served(host: str) -> None:
    """Addresses and localhost in every spelling are names of this machine."""
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
def test_cloud_b4_another_name_is_refused(host: str) -> None:
    """A name that DNS may point at 127.0.0.1 (rebinding), or that cannot be parsed, is not ours."""
    assert refusal(hosts=[host], origins=[]) is not None
    assert refusal(hosts=[HOST, host], origins=[]) is not None


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:8069", "http://localhost:3000", "https://[::1]", "http://127.0.0.1"]
)
def test_cloud_b4_pages_of_this_machine_are_served(origin: str) -> None:
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
def test_cloud_b4_pages_of_another_site_are_refused(origin: str) -> None:
    """Whatever page sends it: another site, a file, a sandboxed frame."""
    assert refusal(hosts=[HOST], origins=[origin]) is not None


def test_cloud_b4_what_is_allowed_is_served() -> None:
    """A name of one's own counts for Host and Origin, and no name below it does; the same origin always may."""
    allowed = frozenset({"vedette.example"})
    assert refusal(hosts=["vedette.example"], origins=["https://vedette.example"], allowed_hosts=allowed) is None
    assert refusal(hosts=["a.vedette.example"], origins=[], allowed_hosts=allowed) is not None
    assert refusal(hosts=["192.168.1.5:8069"], origins=["http://192.168.1.5:8069"]) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_cloud_b4_any_header_gets_an_answer(host: str, origin: str) -> None:
    """No header raises, and the reason is printable whatever it quotes."""
    reason = refusal(hosts=[host], origins=[origin])
    assert reason is None or reason.isprintable()
