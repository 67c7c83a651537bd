"""Slugs of names, and the settings of a camera."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.cameras import MAX_SLUG_LENGTH, CameraConfig, free_slug, is_slug, slug_of
from shared.errors import ConfigurationError
from shared.ids import is_segment
from shared.stream_address import parse_address, split_login

SQUARE = [[0, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Front Door", "front-door"),
        ("  Éntrée / Süd--7 ", "entree-sud-7"),
        ("Straße", "strasse"),
        ("門", "camera"),
        ("---", "camera"),
        ("Export", "camera-export"),
        ("0192F0C1-7d1e-7c3a-9a2b-3b0e0c5d9f11", "camera-0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"),
    ],
)
def test_slugs_of_names(name: str, slug: str) -> None:
    """Lower case, without accents, words joined by hyphens; never the name of another path, never like an id."""
    assert slug_of(name) == slug


def test_a_free_slug_is_found_from_where_the_last_one_was() -> None:
    """The same slugs as from the beginning, with one look-up each instead of one for every earlier slug."""
    looked_up, taken, last = 0, set[str](), 1

    def is_taken(slug: str) -> bool:
        nonlocal looked_up
        looked_up += 1
        return slug in taken

    for number in range(1, 300):
        slug = free_slug("camera", is_taken, first=last)
        assert slug == free_slug("camera", taken.__contains__)
        taken.add(slug)
        last = number
    assert looked_up < 2 * 300


@given(st.text(max_size=300))
def test_every_name_has_a_slug(name: str) -> None:
    """It is valid in topics and paths, short enough for a number, and the slug of itself."""
    slug = slug_of(name)
    assert is_segment(slug)
    assert is_slug(slug)
    assert len(slug) <= MAX_SLUG_LENGTH + len("camera-")
    assert slug_of(slug) == slug
    assert is_slug(free_slug(slug, {slug, f"{slug}-2"}.__contains__))


@given(st.lists(st.sampled_from(["Gate", "gate", "gate 2", "Gate-2", "gate-3"]), max_size=12))
def test_free_slugs_differ(names: list[str]) -> None:
    """Whatever the names, each camera gets a slug that no other has."""
    taken: set[str] = set()
    for name in names:
        taken.add(free_slug(slug_of(name), taken.__contains__))
    assert len(taken) == len(names)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_login_is_taken_out_of_an_address(username: str, password: str) -> None:
    """Percent-encoded, any user name and password come back as they are, and the address has neither."""
    try:
        text = f"rtsp://{quote(username, safe='')}:{quote(password, safe='')}@camera:554/1"
    except UnicodeEncodeError:
        return
    assert split_login(text) == ("rtsp://camera:554/1", username, password)


@given(st.text(max_size=60))
def test_an_address_without_its_login_has_none(rest: str) -> None:
    """Nothing that the agent would send as a login is left in it."""
    try:
        login = split_login(f"rtsp://{rest}")
        address = parse_address(login.address)
    except ConfigurationError:
        return
    if login.username is not None or login.password is not None:
        assert not address.has_login or "@" in rest.rpartition("@")[0]


def test_only_what_is_set_is_stored() -> None:
    """A setting that is left out or null keeps the agent's default, also one of a zone."""
    given = {"mode": None, "detect": {"min_score": 0.4}, "events": {"zones": [{"name": "yard", "polygon": SQUARE}]}}
    assert CameraConfig.model_validate(given).document() == {
        "detect": {"min_score": 0.4},
        "events": {"zones": [{"name": "yard", "polygon": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]}]},
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "motion", "anpr": {"enabled": True}},
        {"mode": "detection", "events": {"lines": [{"name": "a", "start": [0, 0], "end": [1, 1]}]}},
        {"events": {"required_zones": ["yard"]}},
        {"events": {"zones": [{"name": "a", "polygon": SQUARE}, {"name": "A", "polygon": SQUARE}]}},
        {"motion": {"ignore": [[[0, 0], [1, 1], [0, 0]]]}},
        {"anpr": {"rules": {"only_these_regions": True}}},
        {"model": {"name": "/etc/passwd"}},
        {"model": {"name": "../model"}},
        {"motion_events": 1.5},
        {"unknown": 1},
    ],
)
def test_settings_that_no_agent_would_accept_are_rejected(settings: dict[str, object]) -> None:
    """The API refuses them, instead of the device later."""
    with pytest.raises(ValidationError):
        CameraConfig.model_validate(settings)
