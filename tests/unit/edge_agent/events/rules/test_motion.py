"""Motion events: one at the start of an episode and one at its end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.events.occurrences import MotionOccurrence
from edge_agent.events.rules.motion import MotionEpisodes
from edge_agent.events.settings import EventSettings
from tests.support.edge.builders import BOX, FPS, frame, motion


def _play(active: list[bool], settings: EventSettings | None = None) -> list[tuple[int, MotionOccurrence]]:
    episodes = MotionEpisodes(settings or EventSettings())
    emitted = []
    for number, moving in enumerate(active, 1):
        state = motion(BOX, area_ratio=0.01 * number) if moving else motion()
        emitted += [(number, found) for found in episodes.observe(frame(number), state)]
    return emitted + [(len(active), found) for found in episodes.finish()]


def test_a_motion_episode_is_emitted_at_its_start_and_its_end() -> None:
    """The first event is at the first frame with motion; the second follows ``motion_quiet_s``, with the duration."""
    emitted = _play([False] * 10 + [True] * 30 + [False] * 40, EventSettings(motion_quiet_s=2.05))
    assert [(number, found.duration_s) for number, found in emitted] == [(11, None), (61, 2.9)]


def test_the_end_event_shows_the_frame_with_the_most_motion() -> None:
    """The frame with the largest moving area is the picture of the second event."""
    emitted = _play([True] * 20 + [False] * 40)
    assert emitted[1][1].frame.number == 20
    assert emitted[1][1].motion.area_ratio == 0.2


def test_short_pauses_do_not_end_an_episode() -> None:
    """A pause shorter than ``motion_quiet_s`` is part of the episode."""
    emitted = _play(([True] * 5 + [False] * 10) * 4 + [False] * 40)
    assert [found.duration_s is None for _, found in emitted] == [True, False]


def test_episodes_within_the_cooldown_are_not_emitted() -> None:
    """The cooldown begins with the last episode that was emitted."""
    settings = EventSettings(motion_quiet_s=0.3, motion_cooldown_s=5.0)
    emitted = _play(([True] * 2 + [False] * 8) * 12, settings)
    starts = [number for number, found in emitted if found.duration_s is None]
    assert starts == [1, 51, 101]
    assert sum(found.duration_s is not None for _, found in emitted) == 3


def test_the_end_of_the_source_ends_the_episode() -> None:
    """No episode remains open after the last frame."""
    assert [found.duration_s for _, found in _play([True] * 11)] == [None, 1.0]


@given(st.lists(st.booleans(), max_size=120))
def test_start_and_end_events_alternate(active: list[bool]) -> None:
    """For any motion, each start has one end, and durations do not exceed the recording."""
    emitted = _play(active)
    kinds = [found.duration_s is None for _, found in emitted]
    assert kinds == [True, False] * (len(kinds) // 2)
    assert all(found.duration_s is None or 0 <= found.duration_s <= len(active) / FPS for _, found in emitted)
    assert bool(emitted) == any(active)
