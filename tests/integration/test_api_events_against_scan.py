"""Lists, totals, statistics and cursors compared with a scan in Python, for random conditions and random pages."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_functions.db.cameras.changes import create_camera
from cloud_functions.db.cameras.groups import GroupFields, create_group
from cloud_functions.db.cameras.scope import CameraScope
from cloud_functions.db.events.counts import count_events
from cloud_functions.db.events.filter import EventFilter
from cloud_functions.db.events.queries import events_after, numbered_page, page_after
from cloud_functions.db.events.statistics import event_stats
from tests.support.api_calls import NOON, store, stored_event
from tests.support.backing_services import PostgresFixture
from tests.support.camera_groups import camera_fields

CAMERAS = ["camera-1", "camera-2", "camera-3"]
GROUP_OF = {"camera-1": "entrances", "camera-2": "yards"}
"""The groups of two cameras; the third one is in none."""
SCOPES = [("entrances",), ("yards",), ("entrances", "yards"), ("other",), ()]
CLASSES = ["person", "car", "dog", "zebra"]
ZONES = ["gate", "yard"]
FIRST = NOON - timedelta(days=35)  # covers two months
Event = dict[str, Any]


def _random_event(chance: random.Random) -> Event:
    event_type = chance.choice(["tracking", "tracking", "detection", "motion", "anpr", "rule"])
    moment = FIRST + timedelta(days=chance.choice([0, 0, 1, 2, 30, 31, 34]), seconds=chance.choice([0, 1, 3599, 3600]))
    if chance.random() < 0.7:
        moment += timedelta(seconds=chance.randrange(86_400), microseconds=chance.choice([0, 1, 999_999]))
    names = chance.choices(CLASSES, weights=[60, 30, 9, 1], k=2)
    scores = [round(chance.random(), 2) for _ in range(2)]
    data: Event = {
        "tracking": {
            "class_name": names[0],
            "confidence": scores[0],
            "zones": chance.sample(ZONES, chance.choice([0, 0, 1, 2])),
        },
        "detection": {"detections": [{"class_name": n, "confidence": s} for n, s in zip(names, scores, strict=True)]},
        "rule": {
            "rule": "zone_entered",
            "class_name": chance.choice([names[0], None]),
            "confidence": chance.choice([scores[0], None]),
            "zone": chance.choice([*ZONES, None]),
        },
        "anpr": {"plate_normalized": f"B{chance.randrange(9)}", "anpr_result": {"confidence": scores[0]}},
    }.get(event_type, {})
    return stored_event(
        event_type,
        camera_id=chance.choice(CAMERAS),
        site_id=chance.choice(["hq", "depot"]),
        timestamp=moment,
        event_data=data,
    )


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """Two thousand events: many with equal timestamps, at the edges of hours and days, some with rare labels."""
    chance = random.Random(5)
    return [_random_event(chance) for _ in range(2000)]


@pytest.fixture(scope="module")
def connection(postgres: PostgresFixture, events: list[Event]) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection to a database with these events."""
    postgres.start()
    name = postgres.new_database()
    url = postgres.server.url_of(name)
    with psycopg.connect(url, autocommit=True) as setup:
        setup.execute("SELECT events_ensure_partition(%s)", [FIRST])
        for camera, group in GROUP_OF.items():
            group_id = uuid4()
            create_group(setup, group_id, GroupFields(group), slug=group)
            create_camera(setup, uuid4(), camera_fields(camera, group_id=group_id), slug=camera, exact=True)
    for event, number in zip(events, store(url, events), strict=True):
        event["id"] = number
    with psycopg.connect(url, autocommit=True) as setup:
        # Some events are deleted: rollups must change, and rows with count 0 must have no effect.
        setup.execute("DELETE FROM events WHERE mod(id, 50) = 7")
        events[:] = [event for event in events if event["id"] % 50 != 7]
        setup.execute("ANALYZE")
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as opened:
        yield opened
    postgres.server.drop_database(name)


