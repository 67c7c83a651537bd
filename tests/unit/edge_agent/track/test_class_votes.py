"""Tracks of objects whose detected class changes."""

from __future__ import annotations

from itertools import pairwise

import pytest

from edge_agent.track.tracker import ByteTracker
from tests.support.edge.track_builders import frame, ids, person, play

LABELS = ("person", "dog", "car", "truck", "bus")
PERSON, DOG, CAR, TRUCK, BUS = range(5)


def seen_as(classes: list[int], scores: list[float], *, step_px: float = 6.0) -> list[int]:
    """Return the reported class in each frame of one walk; assert that there is one track."""
    tracker = ByteTracker(labels=LABELS)
    shown = play(
        tracker,
        [
            frame([person(100 + step_px * i)], score=score, class_id=class_id)
            for i, (class_id, score) in enumerate(zip(classes, scores, strict=True))
        ],
    )
    assert ids(shown) == {1}
    return [int(tracks.class_id[0]) for tracks in shown if len(tracks)]


@pytest.mark.parametrize(("first", "second"), [(PERSON, DOG), (CAR, TRUCK), (TRUCK, BUS)])
def test_alternating_class_keeps_one_track_and_its_first_class(first: int, second: int) -> None:
    """With equal scores, the track keeps its first class."""
    classes = [first, first, *[second, first] * 20]
    assert set(seen_as(classes, [0.8] * len(classes))) == {first}


def test_class_is_decided_by_the_sum_of_scores() -> None:
    """After weak detections of one class and many strong ones of another, the class changes exactly once."""
    classes = [DOG] * 4 + [PERSON, PERSON, DOG] * 12
    scores = [0.6 if class_id == DOG else 0.9 for class_id in classes]
    reported = seen_as(classes, scores)
    assert reported[0] == DOG
    assert reported[-1] == PERSON
    assert sum(a != b for a, b in pairwise(reported)) == 1


def test_dog_next_to_its_owner_has_its_own_track() -> None:
    """Two boxes that overlap without being the same give two tracks with different classes."""
    tracker = ByteTracker(labels=LABELS)
    shown = play(
        tracker,
        [
            frame(
                [person(100 + 6 * i), person(125 + 6 * i, 235.0, width=40, height=30)],
                score=0.9,
                class_id=[PERSON, DOG],
            )
            for i in range(30)
        ],
    )
    assert ids(shown) == {1, 2}
    assert sorted(shown[-1].class_id.tolist()) == [PERSON, DOG]
