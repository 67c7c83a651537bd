"""Objects that are hidden temporarily, and objects that cross."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from edge_agent.track.tracker import ByteTracker
from edge_agent.types import Detections, Tracks
from tests.support.edge.track_builders import FPS, Box, frame, id_at, ids, person


def watch(frames: Iterable[Detections]) -> list[Tracks]:
    """Run a new tracker, with the frame size, over frames."""
    tracker = ByteTracker()
    return [tracker.update(shown, time_s=number / FPS, frame_size=(640, 360)) for number, shown in enumerate(frames)]


def hidden_by(box: Box, left: float, right: float) -> Box | None:
    """Return the part of a box that an obstacle from ``left`` to ``right`` does not hide; None if too small."""
    x0, y0, x1, y1 = box
    if x0 >= left and x1 <= right:
        return None
    if x0 < left < x1 <= right:
        x1 = left
    elif left <= x0 < right < x1:
        x0 = right
    return (x0, y0, x1, y1) if x1 - x0 >= 12 else None


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize(("speed", "van_px"), [(60.0, 40.0), (60.0, 90.0), (60.0, 140.0), (90.0, 200.0)])
def test_edge_23_person_walking_behind_a_van_keeps_their_id(direction: int, speed: float, van_px: float) -> None:
    """The box narrows, disappears for up to three seconds, and reappears narrow on the other side."""
    rng = np.random.default_rng(7)
    frames = []
    for i in range(90):
        x = 60 + speed * i / FPS if direction > 0 else 620 - speed * i / FPS
        seen = hidden_by(person(x), 250, 250 + van_px)
        jittered = [tuple(np.array(seen) + rng.normal(0, 1.0, 4))] if seen is not None else []
        frames.append(frame(jittered))
    assert ids(watch(frames)) == {1}


def test_edge_23_two_people_crossing_behind_a_pole_keep_their_ids() -> None:
    """Two people walk towards each other; a pole hides the place where they meet."""
    frames = []
    for i in range(80):
        boxes = [person(80 + 6 * i, 200), person(560 - 6 * i, 208)]
        visible = [seen for box in boxes if (seen := hidden_by(box, 310, 330)) is not None]
        frames.append(frame(visible))
    shown = watch(frames)
    assert ids(shown) == {1, 2}
    first, last = shown[5], shown[-1]
    assert id_at(first, 80) == id_at(last, 560)


def test_edge_23_another_person_reappearing_gets_a_new_id() -> None:
    """One person walks behind the van and stays there; another one appears where the first disappeared."""
    frames = []
    for i in range(90):
        first = hidden_by(person(min(60 + 6 * i, 330)), 250, 400)
        second = hidden_by(person(330 - 6 * (i - 50), height=130), 250, 400) if i >= 50 else None
        frames.append(frame([box for box in (first, second) if box is not None]))
    assert ids(watch(frames)) == {1, 2}
