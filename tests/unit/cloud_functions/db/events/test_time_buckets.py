"""Splitting time spans at hours, days and months."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_functions.db.events.time_buckets import (
    DAY,
    HOUR,
    Resolution,
    TimeSpan,
    floor_day,
    floor_hour,
    floor_month,
    inner_buckets,
    nearest_buckets,
    next_start,
)

BASE = datetime(2026, 2, 27, tzinfo=UTC)
MOMENTS = st.one_of(
    st.integers(0, 5 * 24).map(lambda hours: BASE + timedelta(hours=hours)),
    st.integers(0, 5 * 86_400 * 10**6).map(lambda microseconds: BASE + timedelta(microseconds=microseconds)),
)
ENDS = st.one_of(st.none(), MOMENTS)


FAR_MOMENTS = st.one_of(
    MOMENTS,
    st.integers(0, 800 * 24).map(lambda hours: BASE + timedelta(hours=hours)),
    st.integers(0, 800 * 86_400 * 10**6).map(lambda microseconds: BASE + timedelta(microseconds=microseconds)),
)
FAR_ENDS = st.one_of(st.none(), FAR_MOMENTS)
FLOORS = {"hour": floor_hour, "day": floor_day, "month": floor_month}


@given(FAR_ENDS, FAR_ENDS)
def test_inner_buckets_cover_the_span_exactly(start: datetime | None, end: datetime | None) -> None:
    """The buckets are disjoint and not empty, and together they are the span. None is subtracted."""
    span = TimeSpan(start, end)
    buckets = inner_buckets(span)
    assert all(bucket.is_added for bucket in buckets)
    if span.is_empty:
        assert buckets == []
        return
    lowest, highest = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    spans = sorted((bucket.span for bucket in buckets), key=lambda bucket: bucket.start or lowest)
    assert (spans[0].start, spans[-1].end) == (start, end)
    for before, after in pairwise(spans):
        assert before.end == after.start
    assert all((bucket.start or lowest) < (bucket.end or highest) for bucket in spans)


@given(FAR_ENDS, FAR_ENDS)
def test_inner_buckets_are_whole_units_and_short(start: datetime | None, end: datetime | None) -> None:
    """The parts counted event by event are shorter than two hours, those counted by hour than two days, and so on."""
    longest = {None: 2 * HOUR, "hour": 2 * DAY, "day": timedelta(days=62), "month": timedelta.max}
    for bucket in inner_buckets(TimeSpan(start, end)):
        edges = [edge for edge in (bucket.span.start, bucket.span.end) if edge is not None]
        assert bucket.resolution is None or all(FLOORS[bucket.resolution](edge) == edge for edge in edges)
        assert len(edges) == 2 or bucket.resolution == "month"
        assert len(edges) < 2 or edges[1] - edges[0] < longest[bucket.resolution]


@pytest.mark.parametrize(
    ("resolution", "begin", "after"),
    [
        ("hour", datetime(2026, 12, 31, 23, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("day", datetime(2028, 2, 28, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC)),
        ("month", datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        ("month", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_next_start_is_the_start_of_the_next_unit(resolution: Resolution, begin: datetime, after: datetime) -> None:
    """Also for short months and at the end of a year."""
    assert next_start(begin, resolution) == after


@given(ENDS, ENDS, ENDS, ENDS)
def test_the_intersection_contains_what_is_in_both_spans(
    a: datetime | None, b: datetime | None, c: datetime | None, d: datetime | None
) -> None:
    """A moment is in the intersection if and only if it is in both."""
    one, other = TimeSpan(a, b), TimeSpan(c, d)
    intersection = one.intersection(other)
    for moment in (BASE, BASE + HOUR * 30, *(end for end in (a, b, c, d) if end)):
        assert _contains(intersection, moment) == (_contains(one, moment) and _contains(other, moment))


def _contains(span: TimeSpan, moment: datetime) -> bool:
    return (span.start is None or span.start <= moment) and (span.end is None or moment < span.end)


@given(FAR_ENDS, FAR_ENDS, FAR_MOMENTS)
def test_nearest_buckets_add_up_to_the_span(start: datetime | None, end: datetime | None, moment: datetime) -> None:
    """A moment in the span is counted once; for any other moment, additions and subtractions cancel out."""
    span = TimeSpan(start, end)
    buckets = nearest_buckets(span)
    instants = {
        moment,
        *(edge for bucket in buckets for edge in (bucket.span.start, bucket.span.end) if edge is not None),
    }
    for instant in instants | {instant - timedelta(microseconds=1) for instant in instants}:
        times = sum((1 if bucket.is_added else -1) * _contains(bucket.span, instant) for bucket in buckets)
        assert times == _contains(span, instant)


@given(FAR_ENDS, FAR_ENDS)
def test_nearest_buckets_are_whole_units_and_few(start: datetime | None, end: datetime | None) -> None:
    """Each end of a span adds at most half an hour of events, half a day of hours and half a month of days."""
    half = {None: HOUR / 2, "hour": DAY / 2, "day": timedelta(days=15.5)}
    whole, *others = nearest_buckets(TimeSpan(start, end)) or [None]
    for bucket in others:
        assert bucket is not None
        assert bucket.span.start is not None
        assert bucket.span.end is not None
        assert timedelta(0) < bucket.span.end - bucket.span.start <= half[bucket.resolution]
    for bucket in (whole, *others):
        if bucket is not None and bucket.resolution is not None:
            edges = [edge for edge in (bucket.span.start, bucket.span.end) if edge is not None]
            assert all(FLOORS[bucket.resolution](edge) == edge for edge in edges)
    assert len(others) <= 6
