"""Object keys of snapshots and thumbnails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.clock import format_utc
from shared.errors import ContractError
from shared.events import SnapshotRef
from shared.storage_keys import (
    check_image_key,
    check_snapshot_key,
    image_object_keys,
    is_snapshot_key,
    parse_snapshot_key,
    snapshot_key,
    snapshot_key_matches,
    snapshot_object_key,
    thumbnail_object_key,
)

SEGMENTS = st.from_regex(r"[A-Za-z0-9_-]{1,100}", fullmatch=True)
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(camera=SEGMENTS, moment=MOMENTS, extension=st.sampled_from(["jpg", "png", "webp"]))
def test_generated_snapshot_keys_are_valid(camera: str, moment: datetime, extension: str) -> None:
    """The key is the same for every time zone of the timestamp."""
    key = snapshot_key(camera_id=camera, event_type="tracking", timestamp=moment, extension=extension)
    assert check_snapshot_key(key) == key
    other_zone = moment.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert snapshot_key(camera_id=camera, event_type="tracking", timestamp=other_zone, extension=extension) == key


@given(camera=SEGMENTS, moment=MOMENTS, extension=st.sampled_from(["jpg", "png", "webp"]))
def test_parse_snapshot_key_returns_camera_and_time(camera: str, moment: datetime, extension: str) -> None:
    """A generated key is parsed back, and it matches its own camera and time only."""
    key = snapshot_key(camera_id=camera, event_type="tracking", timestamp=moment, extension=extension)
    assert parse_snapshot_key(key) == (camera, moment)
    assert snapshot_key_matches(key, camera, format_utc(moment))
    assert not snapshot_key_matches(key, f"{camera}x", format_utc(moment))
    assert not snapshot_key_matches(key, camera, format_utc(moment + timedelta(microseconds=1)))


@pytest.mark.parametrize("key", ["somewhere/else.jpg", "a/2026-13-01/tracking_120000_000000.jpg", ""])
def test_parse_snapshot_key_returns_none_for_other_keys(key: str) -> None:
    """A key of another form and a key with an impossible date have no time."""
    assert parse_snapshot_key(key) is None


def test_check_image_key_accepts_keys_of_other_programs() -> None:
    """Any path of letters, digits and ``_ . / -`` is accepted; other characters raise an error with the field."""
    assert check_image_key("camera-1/1.jpg", name="vehicle_image_key") == "camera-1/1.jpg"
    for key in ("", "a\tb", "a" * 501):
        with pytest.raises(ContractError, match="vehicle_image_key"):
            check_image_key(key, name="vehicle_image_key")


def test_object_keys_are_below_the_device_prefix() -> None:
    """The exact layout of the bucket."""
    key = snapshot_key(
        camera_id="camera-1",
        event_type="anpr",
        timestamp=datetime(2026, 11, 20, 10, 30, 45, 123456, tzinfo=UTC),
        extension="webp",
    )
    assert key == "camera-1/2026-11-20/anpr_103045_123456.webp"
    assert snapshot_object_key("gate-01", key) == f"snapshots/gate-01/{key}"
    assert thumbnail_object_key("gate-01", key) == "thumbnails/gate-01/camera-1/2026-11-20/anpr_103045_123456.jpg"


@pytest.mark.parametrize(
    "key",
    [
        "../secrets/2026-11-20/anpr_103045_123456.jpg",
        "camera-1/2026-11-20/anpr_103045_123456.exe",
        "camera-1/2026-11-20/../../x.jpg",
        "camera-1/2026-11-20/anpr_103045_123456.jpg\n",
        "/camera-1/2026-11-20/anpr_103045_123456.jpg",
    ],
)
def test_snapshot_object_key_rejects_other_keys(key: str) -> None:
    """Path traversal, other extensions and trailing newlines raise ContractError."""
    with pytest.raises(ContractError):
        snapshot_object_key("gate-01", key)


def test_snapshot_key_rejects_unknown_image_formats() -> None:
    """Only jpg, png and webp have a content type."""
    with pytest.raises(ContractError, match="bmp"):
        snapshot_key(camera_id="c", event_type="tracking", timestamp=datetime.now(UTC), extension="bmp")


@pytest.mark.parametrize("position", range(len("2026-11-20/tracking_120000_000000")))
def test_cloud_c5_snapshot_keys_contain_ascii_digits_only(position: int) -> None:
    """Arabic, Devanagari and full-width digits are rejected at every position, by key check and event model."""
    key = "2026-11-20/tracking_120000_000000"
    for zero in ("\u0660", "\u0966", "\uff10"):
        digit = chr(ord(zero) + int(key[position])) if key[position].isdigit() else zero
        odd_key = f"camera-1/{key[:position]}{digit}{key[position + 1 :]}.jpg"
        assert not is_snapshot_key(odd_key)
        with pytest.raises(ContractError):
            check_snapshot_key(odd_key)
        with pytest.raises(ValidationError):
            SnapshotRef.model_validate(
                {"key": odd_key, "content_type": "image/jpeg", "bytes": 1, "width": 1, "height": 1, "sha256": "a" * 64}
            )


@given(SEGMENTS, MOMENTS, st.sampled_from(["jpg", "png", "webp"]))
def test_cloud_c4_image_object_keys_returns_snapshot_and_thumbnail(
    camera: str, moment: datetime, extension: str
) -> None:
    """For every image format."""
    key = snapshot_key(camera_id=camera, event_type="tracking", timestamp=moment, extension=extension)
    assert image_object_keys("gate-01", key) == (
        snapshot_object_key("gate-01", key),
        thumbnail_object_key("gate-01", key),
    )


@pytest.mark.parametrize("key", ["", "../x.jpg", "camera-1/2026-11-20/tracking_103045_123456.jpg/", "s3://other/x.jpg"])
def test_cloud_c4_image_object_keys_is_empty_for_other_keys(key: str) -> None:
    """Deleting an event with such a key deletes no object."""
    assert image_object_keys("gate-01", key) == ()
