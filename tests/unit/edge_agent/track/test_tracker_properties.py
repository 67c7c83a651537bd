"""Properties of the tracker that hold for any detections."""

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
    """Draw boxes on a grid, so that they recur, and some invalid boxes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.tuples(_NUMBER, _NUMBER, _NUMBER, _NUMBER))
    x, y = draw(st.integers(0, 6)) * 45.0, draw(st.integers(0, 3)) * 50.0
    dx, dy = draw(st.floats(-8.0, 8.0, width=32)), draw(st.floats(-8.0, 8.0, width=32))
    width, height = draw(st.sampled_from([(40.0, 100.0), (80.0, 60.0), (40.0, 50.0)]))
    return x + dx, y + dy, x + dx + width, y + dy + height


@st.composite
def sequences(draw: st.DrawFn) -> list[tuple[float, Detections]]:
    """Draw some frames with their times, most of which increase."""
    sequence: list[tuple[float, Detections]] = []
    time_s = 0.0
    for _ in range(draw(st.integers(1, 12))):
        time_s += draw(st.sampled_from([0.04, 0.1, 0.5, 1.0, 0.0, -3.0, 100.0]))
        drawn = draw(st.lists(boxes(), max_size=6))
        scores = st.sampled_from([0.9, 0.9, 0.6, 0.3, 0.1, 5.0, float("nan")])
        sequence.append(
            (
                time_s,
                Detections(
                    np.array(drawn, np.float32).reshape(len(drawn), 4),
                    np.array([draw(scores) for _ in drawn], np.float32),
                    np.array([draw(st.integers(-1, 2)) for _ in drawn], np.int32),
                ),
            )
        )
    return sequence


def _play(sequence: list[tuple[float, Detections]], tracker: ByteTracker | None = None) -> list[Tracks]:
    tracker = tracker or ByteTracker(TrackSettings(lost_s=0.5), labels=("car", "truck", "person"))
    return [tracker.update(shown, time_s=time_s) for time_s, shown in sequence]


def _comparable(results: list[Tracks]) -> list[list[tuple[object, ...]]]:
    return [
        [
            *sorted(
                zip(
                    tracks.track_id.tolist(),
                    tracks.xyxy.tolist(),
                    tracks.score.tolist(),
                    tracks.class_id.tolist(),
                    strict=True,
                )
            ),
            tracks.ended,
        ]
        for tracks in results
    ]


@given(sequences())
@settings(max_examples=60, deadline=None)
def test_ids_are_unique_consecutive_and_end_once(sequence: list[tuple[float, Detections]]) -> None:
    """Ids are unique; a detection is in at most one track; a track ends once, at the latest with ``finish``."""
    tracker = ByteTracker(TrackSettings(lost_s=0.5), labels=("car", "truck", "person"))
    alive: set[int] = set()
    over: set[int] = set()
    for (_, shown), tracks in zip(sequence, _play(sequence, tracker), strict=True):
        present = tracks.track_id.tolist()
        assert len(set(present)) == len(present)
        assert not over & set(present)
        assert len(set(tracks.detection_index.tolist())) == len(tracks)
        assert all(0 <= index < len(shown) for index in tracks.detection_index.tolist())
        alive |= set(present)
        assert set(tracks.ended) <= alive - over
        over |= set(tracks.ended)
        assert alive == set(range(1, len(alive) + 1))
    assert set(tracker.finish()) == alive - over


@given(sequences())
@settings(max_examples=60, deadline=None)
def test_tracks_have_valid_boxes_scores_and_classes(sequence: list[tuple[float, Detections]]) -> None:
    """Boxes are finite and not inverted, for any detections."""
    for tracks in _play(sequence):
        assert np.isfinite(tracks.xyxy).all()
        assert (tracks.xyxy[:, 2:] > tracks.xyxy[:, :2]).all()
        assert ((tracks.score >= 0) & (tracks.score <= 1)).all()
        assert (tracks.class_id >= 0).all()


@given(sequences(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_detections_has_no_influence(sequence: list[tuple[float, Detections]], random: object) -> None:
    """Shuffled detections, and a second run, give bit-identical boxes, ids, classes and ends."""
    shuffled = []
    for time_s, shown in sequence:
        order = list(range(len(shown)))
        random.shuffle(order)  # type: ignore[attr-defined]
        shuffled.append((time_s, shown.select(np.array(order, np.intp))))
    straight = _comparable(_play(sequence))
    assert _comparable(_play(sequence)) == straight
    assert _comparable(_play(shuffled)) == straight


@given(sequences())
@settings(max_examples=60, deadline=None)
def test_detections_are_not_modified(sequence: list[tuple[float, Detections]]) -> None:
    """The arrays of the caller are only read."""
    before = [(shown.xyxy.tobytes(), shown.score.tobytes(), shown.class_id.tobytes()) for _, shown in sequence]
    _play(sequence)
    assert [(shown.xyxy.tobytes(), shown.score.tobytes(), shown.class_id.tobytes()) for _, shown in sequence] == before
