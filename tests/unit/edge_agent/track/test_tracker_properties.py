"""What holds for the tracker whatever it is shown."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.track.settings import TrackSettings
from edge_agent.track.tracker import ByteTracker
from edge_agent.types import Detections, Tracks

_NUMBER = st.one_of(
    st.floats(-50.0, 700.0, width=32),
    st.integers(0, 8).map(lambda step: step * 40.0),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e20]),
)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """Draw boxes on a grid, so that they meet again, and some that are no boxes at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.tuples(_NUMBER, _NUMBER, _NUMBER, _NUMBER))
    x, y = draw(st.integers(0, 6)) * 45.0, draw(st.integers(0, 3)) * 50.0
    dx, dy = draw(st.floats(-8.0, 8.0, width=32)), draw(st.floats(-8.0, 8.0, width=32))
    width, height = draw(st.sampled_from([(40.0, 100.0), (80.0, 60.0), (40.0, 50.0)]))
    return x + dx, y + dy, x + dx + width, y + dy + height


@st.composite
def films(draw: st.DrawFn) -> list[tuple[float, Detections]]:
    """Draw some frames with their times, which mostly go forward."""
    film: list[tuple[float, Detections]] = []
    time_s = 0.0
    for _ in range(draw(st.integers(1, 12))):
        time_s += draw(st.sampled_from([0.04, 0.1, 0.5, 1.0, 0.0, -3.0, 100.0]))
        found = draw(st.lists(boxes(), max_size=6))
        scores = st.sampled_from([0.9, 0.9, 0.6, 0.3, 0.1, 5.0, float("nan")])
        film.append(
            (
                time_s,
                Detections(
                    np.array(found, np.float32).reshape(len(found), 4),
                    np.array([draw(scores) for _ in found], np.float32),
                    np.array([draw(st.integers(-1, 2)) for _ in found], np.int32),
                ),
            )
        )
    return film


def _play(film: list[tuple[float, Detections]], tracker: ByteTracker | None = None) -> list[Tracks]:
    tracker = tracker or ByteTracker(TrackSettings(lost_s=0.5), labels=("car", "truck", "person"))
    return [tracker.update(shown, time_s=time_s) for time_s, shown in film]


def _as_seen(results: list[Tracks]) -> list[list[tuple[object, ...]]]:
    return [
        [
            *sorted(
                zip(one.track_id.tolist(), one.xyxy.tolist(), one.score.tolist(), one.class_id.tolist(), strict=True)
            ),
            one.ended,
        ]
        for one in results
    ]


@given(films())
@settings(max_examples=60, deadline=None)
def test_ids_are_unique_and_gapless_and_end_for_good(film: list[tuple[float, Detections]]) -> None:
    """Within a frame and over time; a detection is in one track at most; a track ends once, at the latest at finish."""
    tracker = ByteTracker(TrackSettings(lost_s=0.5), labels=("car", "truck", "person"))
    alive: set[int] = set()
    gone: set[int] = set()
    for (_, shown), tracks in zip(film, _play(film, tracker), strict=True):
        present = tracks.track_id.tolist()
        assert len(set(present)) == len(present)
        assert not gone & set(present)
        assert len(set(tracks.detection_index.tolist())) == len(tracks)
        assert all(0 <= index < len(shown) for index in tracks.detection_index.tolist())
        alive |= set(present)
        assert set(tracks.ended) <= alive - gone
        gone |= set(tracks.ended)
        assert alive == set(range(1, len(alive) + 1))
    assert set(tracker.finish()) == alive - gone


@given(films())
@settings(max_examples=60, deadline=None)
def test_what_comes_out_is_finite_and_a_box(film: list[tuple[float, Detections]]) -> None:
    """Whatever went in."""
    for tracks in _play(film):
        assert np.isfinite(tracks.xyxy).all()
        assert (tracks.xyxy[:, 2:] > tracks.xyxy[:, :2]).all()
        assert ((tracks.score >= 0) & (tracks.score <= 1)).all()
        assert (tracks.class_id >= 0).all()


@given(films(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_detections_changes_nothing(film: list[tuple[float, Detections]], random: object) -> None:
    """Nor does playing the same again: boxes, ids, classes and ends are the same to the last bit."""
    shuffled = []
    for time_s, shown in film:
        order = list(range(len(shown)))
        random.shuffle(order)  # type: ignore[attr-defined]
        shuffled.append((time_s, shown.select(np.array(order, np.intp))))
    straight = _as_seen(_play(film))
    assert _as_seen(_play(film)) == straight
    assert _as_seen(_play(shuffled)) == straight


@given(films())
@settings(max_examples=60, deadline=None)
def test_what_was_given_is_not_changed(film: list[tuple[float, Detections]]) -> None:
    """Detections are the caller's; the tracker only reads them."""
    before = [(shown.xyxy.tobytes(), shown.score.tobytes(), shown.class_id.tobytes()) for _, shown in film]
    _play(film)
    assert [(shown.xyxy.tobytes(), shown.score.tobytes(), shown.class_id.tobytes()) for _, shown in film] == before
