"""Credentials are removed from text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.redact import MASK, redact, redact_value

SECRETS = st.text(
    alphabet=st.characters(
        codec="ascii", exclude_characters=" /?#&;\"'\n\r\t\x0b\x0c\x1c\x1d\x1e\x1f", categories=("L", "N", "P")
    ),
    min_size=8,
)


@given(user=SECRETS, password=SECRETS)
def test_redact_masks_user_info_in_urls(user: str, password: str) -> None:
    """The host is kept; a password may contain ``@`` and ``:``."""
    shown = redact(f"cannot open rtsp://{user}:{password}@camera.example:554/stream1: refused")
    assert shown == f"cannot open rtsp://{MASK}@camera.example:554/stream1: refused"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://cam/video?user=me&password=hunter2&x=1", f"http://cam/video?user=me&password={MASK}&x=1"),
        ("http://cam/v?X-Amz-Signature=abc&auth_token=def", f"http://cam/v?X-Amz-Signature={MASK}&auth_token={MASK}"),
        ("rtsps://a:b@one/x and rtsp://c:d@two/y", f"rtsps://{MASK}@one/x and rtsp://{MASK}@two/y"),
        ("mail me@example.org", "mail me@example.org"),
        ("rtsp://cam/user=me_password=hunter2_channel=1.sdp?x", f"rtsp://cam/user=me_password={MASK}"),
        ("rtsp://cam/pwd=hunter2&channel=1", f"rtsp://cam/pwd={MASK}&channel=1"),
        ("rtsp://me:p/w?#@rd@10.0.0.1:554/x: refused", f"rtsp://{MASK}@10.0.0.1:554/x: refused"),
        ("source_file rtsp:/me:p/w@10.0.0.1/x", f"source_file rtsp:/{MASK}@10.0.0.1/x"),
        ("http://camera:8080/a@b and me@c", "http://camera:8080/a@b and me@c"),
        ("rtsp://camera.example/stream", "rtsp://camera.example/stream"),
    ],
)
def test_redact_masks_secret_query_values(text: str, shown: str) -> None:
    """Secret query values are masked; other text is unchanged."""
    assert redact(text) == shown


@pytest.mark.parametrize("form", ["mqtt://{}@broker", "me{}", "//{}@camera/x", "{}@camera", "rtsp//{}@camera"])
def test_the_login_in_a_malformed_value_is_masked(form: str) -> None:
    """A value is shown when a setting is not valid, and then its scheme or its password may be what is wrong."""
    text = form.format("agent:hush /?#@\"'hush")
    assert "hush" not in redact_value(text if "@" in form else f"{text}@host")


@pytest.mark.parametrize("text", ["/data/10:30/a@b.mp4", "broker.example:1883", "me@example.org", "usb:0"])
def test_a_value_without_a_login_is_shown(text: str) -> None:
    """Paths, hosts and mail addresses."""
    assert redact_value(text) == text
