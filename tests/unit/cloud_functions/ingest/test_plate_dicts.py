"""Plate reads under column names as ``anpr`` events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.ingest.plate_dicts import event_from_plate_dict, is_plate_dict
from cloud_functions.ingest.sources.messages import Message
from cloud_functions.ingest.validation import ValidatedEvent, validate_event
from shared.errors import ContractError
from shared.event_dicts import parse_event_dict
from shared.ids import is_segment
from shared.plates import normalize_plate
from tests.support.plate_dicts import plate_dict, without
from tests.support.wire_events import anpr_data, encoded, wire_event

LATEST = datetime(2030, 1, 1, tzinfo=UTC)
TOPIC = "vedette/dock-1/box-7/events/camera-01/anpr"

_TEXTS = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
_TEXT_COLUMNS = ("vehicle_make", "host_id", "roi", "direction", "frame_image_url", "weather")


def mapped(read: dict[str, Any]) -> dict[str, Any]:
    return parse_event_dict(event_from_plate_dict(encoded(read), None))


def validated(read: dict[str, Any], *, topic: str | None = None) -> ValidatedEvent:
    return validate_event(Message("1", "body", topic, encoded(read), 0), latest=LATEST)


def test_every_column_is_mapped() -> None:
    """Each column of the read is in the event, under the name of the wire format."""
    read = plate_dict()
    event = mapped(read)
    assert (str(event["event_id"]), event["event_type"]) == (read["event_id"], "anpr")
    assert (event["site_id"], event["device_id"], event["camera_id"]) == ("dock-1", "edge-host-local", "camera-01")
    assert event["timestamp"] == datetime(2026, 11, 20, 12, 0, 0, 250_000, tzinfo=UTC)
    assert event["frame_number"] == 1200
    data = event["event_data"]
    assert data["anpr_result"] == {"license_plate": "ABC 123", "confidence": 0.94, "region": "US-FL"}
    assert data["vehicle"] == {"type": "car", "make": "Toyota", "model": "Camry", "color": "silver"}
    assert (data["plate_normalized"], data["track_id"], data["track_uid"]) == ("ABC123", None, "track-42")
    assert (data["latency_ms"], data["quality_score"], data["direction"]) == (45, 0.8, "inbound")
    assert (data["host"], data["roi"]) == ("edge-host.local", "lane-1")
    assert data["plate_image_key"] == "https://images.example/plate.jpg"
    assert data["vehicle_image_url"] == "https://images.example/vehicle.jpg"
    assert data["frame_image_url"] == "http://images.example/frame.jpg"


def test_defaults_of_missing_columns() -> None:
    """A read needs only its id, time, camera, plate and confidence; site and device have defaults."""
    required = ("event_id", "captured_at", "camera_id", "plate_text", "plate_confidence")
    event = mapped({name: value for name, value in plate_dict("ab-12 cd").items() if name in required})
    assert (event["site_id"], event["device_id"]) == ("default", "camera-01")
    assert event["event_data"]["plate_normalized"] == "AB12CD"
    assert event["event_data"]["track_uid"] is None


def test_a_topic_names_site_and_device() -> None:
    """Over MQTT the site and the device of the topic are used, and a read of another site is rejected."""
    event = validated(without(plate_dict(), "site_id"), topic=TOPIC)
    assert (event.row.site_id, event.row.device_id) == ("dock-1", "box-7")
    with pytest.raises(ContractError) as caught:
        validated(plate_dict(site_id="dock-2"), topic=TOPIC)
    assert caught.value.reason == "topic_mismatch"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T12:00:00", "2026-11-20T12:00:00.000000Z"),
        ("2026-11-20", "2026-11-20T00:00:00.000000Z"),
        ("2026-11-20 14:00:00.5+02:00", "2026-11-20T12:00:00.500000Z"),
        ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00.000000Z"),
    ],
)
def test_times_without_a_zone_are_utc(text: str, expected: str) -> None:
    """Any offset is accepted; a time without a zone is UTC, and a date is its midnight."""
    assert validated(plate_dict(captured_at=text)).row.timestamp == expected


@pytest.mark.parametrize(("given_id", "number"), [("42", 42), (42, 42), ("t-42", None), ("4" * 30, None)])
def test_track_ids_may_be_texts_or_numbers(given_id: object, number: int | None) -> None:
    """The text is always kept; a whole number is also the numeric id."""
    data = mapped(plate_dict(track_id=given_id))["event_data"]
    assert (data["track_uid"], data["track_id"]) == (str(given_id), number)


def test_unknown_columns_are_kept() -> None:
    """A column that is not documented is stored; the time at which another database stored the read is not."""
    data = mapped(plate_dict(weather="rain", created_at="2026-11-20T12:00:01Z"))["event_data"]
    assert data["other_columns"] == {"weather": "rain"}
    assert "other_columns" not in mapped(plate_dict())["event_data"]


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"event_id": "17"}, "event_id"),
        ({"captured_at": "yesterday"}, "captured_at"),
        ({"captured_at": 1_795_176_000}, "captured_at"),
        ({"captured_at": "0001-01-01T00:00:00+14:00"}, "captured_at"),
        ({"camera_id": "gate 1"}, "camera_id"),
        ({"plate_text": ""}, "plate_text"),
        ({"plate_text": "--", "plate_normalized_text": None}, "plate_text"),
        ({"plate_normalized_text": "A" * 17}, "plate_normalized_text"),
        ({"plate_confidence": 1.2}, "plate_confidence"),
        ({"plate_confidence": None}, "plate_confidence"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"quality_score": 85}, "quality_score"),
        ({"site_id": "a/b"}, "site_id"),
        ({"track_id": -1}, "track_id"),
    ],
)
def test_an_invalid_column_is_named(columns: dict[str, Any], named: str) -> None:
    """The reason is ``invalid``, and the detail names the column and quotes no value."""
    with pytest.raises(ContractError) as caught:
        validated(plate_dict(**columns))
    assert caught.value.reason == "invalid"
    assert str(caught.value).startswith(f"not a plate read: {named}: ")
    assert "AAAA" not in str(caught.value)


@pytest.mark.parametrize("name", ["event_id", "captured_at", "camera_id", "plate_text", "plate_confidence"])
def test_a_missing_column_is_named(name: str) -> None:
    """A read without a required column is rejected."""
    with pytest.raises(ContractError, match=f"{name}: Field required"):
        validated(without(plate_dict(), name))


def test_other_messages_are_no_plate_reads() -> None:
    """An event of an unknown type keeps its reason, and an event with a plate in its data is not mapped."""
    event = wire_event("anpr", event_data=anpr_data() | {"plate_text": "X1"})
    assert not is_plate_dict(encoded(event))
    assert validated(event).license_plate == "B123ABC"
    with pytest.raises(ContractError) as caught:
        validated(event | {"event_type": "plate"})
    assert caught.value.reason == "unknown_event_type"


@given(
    plate=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20),
    confidence=st.floats(0, 1),
    texts=st.fixed_dictionaries(dict.fromkeys(_TEXT_COLUMNS, _TEXTS)),
    seconds=st.floats(0, 1_800_000_000),
    site=st.sampled_from(["dock-1", None, ""]),
)
def test_a_mapped_read_satisfies_the_contract(
    plate: str, confidence: float, texts: dict[str, str | None], seconds: float, site: str | None
) -> None:
    """Any read is either a valid event with the same content, or rejected because of its plate."""
    read = plate_dict(plate, plate_normalized_text=None, plate_confidence=confidence, site_id=site, **texts)
    moment = datetime.fromtimestamp(seconds, UTC)
    read["captured_at"] = moment.isoformat()
    normal = normalize_plate(plate)
    if len(normal) > 16 or not any(map(str.isalnum, normal)):
        with pytest.raises(ContractError, match="not a plate read: plate_text: "):
            validated(read)
        return
    event = validated(read)
    data = json.loads(event.row.event_data_json)
    assert (event.row.event_id, event.row.site_id) == (read["event_id"], site or "default")
    assert is_segment(event.row.device_id)
    assert event.license_plate == data["plate_normalized"] == normal
    assert data["anpr_result"]["confidence"] == confidence
    assert datetime.fromisoformat(event.row.timestamp) == moment
    assert data.get("roi") == (texts["roi"] or None)
    assert data.get("frame_image_url") == (texts["frame_image_url"] or None)
