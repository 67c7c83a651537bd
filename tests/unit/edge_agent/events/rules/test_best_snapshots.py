"""The frames, boxes and labels that the events of a tracked object show."""

from __future__ import annotations

from edge_agent.events.settings import EventSettings
from tests.support.edge.builders import tracks
from tests.support.edge.lifecycle_harness import (
    lifecycle_of,
    play,
    walk,
    walking,
)


def test_each_event_has_a_newer_snapshot() -> None:
    """Each event has the best frame since the last event, so no frame is used twice."""
    emitted = play(lifecycle_of(EventSettings(update_interval_s=1.0)), [*walk(50), tracks(ended=[1])])
    numbers = [found.observation.frame.number for found in emitted]
    assert len(emitted) > 4
    assert numbers == sorted(set(numbers))


def test_best_snapshot_has_the_best_frame_and_its_box() -> None:
    """A large and confident detection is preferred to the latest; frame, box and score are of that detection."""
    script = walk(5, score=0.6)
    script[2] = tracks([(1, (20.0, 20.0, 120.0, 160.0))], score=0.97)
    emitted = play(lifecycle_of(), script)
    assert emitted[0].observation.frame.number == 3
    assert emitted[0].observation.xyxy == (20.0, 20.0, 120.0, 160.0)
    assert emitted[0].observation.labels[0].xyxy == emitted[0].observation.xyxy


def test_truncated_object_has_low_quality() -> None:
    """A complete person is preferred to a slightly larger truncated one."""
    script = walk(5)
    script[1] = tracks([(1, (0.0, 60.0, 32.0, 122.0))])
    script[3] = tracks([(1, (40.0, 60.0, 70.0, 120.0))])
    assert play(lifecycle_of(), script)[0].observation.frame.number != 2


def test_snapshot_labels_the_object_and_other_announced_objects() -> None:
    """The object's own box comes first, then those of other announced objects; an unannounced one is not drawn."""
    lifecycle = lifecycle_of(EventSettings(update_interval_s=1.0))
    script = []
    for step in range(30):
        state = tracks([(1, walking(step)), (2, walking(step, start_x=150.0)), (3, walking(step, start_x=80.0))])
        state.score[2] = 0.3
        script.append(state)
    emitted = play(lifecycle, script)
    assert {found.track_id for found in emitted} == {1, 2}
    assert [[label.track_id for label in found.observation.labels] for found in emitted[-2:]] == [[1, 2], [2, 1]]
