"""Accuracy of motion detection on the two clips with ground truth."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from edge_agent.motion.adaptive import AdaptiveBackground
from edge_agent.types import Motion

CARS = ((54, 108), (182, 238), (318, 350))
PERSONS = ((60, 196), (232, 444), (508, 696), (745, 866), (920, 1196), (1240, 1360))


def watch(clip: Path) -> list[Motion]:
    detector = AdaptiveBackground()
    motions: list[Motion] = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            motions.append(detector.update(luma, time_s=float(frame.time or 0.0)))
    return motions


def inside(episodes: tuple[tuple[int, int], ...], count: int, *, margin: int = 0) -> np.ndarray:
    truth = np.zeros(count, bool)
    for first, last in episodes:
        truth[max(0, first - margin) : last + 1 + margin] = True
    return truth


@pytest.mark.needs_shared
def test_cars_are_motion_and_exposure_changes_are_not(shared_material: Path) -> None:
    """At least 95 % of the cars' frames are active, at most 2 % of the others; each car starts within two frames."""
    motions = watch(shared_material / "clips" / "car-detection.mp4")
    active = np.array([motion.active for motion in motions])
    truth = inside(CARS, len(active))
    assert active[truth].mean() >= 0.95
    assert active[~truth].mean() <= 0.02
    starts = np.flatnonzero(np.diff(np.concatenate([[0], active.astype(int)])) == 1)
    assert len(starts) == len(CARS)
    assert all(abs(start - first) <= 2 for start, (first, _) in zip(starts, CARS, strict=True))
    assert len(motions[80].regions) == 1
    assert len(motions[210].regions) == 2


@pytest.mark.needs_shared
def test_people_are_motion_and_the_empty_room_is_not(shared_material: Path) -> None:
    """The ground truth marks whole persons; heads and legs are visible for a few more frames on either side."""
    motions = watch(shared_material / "clips" / "one-by-one-person-detection.mp4")
    active = np.array([motion.active for motion in motions])
    assert active[~inside(PERSONS, len(active), margin=6)].mean() <= 0.005
    for first, last in PERSONS:
        assert active[first : first + 3].any()
        assert active[first + 2 : first + 60].all()
        assert active[last - 12 : last - 1].all()
