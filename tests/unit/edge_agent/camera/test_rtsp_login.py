"""Logins of RTSP cameras that are too long for FFmpeg as they are."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.ip_camera import check_ip_camera
from edge_agent.camera.rtsp_login import MAX_LOGIN_BYTES, fitting_login
from edge_agent.camera.settings import SourceSettings
from shared.errors import ConfigurationError
from shared.stream_address import parse_address, split_login


def test_a_short_login_stays_as_it_is() -> None:
    """So does one of another protocol, whose limits are higher."""
    for url in (
        f"rtsp://me:{'x' * (MAX_LOGIN_BYTES - 3)}@cam/1",
        "rtsp://me:s%40cret@cam/1@2",
        "rtsp://cam/1",
        f"http://me:{'%C3%A4' * 40}@cam/1",
    ):
        assert fitting_login(parse_address(url)).url == url


def test_a_long_login_is_written_shorter() -> None:
    """Letters outside ASCII stand as they are; what ends a login stays encoded."""
    address = fitting_login(parse_address(f"rtsp://me:%40{'%C3%A4' * 40}%2F%25@cam/1"))
    assert address.url == f"rtsp://me:%40{'ä' * 40}%2F%25@cam/1"
    assert "ä" not in address.mask(f"cannot open {address.url}, login %40{'ä' * 40}%2F%25")


def test_a_login_that_is_too_long_is_named_without_its_text() -> None:
    """Otherwise the camera would refuse a part of it, and the error would ask to correct the password."""
    for login in ("me:" + "q" * 125, "q" * 125 + ":qq"):
        with pytest.raises(ConfigurationError, match="128 bytes in the camera's address") as error:
            check_ip_camera(f"rtsp://{login}@cam/1", settings=SourceSettings())
        assert "q" not in str(error.value)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=120))
def test_a_login_that_fits_is_the_same_login(password: str) -> None:
    """FFmpeg gets at most 127 bytes, and decodes them to the same password."""
    try:
        url = fitting_login(parse_address(f"rtsps://me:{quote(password, safe='')}@cam/1")).url
    except ConfigurationError:
        return
    login = url.removeprefix("rtsps://").partition("@")[0]
    assert len(login.encode()) <= MAX_LOGIN_BYTES
    assert split_login(url).password == password
