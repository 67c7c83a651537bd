"""A detector that changes its mind about what an object is."""

from __future__ import annotations

from itertools import pairwise

import pytest

from edge_agent.track.tracker import ByteTracker
from tests.support.edge.track_builders import frame, ids, person, play

LABELS = ("person", "dog", "car", "truck", "bus")
PERSON, DOG, CAR, TRUCK, BUS = range(5)


def seen_as(classes: list[int], scores: list[float], *, step_px: float = 6.0) -> list[int]:
    """Return the reported class of each frame of one walk; there must be one track."""
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
def test_a_flipping_class_neither_splits_a_track_nor_alternates(first: int, second: int) -> None:
    """Now this, now that, equally sure: one track, which keeps the first."""
    classes = [first, first, *[second, first] * 20]
    assert set(seen_as(classes, [0.8] * len(classes))) == {first}


def test_the_class_goes_by_the_sum_of_scores() -> None:
    """Doubtful at first, and sure of the other for long: it changes once, and stays."""
    classes = [DOG] * 4 + [PERSON, PERSON, DOG] * 12
    scores = [0.6 if one == DOG else 0.9 for one in classes]
    reported = seen_as(classes, scores)
    assert reported[0] == DOG
    assert reported[-1] == PERSON
    assert sum(a != b for a, b in pairwise(reported)) == 1


def test_a_dog_beside_its_owner_is_an_object_of_its_own() -> None:
    """Boxes that overlap, but are not the same: two tracks with their own classes."""
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
