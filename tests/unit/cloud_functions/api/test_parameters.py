"""What a client may send."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cloud_functions.api.events.requests import (
    DeleteEventsRequest,
    FilterParameters,
    ListParameters,
)
from cloud_functions.api.http.parameters import parse_event_ref, plate_parameter
from cloud_functions.db.events.filter import EventFilter


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T10:30:00Z",
        "2026-11-20T10:30:00.000000Z",
        "2026-11-20 10:30:00Z",
        "2026-11-20T11:30:00+01:00",
        "2026-11-20T11:30:00 01:00",  # what a URL decoder makes of an unescaped +
        "2026-11-20T05:00:00-05:30",
    ],
)
def test_a_time_is_rfc3339_with_its_zone(text: str) -> None:
    """Every way to write the same instant means the same instant, in UTC."""
    moment = FilterParameters.model_validate({"start_time": text}).start_time
    assert moment == datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T10:30:00",
        "2026-11-20",
        "1795170645",
        "1795170645123",
        "yesterday",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-13-20T10:30:00Z",
        "2026-11-20T10:30:00Z; DROP TABLE events",
        "infinity",
        "",
        "\x00",
    ],
)
def test_a_time_without_zone_or_out_of_range_is_refused(text: str) -> None:
    """Numbers, bare dates, words that PostgreSQL knows, and years that overflow are no times."""
    with pytest.raises(ValidationError):
        FilterParameters.model_validate({"start_time": text})


def test_the_end_is_included_to_the_microsecond() -> None:
    """``end_time`` is the last instant that counts; inside, spans end before their end."""
    moment = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
    asked = FilterParameters.model_validate({"end_time": "2026-11-20T10:30:00Z"})
    assert asked.event_filter() == EventFilter(end=moment.replace(microsecond=1))


def test_times_in_the_wrong_order_are_refused() -> None:
    """An empty span is a mistake of the client's, not an empty list."""
    with pytest.raises(ValidationError, match="start_time is after end_time"):
        FilterParameters.model_validate({"start_time": "2026-11-21T00:00:00Z", "end_time": "2026-11-20T00:00:00Z"})


@pytest.mark.parametrize(
    "text", ["person", "Hair drier", "L'entrée", "zone 3 (nord)", "駐車場", "A&B", "gate-2", "r2.d2"]
)
def test_labels_as_people_name_things(text: str) -> None:
    """Class and zone names in any script, with the punctuation names have."""
    asked = FilterParameters.model_validate({"class_name": text, "zone": text})
    assert (asked.class_name, asked.zone) == (text, text)


@pytest.mark.parametrize(
    "text",
    [
        "' OR 1=1 --",
        "x'; DROP TABLE events",
        "a--b",
        "../../etc/passwd",
        "a\x00",
        "a\nb",
        '"',
        "<b>",
        "%27",
        "",
        "$1",
        "x'",
    ],
)
def test_labels_that_are_tricks(text: str) -> None:
    """Quotes that close, comments, paths, control characters and markup are no names."""
    with pytest.raises(ValidationError):
        FilterParameters.model_validate({"class_name": text})


@pytest.mark.parametrize(
    ("text", "plate"), [("b-äk 123", "BAK123"), ("AB·123", "AB123"), ("ab123cd", "AB123CD"), ("1", "1")]
)
def test_a_plate_is_read_in_any_spelling(text: str, plate: str) -> None:
    """Case, accents, spaces, dots and hyphens do not matter."""
    assert plate_parameter(text) == plate


@pytest.mark.parametrize("text", ["", "---", "A" * 17, "AB'12", "AB;12", "%", "../12", "AB\x0012", "車🚗"])
def test_what_is_no_plate_is_refused(text: str) -> None:
    """Nothing readable, too much, or a character that no plate has."""
    with pytest.raises(ValueError, match="must be a plate"):
        plate_parameter(text)


def test_an_event_is_named_by_number_or_uuid() -> None:
    """Digits are its number, a UUID its event_id."""
    assert parse_event_ref("42") == 42
    assert parse_event_ref(str(2**63 - 1)) == 2**63 - 1
    text = "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"
    assert parse_event_ref(text) == parse_event_ref(text.upper()) == UUID(text)


@given(st.text(max_size=60))
def test_any_other_text_names_no_event(text: str) -> None:
    """Whatever text comes in, it is a number in range, a UUID, or ValueError."""
    try:
        ref = parse_event_ref(text)
    except ValueError:
        return
    assert isinstance(ref, UUID) or 1 <= ref < 2**63


@pytest.mark.parametrize("text", ["0", "-1", "+1", "1.5", "1e3", "٣", str(2**63), " 1", "0x10", "{" + "0" * 32 + "}"])
def test_numbers_in_disguise_name_no_event(text: str) -> None:
    """Signs, fractions, other digits, too large, or another way to write a UUID."""
    with pytest.raises(ValueError, match="must be an event's id"):
        parse_event_ref(text)


def test_page_and_cursor_exclude_each_other() -> None:
    """A client that sends both has mixed two ways of walking."""
    with pytest.raises(ValidationError, match="page or cursor"):
        ListParameters.model_validate({"page": "2", "cursor": "AQAGRAcTz5JAAAAAAAAAEme5_r7d"})


def test_deleting_many_needs_a_condition() -> None:
    """No condition is not "everything"."""
    with pytest.raises(ValidationError, match="at least one condition"):
        DeleteEventsRequest.model_validate({"limit": 5, "delete_snapshots": True})
    assert DeleteEventsRequest.model_validate({"camera_id": "camera-1"}).limit == 1000
