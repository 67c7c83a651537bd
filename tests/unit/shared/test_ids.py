"""Ids, topics, storage keys: what is made can be taken apart, and nothing hostile gets through."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.clock import ManualClock, SystemClock, format_utc
from shared.errors import ContractError
from shared.event_types import EVENT_TYPES
from shared.events import SnapshotRef
from shared.ids import Uuid7Generator, is_segment, require_segment
from shared.storage_keys import (
    check_snapshot_key,
    image_object_keys,
    is_snapshot_key,
    snapshot_key,
    snapshot_object_key,
    thumbnail_object_key,
)
from shared.topics import DeviceTopics, parse_topic

SEGMENTS = st.from_regex(r"[A-Za-z0-9_-]{1,100}", fullmatch=True)
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def test_event_ids_are_version_7_and_sort_as_they_were_minted() -> None:
    """Ids from one generator increase strictly, within a millisecond too, and carry the time."""
    mint = Uuid7Generator()
    before_ms = time.time_ns() // 1_000_000
    ids = [mint() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert {(item.version, item.variant) for item in ids} == {(7, "specified in RFC 4122")}
    assert before_ms <= ids[0].int >> 80 <= time.time_ns() // 1_000_000


def test_event_ids_from_many_threads_never_collide() -> None:
    """Camera threads share one generator."""
    mint, minted = Uuid7Generator(), []
    threads = [threading.Thread(target=lambda: minted.extend(mint() for _ in range(2_000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(minted)) == 8_000


@given(st.text(max_size=120))
def test_only_plain_names_are_segments(text: str) -> None:
    """A segment holds nothing that means anything to a topic, a key, a path or a shell."""
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    plain = 1 <= len(text) <= 100 and set(text) <= allowed
    assert is_segment(text) is plain
    if not plain:
        with pytest.raises(ContractError, match="camera_id"):
            require_segment(text, name="camera_id")


@given(site=SEGMENTS, device=SEGMENTS, camera=SEGMENTS, event_type=st.sampled_from(EVENT_TYPES))
def test_event_topics_come_apart_as_they_were_put_together(
    site: str, device: str, camera: str, event_type: str
) -> None:
    """parse_topic undoes DeviceTopics.events."""
    address = parse_topic(DeviceTopics(site, device).events(camera, event_type))
    assert (address.site_id, address.device_id, address.kind, address.rest) == (
        site,
        device,
        "events",
        (camera, event_type),
    )


def test_a_device_has_one_topic_for_each_purpose() -> None:
    """The topics of the contract, to the letter."""
    topics = DeviceTopics("hq", "gate-01")
    assert topics.heartbeat == "vedette/hq/gate-01/heartbeat"
    assert topics.status == "vedette/hq/gate-01/status"
    assert topics.commands_filter == "vedette/hq/gate-01/commands/+"
    assert topics.command("snapshot") == "vedette/hq/gate-01/commands/snapshot"
    assert topics.reply("c-1") == "vedette/hq/gate-01/replies/c-1"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "vedette",
        "vedette/hq/gate-01",
        "other/hq/gate-01/heartbeat",
        "vedette/hq/gate-01/heartbeat/more",
        "vedette/hq/gate-01/events/camera-1",
        "vedette/hq/gate-01/events/camera-1/tracking/more",
        "vedette/hq/+/events/camera-1/tracking",
        "vedette/hq/#/events/camera-1/tracking",
        "vedette/hq//events/camera-1/tracking",
        "vedette/hq/gate-01/unheard",
    ],
)
def test_foreign_topics_are_refused(topic: str) -> None:
    """What is not ours says so."""
    with pytest.raises(ContractError) as caught:
        parse_topic(topic)
    assert caught.value.reason in {"bad_topic", "bad_segment"}


def test_a_topic_cannot_be_smuggled_in_through_a_name() -> None:
    """A device called ``a/b`` does not come into being."""
    with pytest.raises(ContractError):
        DeviceTopics("hq", "gate/01")
    with pytest.raises(ContractError):
        DeviceTopics("hq", "gate-01").events("#", "tracking")


@given(camera=SEGMENTS, moment=MOMENTS, extension=st.sampled_from(["jpg", "png", "webp"]))
def test_snapshot_keys_are_recognised(camera: str, moment: datetime, extension: str) -> None:
    """Every key that we make passes our own check, in any zone it is given."""
    key = snapshot_key(camera_id=camera, event_type="tracking", timestamp=moment, extension=extension)
    assert check_snapshot_key(key) == key
    elsewhere = moment.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert snapshot_key(camera_id=camera, event_type="tracking", timestamp=elsewhere, extension=extension) == key


def test_snapshot_objects_stay_under_the_device() -> None:
    """The bucket's layout, to the letter."""
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
def test_keys_that_climb_are_refused(key: str) -> None:
    """A key of another shape never reaches the bucket."""
    with pytest.raises(ContractError):
        snapshot_object_key("gate-01", key)


