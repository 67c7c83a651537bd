"""Text that must lose something: secrets from URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
