"""Passwords with characters that are special in a URL, a shell or a decoder, against a real RTSP server."""

from __future__ import annotations

import logging
from typing import Literal

import pytest

from edge_agent.camera.probe import probe
from edge_agent.camera.settings import SourceSettings
from tests.support.clips import numbered
from tests.support.rtsp_server import RtspServer

CALM = SourceSettings(open_timeout_s=15, watchdog_s=10, backoff_min_s=0.05, backoff_max_s=0.2)
PASSWORDS = [
    "Secret@home",
    "Secret@@",
    "Secret/1",
    "Secret:1",
    "Secret#1",
    "Secret?a=b&c",
    "Secret%",
    "Secret%zz",
    "Secret [1]",
    "Secret+1 ",
    "Secret\\1",
    'Secret"1"',
    "Secret;,'`$(1)",
    "Secretäß名€",
    "@/:?#[]Secret",
    "Secret@" + 11 * "äß名€",  # FFmpeg passes on 127 bytes of a login; percent-encoded, this one takes more
]


@pytest.mark.parametrize(("auth", "raw"), [("basic", False), ("digest", True)], ids=["basic-encoded", "digest-raw"])
@pytest.mark.parametrize("password", PASSWORDS)
def test_edge_31_password_with_any_character_logs_in(
    auth: Literal["basic", "digest"],
    raw: bool,
    password: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Percent-encoded or not, with Basic and with Digest: the camera accepts it, and no output contains it."""
    images = numbered(5, width=160, height=64)
    with caplog.at_level(logging.DEBUG), RtspServer(images, auth=auth, user="viewer", password=password) as server:
        result = probe(server.url(user="viewer", password=password, raw=raw), CALM, frames=1)
        assert result.error is None
    assert "Secret" not in f"{caplog.text}{result}{capfd.readouterr()}"
