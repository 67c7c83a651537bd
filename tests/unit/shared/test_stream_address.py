"""Parsing of camera addresses, and masking of their credentials."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.stream_address import parse_address, redact_source

PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=4)


@pytest.mark.parametrize(
    ("text", "url", "shown"),
    [
        ("rtsp://cam/1", "rtsp://cam/1", "rtsp://cam/1"),
        ("rtsp://cam:554", "rtsp://cam:554", "rtsp://cam:554"),
        ("rtsp://[::1]:554/a", "rtsp://[::1]:554/a", "rtsp://[::1]:554/a"),
        ("rtsp://me:secret@cam/1", "rtsp://me:secret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://me@cam/1", "rtsp://me:@cam/1", "rtsp://***@cam/1"),
        ("rtsp://me:s%40cret@cam/1", "rtsp://me:s%40cret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://me:s@cret@cam:554/1", "rtsp://me:s%40cret@cam:554/1", "rtsp://***@cam:554/1"),
        ("rtsp://me:se/cret@cam/1", "rtsp://me:se%2Fcret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://me:s@e/c?r#t@10.0.0.7/1", "rtsp://me:s%40e%2Fc%3Fr%23t@10.0.0.7/1", "rtsp://***@10.0.0.7/1"),
        ("rtsp://me:100%@cam/1", "rtsp://me:100%25@cam/1", "rtsp://***@cam/1"),
        (
            "http://cam/v?user=a&password=secret",
            "http://cam/v?user=a&password=secret",
            "http://cam/v?user=a&password=***",
        ),
        ("rtsp://cam/stream@hd", "rtsp://cam/stream@hd", "rtsp://cam/stream@hd"),
    ],
)
def test_edge_31_addresses_are_parsed(text: str, url: str, shown: str) -> None:
    """For every spelling of the password, FFmpeg's address has it encoded and the shown one does not contain it."""
    address = parse_address(text)
    assert (address.url, address.shown) == (url, shown)


@pytest.mark.parametrize(
    ("userinfo", "login"),
    [
        ("admin:", "admin:"),
        ("admin", "admin:"),
        (":", ":"),
        (":secret", ":secret"),
        ("admin:secret", "admin:secret"),
        ("admin::", "admin:%3A"),
        ("admin:se:cret", "admin:se%3Acret"),
        ("ad%40min:", "ad%40min:"),
        ("a@b.example:", "a%40b.example:"),
        ("view er:", "view%20er:"),
        ("ü:ß", "%C3%BC:%C3%9F"),
        ("admin:%", "admin:%25"),
        ("admin:%20", "admin:%20"),
        ("admin:#1?", "admin:%231%3F"),
        ("admin:a/b", "admin:a%2Fb"),
        ("admin:[x]", "admin:%5Bx%5D"),
    ],
)
@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https"])
@pytest.mark.parametrize("host", ["192.0.2.7:8554", "[::1]", "camera.example"])
def test_edge_07_user_info_always_contains_a_colon(scheme: str, host: str, userinfo: str, login: str) -> None:
    """FFmpeg ignores user info without a colon, so an empty password is added; nothing of it is shown."""
    address = parse_address(f"{scheme}://{userinfo}@{host}/live/1")
    assert address.url == f"{scheme}://{login}@{host}/live/1"
    assert address.shown == f"{scheme}://***@{host}/live/1"
    assert address.has_login


def test_edge_07_short_user_name_without_a_password_is_not_masked() -> None:
    """Masking a short user name would garble other texts."""
    assert parse_address("rtsp://me:@cam/1").mask("no camera answers") == "no camera answers"


@pytest.mark.parametrize(
    "text", ["rtsp:/cam", "rtsp://", "rtsp:///path", "rtsp://me:secret@", "rtsp://me:secret@/x", "rtsp:cam"]
)
def test_address_without_a_host_is_rejected_without_its_password(text: str) -> None:
    """The error shows the expected form and does not contain the password."""
    with pytest.raises(ConfigurationError, match="rtsp://HOST") as caught:
        parse_address(text)
    assert "secret" not in str(caught.value)


@given(user=st.from_regex(r"[a-z]{1,8}", fullmatch=True), password=PASSWORDS)
def test_edge_31_encoded_password_is_never_shown(user: str, password: str) -> None:
    """No password appears in the shown address, in the repr, or in a masked text."""
    encoded = quote(password, safe="")
    address = parse_address(f"rtsp://{user}:{encoded}@camera.example:554/live/1")
    assert address.shown == "rtsp://***@camera.example:554/live/1"
    assert address.url == f"rtsp://{user}:{encoded}@camera.example:554/live/1"
    assert (
        encoded not in repr(address)
        or encoded in "StreamAddress(shown='rtsp://***@camera.example:554/live/1', has_login=True)"
    )
    if not set(password) <= set("*@:/"):
        assert password not in address.mask(f"cannot open {address.url}: {password!s} <{encoded}>")


@given(text=st.text(max_size=40))
def test_any_text_is_an_address_or_a_configuration_error(text: str) -> None:
    """No text causes any other exception."""
    try:
        address = parse_address(f"rtsp://{text}")
    except ConfigurationError:
        return
    assert address.url.startswith("rtsp://")


@given(st.from_regex(r"[A-Za-z0-9@/?#!$%&]{6,16}", fullmatch=True))
def test_edge_31_unencoded_password_before_an_unambiguous_host_is_never_shown(password: str) -> None:
    """Unencoded passwords are hidden in the shown address and in masked texts."""
    address = parse_address(f"rtsp://admin:{password}@192.168.1.64:554/1")
    assert address.shown == "rtsp://***@192.168.1.64:554/1"
    assert password not in address.mask(f"error in rtsp://admin:{password}@192.168.1.64:554/1")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("rtsp://me:secret@cam/1", "rtsp://***@cam/1"),
        ("ftp://me:se/cret@cam/1", "ftp://***@cam/1"),
        ("rtsp://me:se/cret@", "rtsp://***@"),
        ("rtsp://cam/stream@hd", "rtsp://cam/stream@hd"),
        ("gst:rtspsrc location=rtsp://me:secret@cam/1 ! appsink", "gst:rtspsrc location=rtsp://***@cam/1 ! appsink"),
    ],
)
def test_edge_31_redacted_source_texts_contain_no_credentials(text: str, shown: str) -> None:
    """This includes sources of any kind and malformed addresses."""
    assert redact_source(text) == shown
