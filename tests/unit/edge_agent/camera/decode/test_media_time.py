"""Media time is strictly increasing for any timestamps."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.decode.media_time import MediaTime, parse_creation_time


def times(stamps: list[int | None], *, fps: float | None = 10.0) -> list[float]:
    media_time = MediaTime(time_base=Fraction(1, 1000), fps=fps)
    return [media_time.seconds(stamp) for stamp in stamps]


def test_time_starts_at_the_first_picture() -> None:
    """A recording cut from the middle of another one starts at 0."""
    assert times([5000, 5100, 5350]) == pytest.approx([0, 0.1, 0.35])


def test_edge_28_missing_times_are_filled_at_the_nominal_rate() -> None:
    """Elementary streams have no timestamps; some files lack a few."""
    assert times([None, None, None]) == pytest.approx([0, 0.1, 0.2])
    assert times([0, None, 250]) == pytest.approx([0, 0.1, 0.25])
    assert times([None, 7000, 7100]) == pytest.approx([0, 0.1, 0.2])
    assert times([None, None], fps=None) == pytest.approx([0, 0.04])


def test_edge_28_time_continues_in_a_joined_recording() -> None:
    """Time continues when the timestamps restart."""
    assert times([9000, 9100, 0, 100]) == pytest.approx([0, 0.1, 0.2, 0.3])


def test_edge_28_small_step_back_becomes_a_minimal_step() -> None:
    """Two pictures with the same timestamp stay in order."""
    assert times([0, 100, 90, 200]) == pytest.approx([0, 0.1, 0.101, 0.2])


@given(st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=40))
def test_edge_28_time_is_strictly_increasing(stamps: list[int | None]) -> None:
    """This holds for any timestamps."""
    seconds = times(stamps)
    assert all(later > earlier for earlier, later in pairwise(seconds))
    assert seconds[:1] in ([], [0.0])


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-02-03T04:05:06.500000Z", datetime(2025, 2, 3, 4, 5, 6, 500_000, tzinfo=UTC)),
        ("2025-02-03T04:05:06", datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC)),
        ("2025-02-03T04:05:06+0200", datetime(2025, 2, 3, 2, 5, 6, tzinfo=UTC)),
        ("1904-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_creation_time_is_parsed(text: str | None, moment: datetime | None) -> None:
    """Valid dates are parsed; the epochs of containers and invalid texts give None."""
    assert parse_creation_time(text) == moment