MOMENTS = st.one_of(
    st.builds(lambda days, hours: FIRST + timedelta(days=days, hours=hours), st.integers(-1, 36), st.integers(0, 23)),
    st.integers(0, 36 * 86_400 * 10**6).map(lambda microseconds: FIRST + timedelta(microseconds=microseconds)),
)
FILTERS = st.builds(
    EventFilter,
    camera_id=st.sampled_from([None, None, *CAMERAS]),
    site_id=st.sampled_from([None, None, None, "hq"]),
    event_type=st.sampled_from([None, None, "tracking", "detection", "anpr", "rule", "snapshot"]),
    class_name=st.sampled_from([None, None, *CLASSES, "nothing"]),
    min_confidence=st.sampled_from([None, None, None, 0.0, 0.15, 0.35, 0.5, 0.51, 0.87, 0.95, 1.0]),
    zone=st.sampled_from([None, None, None, *ZONES]),
    plate=st.sampled_from([None, None, None, None, "B3"]),
    start=st.one_of(st.none(), MOMENTS),
    end=st.one_of(st.none(), MOMENTS),
    scope=st.one_of(st.none(), st.sampled_from(SCOPES).map(CameraScope)),
)
MANY_EXAMPLES = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _objects(event: Event) -> list[tuple[str | None, float | None]]:
    data = event["event_data"]
    if event["event_type"] == "detection":
        return [(detection["class_name"], detection["confidence"]) for detection in data["detections"]]
    if event["event_type"] == "anpr":
        return [(None, data["anpr_result"]["confidence"])]
    return [(data.get("class_name"), data.get("confidence"))]


def _matches(event: Event, event_filter: EventFilter) -> bool:
    names_match = all(
        getattr(event_filter, name) in (None, event[name]) for name in ("camera_id", "site_id", "event_type")
    )
    moment: datetime = event["timestamp"]
    in_time = (event_filter.start is None or moment >= event_filter.start) and (
        event_filter.end is None or moment < event_filter.end
    )
    object_matches = any(
        (event_filter.class_name is None or name == event_filter.class_name)
        and (event_filter.min_confidence is None or (score is not None and score >= event_filter.min_confidence))
        for name, score in _objects(event)
    )
    data = event["event_data"]
    zone = event_filter.zone is None or event_filter.zone in (*data.get("zones", []), data.get("zone"))
    plate = event_filter.plate is None or data.get("plate_normalized") == event_filter.plate
    scope = event_filter.scope is None or GROUP_OF.get(event["camera_id"]) in event_filter.scope.groups
    return names_match and in_time and object_matches and zone and plate and scope


def _scan(events: list[Event], event_filter: EventFilter) -> list[Event]:
    matching = [event for event in events if _matches(event, event_filter)]
    return sorted(matching, key=lambda event: (event["timestamp"], event["id"]), reverse=True)


@MANY_EXAMPLES
@given(event_filter=FILTERS, size=st.sampled_from([1, 3, 10, 50, 500]), share=st.floats(0, 1.1))
def test_any_page_equals_a_scan(
    connection: psycopg.Connection[tuple[Any, ...]],
    events: list[Event],
    event_filter: EventFilter,
    size: int,
    share: float,
) -> None:
    """The page has the same events in the same order and the exact total, for any page number."""
    expected = _scan(events, event_filter)
    page_number = int(len(expected) * share / size)
    page = numbered_page(connection, event_filter, offset=page_number * size, limit=size)
    on_page = expected[page_number * size : (page_number + 1) * size]
    assert page.total == len(expected) == count_events(connection, event_filter)
    assert [event.id for event in page.events] == [event["id"] for event in on_page]
    assert page.has_more == (len(expected) > (page_number + 1) * size)


@MANY_EXAMPLES
@given(event_filter=FILTERS, size=st.sampled_from([1, 7, 100]), data=st.data())
def test_any_cursor_equals_a_scan(
    connection: psycopg.Connection[tuple[Any, ...]],
    events: list[Event],
    event_filter: EventFilter,
    size: int,
    data: st.DataObject,
) -> None:
    """The page after any event, in the list or not, has the same events as a scan, and the total of the list."""
    expected = _scan(events, event_filter)
    drawn = data.draw(st.sampled_from(expected or events))
    after = events_after(connection, EventFilter(start=drawn["timestamp"]), after=None, limit=5000)[-1]
    following = [e for e in expected if (e["timestamp"], e["id"]) < (after.timestamp, after.id)]
    page = page_after(connection, event_filter, after=after, limit=size)
    assert page.total == len(expected)
    assert [event.id for event in page.events] == [event["id"] for event in following[:size]]
    assert page.has_more == (len(following) > size)


@MANY_EXAMPLES
@given(event_filter=FILTERS)
def test_statistics_equal_a_scan(
    connection: psycopg.Connection[tuple[Any, ...]], events: list[Event], event_filter: EventFilter
) -> None:
    """Totals by type and camera, and the first and last time to the microsecond."""
    expected = _scan(events, event_filter)
    statistics = event_stats(connection, event_filter)
    assert statistics.total == len(expected)
    assert statistics.by_type == Counter(event["event_type"] for event in expected)
    assert statistics.by_camera == Counter(event["camera_id"] for event in expected)
    assert statistics.first == (expected[-1]["timestamp"] if expected else None)
    assert statistics.last == (expected[0]["timestamp"] if expected else None)
