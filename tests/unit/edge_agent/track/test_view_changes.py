"""Tracks when the frame size changes, and while the camera pans."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.track.tracker import ByteTracker
from edge_agent.types import ViewChange
from tests.support.edge.track_builders import FPS, Box, frame, ids, person, play


def scaled(box: Box, across: float, down: float) -> Box:
    return (box[0] * across, box[1] * down, box[2] * across, box[3] * down)


@pytest.mark.parametrize(("across", "down"), [(2.0, 2.0), (0.5, 0.5), (1.0, 4 / 3), (3.0, 2.0)])
def test_edge_12_tracks_continue_when_the_frame_size_changes(across: float, down: float) -> None:
    """Two people who walk towards each other keep their ids although their pixel coordinates change."""
    tracker = ByteTracker()
    before = [frame([person(100 + 6 * i), person(500 - 6 * i)]) for i in range(20)]
    after = [
        frame([scaled(person(100 + 6 * i), across, down), scaled(person(500 - 6 * i), across, down)])
        for i in range(20, 60)
    ]
    first = play(tracker, before)
    tracker.move_view(ViewChange(scale_x=across, scale_y=down))
    second = play(tracker, after, start_s=20 / FPS)
    assert ids(first) == ids(second) == {1, 2}
    assert [int(i) for i in second[-1].track_id[np.argsort(second[-1].xyxy[:, 0])]] == [2, 1]


def test_edge_20_stationary_objects_keep_their_ids_during_a_pan() -> None:
    """The camera pans past three similar parked cars, by more than a box width per update."""
    tracker = ByteTracker()
    cars = [person(100 + 70 * n, width=60, height=40) for n in range(3)]
    first = play(tracker, [frame(cars)] * 5)
    shown = []
    for step in range(1, 6):
        tracker.move_view(ViewChange(shift_x_px=70.0))
        moved = [(box[0] + 70 * step, box[1], box[2] + 70 * step, box[3]) for box in cars]
        shown.append(tracker.update(frame(moved), time_s=1.0 + step * 0.5))
    assert ids(first) == ids(shown) == {1, 2, 3}
    for tracks in shown:
        order = np.argsort(tracks.xyxy[:, 0])
        assert tracks.track_id[order].tolist() == first[-1].track_id[np.argsort(first[-1].xyxy[:, 0])].tolist()


CHANGES = st.builds(
    ViewChange,
    scale_x=st.floats(0.2, 5.0),
    scale_y=st.floats(0.2, 5.0),
    shift_x_px=st.floats(-500, 500),
    shift_y_px=st.floats(-500, 500),
)


@given(CHANGES, CHANGES, st.floats(0, 2000), st.floats(0, 2000))
def test_consecutive_view_changes_are_composed(first: ViewChange, second: ViewChange, x: float, y: float) -> None:
    """The composed change maps a point like the two changes one after the other."""
    assert first.then(second).point(x, y) == pytest.approx(second.point(*first.point(x, y)), rel=1e-6, abs=1e-6)
