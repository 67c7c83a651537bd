"""Parameter types and request models of the events API."""

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
from cloud_functions.api.http.parameters import check_one_line, parse_event_ref, plate_parameter, unique_name
from cloud_functions.db.events.filter import EventFilter


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T10:30:00Z",
        "2026-11-20T10:30:00.000000Z",
        "2026-11-20 10:30:00Z",
        "2026-11-20T11:30:00+01:00",
        "2026-11-20T11:30:00 01:00",  # an unescaped + after URL decoding
        "2026-11-20T05:00:00-05:30",
        "2026-11-20T10:30:00",
        "2026-11-20 10:30",
    ],
)
def test_a_time_is_rfc3339(text: str) -> None:
    """All spellings of one instant give the same UTC time."""
    moment = FilterParameters.model_validate({"start_time": text}).start_time
    assert moment is not None
    assert moment == datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
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
def test_other_texts_and_times_out_of_range_are_rejected(text: str) -> None:
    """Numbers, words that PostgreSQL accepts, and years that overflow are not times."""
    with pytest.raises(ValidationError):
        FilterParameters.model_validate({"start_time": text})


def test_a_date_is_its_midnight_in_utc() -> None:
    """A date without a time is accepted."""
    params = FilterParameters.model_validate({"start_time": "2026-11-20"})
    assert params.start_time == datetime(2026, 11, 20, tzinfo=UTC)


def test_the_end_is_included_to_the_microsecond() -> None:
    """``end_time`` is inclusive, and the filter has an exclusive end one microsecond later."""
    moment = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
    params = FilterParameters.model_validate({"end_time": "2026-11-20T10:30:00Z"})
    assert params.event_filter(scope=None) == EventFilter(end=moment.replace(microsecond=1))


def test_times_in_the_wrong_order_are_rejected() -> None:
    """A start after the end is an error, not an empty list."""
    with pytest.raises(ValidationError, match="start_time is after end_time"):
        FilterParameters.model_validate({"start_time": "2026-11-21T00:00:00Z", "end_time": "2026-11-20T00:00:00Z"})


@pytest.mark.parametrize(
    "text", ["person", "Hair drier", "L'entrée", "zone 3 (nord)", "駐車場", "A&B", "gate-2", "r2.d2"]
)
def test_labels_in_any_script_are_accepted(text: str) -> None:
    """Class and zone names may use any script and the punctuation that names have."""
    params = FilterParameters.model_validate({"class_name": text, "zone": text})
    assert (params.class_name, params.zone) == (text, text)


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
def test_hostile_labels_are_rejected(text: str) -> None:
    """Closing quotes, comments, paths, control characters and markup are not labels."""
    with pytest.raises(ValidationError):
        FilterParameters.model_validate({"class_name": text})


@pytest.mark.parametrize(
    ("text", "plate"), [("b-äk 123", "BAK123"), ("AB·123", "AB123"), ("ab123cd", "AB123CD"), ("1", "1")]
)
def test_a_plate_is_accepted_in_any_spelling(text: str, plate: str) -> None:
    """Case, accents, spaces, dots and hyphens are ignored."""
    assert plate_parameter(text) == plate


@pytest.mark.parametrize("text", ["", "---", "A" * 17, "AB'12", "AB;12", "%", "../12", "AB\x0012", "車🚗"])
def test_other_text_is_not_a_plate(text: str) -> None:
    """Text without letters and digits, too long text, and characters that no plate has are rejected."""
    with pytest.raises(ValueError, match="must be a plate"):
        plate_parameter(text)


def test_an_event_reference_is_an_id_or_a_uuid() -> None:
    """Digits are an ``id``; a UUID is an ``event_id``."""
    assert parse_event_ref("42") == 42
    assert parse_event_ref(str(2**63 - 1)) == 2**63 - 1
    text = "0192f0c1-7d1e-7c3a-9a2b-3b0e0c5d9f11"
    assert parse_event_ref(text) == parse_event_ref(text.upper()) == UUID(text)


@given(st.text(max_size=60))
def test_other_text_is_not_an_event_reference(text: str) -> None:
    """Any text is an id in range, a UUID, or a ValueError."""
    try:
        ref = parse_event_ref(text)
    except ValueError:
        return
    assert isinstance(ref, UUID) or 1 <= ref < 2**63


@pytest.mark.parametrize("text", ["0", "-1", "+1", "1.5", "1e3", "٣", str(2**63), " 1", "0x10", "{" + "0" * 32 + "}"])
def test_other_number_formats_are_not_event_references(text: str) -> None:
    """Signs, fractions, other digits, numbers out of range and other UUID formats are rejected."""
    with pytest.raises(ValueError, match="must be an event's id"):
        parse_event_ref(text)


def test_page_and_cursor_cannot_be_combined() -> None:
    """A request with both is an error."""
    with pytest.raises(ValidationError, match="page or cursor"):
        ListParameters.model_validate({"page": "2", "cursor": "AQAGRAcTz5JAAAAAAAAAEme5_r7d"})


def test_deleting_many_events_requires_a_condition() -> None:
    """A request without a condition must not delete all events."""
    with pytest.raises(ValidationError, match="at least one condition"):
        DeleteEventsRequest.model_validate({"limit": 5, "delete_snapshots": True})
    assert DeleteEventsRequest.model_validate({"camera_id": "camera-1"}).limit == 1000


@pytest.mark.parametrize(
    "hidden", ["\x00", "\n", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\u200b", "\ufeff", "\u00ad", "\ud800"]
)
def test_a_line_of_text_holds_nothing_hidden(hidden: str) -> None:
    """Line ends, directions of text and characters without a shape: two names would look the same."""
    with pytest.raises(ValueError, match="control characters"):
        check_one_line(f"Front{hidden} Door")


def test_a_name_has_one_spelling() -> None:
    """Letters with accents in composed form, in which a unique index compares them; the rest is as written."""
    assert unique_name("Cafe\u0301") == unique_name("Caf\u00e9") == "Caf\u00e9"
    for text in ("Ｆront", "دوربین\u200cها", "👨\u200d👩\u200d👧"):
        assert unique_name(text) == text
