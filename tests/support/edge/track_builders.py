"""Builders of detections for the tracker's tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from edge_agent.track.tracker import ByteTracker
from edge_agent.types import Detections, Tracks

Box = Sequence[float]
FPS = 10.0


def person(x: float, y: float = 200.0, *, width: float = 40.0, height: float = 100.0) -> Box:
    """Return the box of a person from its centre."""
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def frame(boxes: Iterable[Box], score: float | Sequence[float] = 0.9, class_id: int | Sequence[int] = 0) -> Detections:
    """Return detections with one score and class for all, or one each."""
    listed = list(boxes)
    count = len(listed)
    return Detections(
        xyxy=np.array(listed, np.float32).reshape(count, 4),
        score=np.broadcast_to(np.asarray(score, np.float32), count).copy(),
        class_id=np.broadcast_to(np.asarray(class_id, np.int32), count).copy(),
    )


def play(tracker: ByteTracker, frames: Iterable[Detections], *, fps: float = FPS, start_s: float = 0.0) -> list[Tracks]:
    """Run the tracker over frames at a steady rate."""
    return [tracker.update(shown, time_s=start_s + number / fps) for number, shown in enumerate(frames)]


def ids(results: Iterable[Tracks]) -> set[int]:
    """Return every track id that was visible."""
    return {int(number) for tracks in results for number in tracks.track_id}


def ended(results: Iterable[Tracks]) -> list[int]:
    """Return the ids of all ended tracks, in order."""
    return [number for tracks in results for number in tracks.ended]


def id_at(tracks: Tracks, x: float) -> int:
    """Return the id of the track whose centre is nearest to ``x``."""
    centres = (tracks.xyxy[:, 0] + tracks.xyxy[:, 2]) / 2
    return int(tracks.track_id[np.abs(centres - x).argmin()])
