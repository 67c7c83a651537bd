"""Timestamps of events are unique for each event type."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.events.timestamps import MAX_TIMESTAMPS, UniqueTimestamps
from tests.support.edge.builders import START


@given(st.lists(st.tuples(st.sampled_from(["rule", "motion"]), st.integers(0, 3)), max_size=60))
def test_no_timestamp_is_returned_twice_for_one_type(claims: list[tuple[str, int]]) -> None:
    """Each is at or after the time asked for, and no later than the number of claims in microseconds."""
    timestamps = UniqueTimestamps()
    claimed: set[tuple[str, object]] = set()
    for event_type, offset_us in claims:
        wanted_at = START + timedelta(microseconds=offset_us)
        at = timestamps.claim(event_type, wanted_at)
        assert wanted_at <= at <= wanted_at + timedelta(microseconds=len(claims))
        assert (event_type, at) not in claimed
        claimed.add((event_type, at))


def test_types_do_not_affect_each_other() -> None:
    """Different event types of one frame keep the frame's own time."""
    timestamps = UniqueTimestamps()
    assert [timestamps.claim(event_type, START) for event_type in ("rule", "motion")] == [START, START]


def test_memory_is_bounded() -> None:
    """The oldest timestamp is forgotten once there are more than ``MAX_TIMESTAMPS``."""
    timestamps = UniqueTimestamps()
    for number in range(MAX_TIMESTAMPS + 1):
        timestamps.claim("rule", START + timedelta(seconds=number))
    assert timestamps.claim("rule", START) == START
    assert timestamps.claim("rule", START + timedelta(seconds=2)) != START + timedelta(seconds=2)
