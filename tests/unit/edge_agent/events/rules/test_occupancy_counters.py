"""Occupancy, counters and schedules."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.events.rules.counters import Crossing, CrossingCounters
from edge_agent.events.rules.occupancy import Occupancy, OccupancyState
from edge_agent.events.rules.schedule import Schedule, Window, latest_occurrence
from tests.support.edge.walks import play, walk, zone_rules

BUCHAREST = ZoneInfo("Europe/Bucharest")
RIGHT = Crossing("gate", "person", "right")


def _levels(counts: list[int], **fields: float) -> list[tuple[str | None, float, int | None]]:
    state = OccupancyState("hall", Occupancy(**{"debounce_s": 2.0, "cooldown_s": 10.0, **fields}))  # type: ignore[arg-type]
    return [
        (each.direction, each.time_s, each.count) for k, count in enumerate(counts) for each in state.observe(k, count)
    ]


def test_occupancy_above_the_limit_is_reported_after_the_debounce() -> None:
    """More than two objects for two seconds are reported; a shorter excess is not."""
    assert _levels([0, 3, 3, 2, 2], over=2) == []
    assert _levels([0, 3, 3, 3, 4, 5], over=2) == [("over", 3.0, 3)]


def test_occupancy_below_the_limit_is_reported() -> None:
    """An empty zone is reported, also if it is empty from the start."""
    assert _levels([0, 0, 0, 1, 1, 1, 1], under=1) == [("under", 2.0, 0)]


def test_a_repeated_level_is_reported_only_after_the_cooldown() -> None:
    """After 10 s the level is reported if it still applies."""
    crowd = [3, 3, 3, 0, 0, 0, 3, 3, 3]
    assert _levels([*crowd, *[3] * 10], over=2) == [("over", 2.0, 3), ("over", 12.0, 3)]
    assert _levels([*crowd, *[0] * 10], over=2) == [("over", 2.0, 3)]


def test_edge_03_each_scheduled_period_starts_without_state() -> None:
    """An excess in the evening and one the next morning are both reported, each after the full debounce."""
    window = Schedule((Window(time(8), time(18)),))
    rules = zone_rules(occupancy=Occupancy(over=0, debounce_s=2.0, cooldown_s=10.0), schedule=window)
    evening, morning = datetime(2026, 11, 20, 17, 59, tzinfo=UTC), datetime(2026, 11, 21, 8, tzinfo=UTC)
    play(rules, walk([(0.5, 0.5)] * 5), end=False, start=evening)
    moments = [(evening, 1.0), (evening, 3.0), (evening + timedelta(minutes=1), 60.0)]
    moments += [(morning, 50_460.0), (morning, 50_461.0), (morning, 50_462.0)]
    reports = [(at, each.time_s) for at, time_s in moments for each in rules.occupancy([1], time_s=time_s, at=at)]
    assert reports == [(evening, 3.0), (morning, 50_462.0)]


def test_only_announced_objects_count() -> None:
    """Two objects are in the zone, and one of them is announced."""
    rules = zone_rules(occupancy=Occupancy(over=0, debounce_s=0.0))
    for track_id in (1, 2):
        play(rules, walk([(0.5, 0.5)] * 5), track_id=track_id, end=False)
    at = datetime(2026, 11, 20, tzinfo=UTC)
    assert rules.occupancy([], time_s=1.0, at=at) == []
    [report] = rules.occupancy([2], time_s=2.0, at=at)
    assert (report.name, report.count, report.direction, report.zone) == ("zone", 1, "over", "zone")


def test_crossings_are_counted_by_line_class_and_direction() -> None:
    """Each combination has its own count."""
    counters = CrossingCounters()
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert [counters.add(RIGHT, at), counters.add(RIGHT, at)] == [1, 2]
    assert counters.add(RIGHT._replace(direction="left"), at) == 1
    assert counters.add(RIGHT._replace(class_name="car"), at) == 1
    assert sum(counters.counts(at).values()) == 4


def test_counts_are_reset_at_local_times() -> None:
    """They are reset at midnight and 18:00 in the site's time zone, not in UTC."""
    counters = CrossingCounters(reset_at=(time(0, 0), time(18, 0)), timezone=BUCHAREST)
    before, after = datetime(2026, 11, 20, 15, 59, tzinfo=UTC), datetime(2026, 11, 20, 16, 0, tzinfo=UTC)
    assert [counters.add(RIGHT, before), counters.add(RIGHT, before), counters.add(RIGHT, after)] == [1, 2, 1]
    assert counters.counts(datetime(2026, 11, 20, 21, 59, tzinfo=UTC)) == {RIGHT: 1}
    assert counters.counts(datetime(2026, 11, 20, 22, 0, tzinfo=UTC)) == {}
    assert counters.add(RIGHT, before) == 1  # a clock that is set back does not reopen an earlier period


@pytest.mark.parametrize(
    ("day", "reset", "utc"),
    [
        ((2026, 3, 29), time(0, 0), "2026-03-28T22:00"),
        ((2026, 3, 30), time(0, 0), "2026-03-29T21:00"),
        ((2026, 3, 29), time(3, 30), "2026-03-29T01:30"),  # 03:30 does not exist: the clock moves from 03:00 to 04:00
        ((2026, 10, 25), time(3, 30), "2026-10-25T00:30"),  # 03:30 occurs twice: the first one counts
        ((2026, 10, 26), time(0, 0), "2026-10-25T22:00"),
    ],
)
def test_resets_follow_daylight_saving_time(day: tuple[int, int, int], reset: time, utc: str) -> None:
    """Counts are reset once a day, also on days of 23 and 25 hours."""
    moment = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    noon = datetime(*day, 12, tzinfo=BUCHAREST).astimezone(UTC)
    assert latest_occurrence((reset,), noon, BUCHAREST) == moment
    counters = CrossingCounters(reset_at=(reset,), timezone=BUCHAREST)
    hours = [moment + timedelta(hours=hour, minutes=10) for hour in range(-20, 20)]
    assert [counters.add(RIGHT, hour) for hour in hours].count(1) == 2


def test_a_window_can_extend_past_midnight() -> None:
    """Friday's window ends on Saturday morning, and Sunday evening is outside it."""
    schedule = Schedule((Window(time(22, 0), time(6, 0), frozenset({4})),), BUCHAREST)
    friday = datetime(2026, 11, 20, tzinfo=BUCHAREST)
    active = {hour: schedule.active(friday + timedelta(hours=hour)) for hour in (5, 21, 22, 23, 24, 29, 30, 46)}
    assert active == {5: False, 21: False, 22: True, 23: True, 24: True, 29: True, 30: False, 46: False}


def test_a_window_with_equal_times_lasts_24_hours() -> None:
    """It lasts from noon on Monday to noon on Tuesday."""
    schedule = Schedule((Window(time(12, 0), time(12, 0), frozenset({0})),))
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    assert [schedule.active(monday + timedelta(hours=hour)) for hour in (11, 12, 23, 35, 36)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert Schedule().active(monday)


@given(st.integers(0, 365 * 24 * 60), st.times(), st.times())
def test_a_window_and_its_complement_cover_the_week(minute: int, begin: time, end: time) -> None:
    """At every moment exactly one of the two is active, also when the clock changes."""
    if begin == end:
        return
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    inside = Schedule((Window(begin, end),), BUCHAREST).active(at)
    assert inside != Schedule((Window(end, begin),), BUCHAREST).active(at)