def test_unknown_picture_formats_are_refused() -> None:
    """jpg, png, webp; nothing else has a content type here."""
    with pytest.raises(ContractError, match="bmp"):
        snapshot_key(camera_id="c", event_type="tracking", timestamp=datetime.now(UTC), extension="bmp")


def test_times_are_written_in_utc_with_z() -> None:
    """One way to write a time."""
    moment = datetime(2026, 11, 20, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert format_utc(moment) == "2026-11-20T10:00:00.000005Z"
    with pytest.raises(ValueError, match="zone"):
        format_utc(datetime(2026, 11, 20))  # noqa: DTZ001


def test_clocks_agree_with_themselves() -> None:
    """The manual clock advances only on request; the system clock advances by itself and is in UTC."""
    clock = ManualClock()
    start = clock.now()
    clock.advance(2.5)
    assert (clock.now() - start).total_seconds() == clock.monotonic() == 2.5
    system = SystemClock()
    assert system.now().tzinfo is UTC
    assert system.monotonic() <= system.monotonic()


@pytest.mark.parametrize("place", range(len("2026-11-20/tracking_120000_000000")))
def test_cloud_c5_only_ascii_digits_are_in_a_key(place: int) -> None:
    """Arabic, Devanagari or full-width digits at any place: not a key, for Python and for the contract alike."""
    key = "2026-11-20/tracking_120000_000000"
    for zero in ("\u0660", "\u0966", "\uff10"):
        digit = chr(ord(zero) + int(key[place])) if key[place].isdigit() else zero
        odd = f"camera-1/{key[:place]}{digit}{key[place + 1 :]}.jpg"
        assert not is_snapshot_key(odd)
        with pytest.raises(ContractError):
            check_snapshot_key(odd)
        with pytest.raises(ValidationError):
            SnapshotRef.model_validate(
                {"key": odd, "content_type": "image/jpeg", "bytes": 1, "width": 1, "height": 1, "sha256": "a" * 64}
            )


@given(SEGMENTS, MOMENTS, st.sampled_from(["jpg", "png", "webp"]))
def test_cloud_c4_a_picture_is_its_snapshot_and_its_thumbnail(camera: str, moment: datetime, extension: str) -> None:
    """Both go with the event, whatever the picture's format."""
    key = snapshot_key(camera_id=camera, event_type="tracking", timestamp=moment, extension=extension)
    assert image_object_keys("gate-01", key) == (
        snapshot_object_key("gate-01", key),
        thumbnail_object_key("gate-01", key),
    )


@pytest.mark.parametrize("key", ["", "../x.jpg", "camera-1/2026-11-20/tracking_103045_123456.jpg/", "s3://other/x.jpg"])
def test_cloud_c4_a_foreign_key_names_no_object_of_ours(key: str) -> None:
    """Deleting an event that names one deletes no object."""
    assert image_object_keys("gate-01", key) == ()
