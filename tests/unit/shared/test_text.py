"""Text that must lose something: secrets from URLs, decoration from plates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.plates import normalize_plate
from shared.redact import MASK, redact

SECRETS = st.text(
    alphabet=st.characters(
        codec="ascii", exclude_characters=" /?#&;\"'\n\r\t\x0b\x0c\x1c\x1d\x1e\x1f", categories=("L", "N", "P")
    ),
    min_size=8,
)


@given(user=SECRETS, password=SECRETS)
def test_no_password_survives_in_a_url(user: str, password: str) -> None:
    """User info goes, the host stays; a password may hold ``@`` and ``:`` of its own."""
    shown = redact(f"cannot open rtsp://{user}:{password}@camera.example:554/stream1: refused")
    assert shown == f"cannot open rtsp://{MASK}@camera.example:554/stream1: refused"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://cam/video?user=me&password=hunter2&x=1", f"http://cam/video?user=me&password={MASK}&x=1"),
        ("http://cam/v?X-Amz-Signature=abc&auth_token=def", f"http://cam/v?X-Amz-Signature={MASK}&auth_token={MASK}"),
        ("rtsps://a:b@one/x and rtsp://c:d@two/y", f"rtsps://{MASK}@one/x and rtsp://{MASK}@two/y"),
        ("mail me@example.org", "mail me@example.org"),
        ("rtsp://camera.example/stream", "rtsp://camera.example/stream"),
    ],
)
def test_redaction(text: str, shown: str) -> None:
    """Secrets in queries go too; what is no secret stays readable."""
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("read", "normal"),
    [("b-äk 123", "BAK123"), ("AB·12·CD", "AB12CD"), ("７８９", "789"), ("—", ""), ("Škoda 1", "SKODA1")],
)
def test_plates_have_one_normal_form(read: str, normal: str) -> None:
    """Case, accents, dashes and width make no difference."""
    assert normalize_plate(read) == normal


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    """The normal form is normal, and safe in a topic or an index."""
    once = normalize_plate(text)
    assert normalize_plate(once) == once
    assert once.isascii()
    assert once == "" or once.isalnum()
