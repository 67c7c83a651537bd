"""The rule events of tracked objects, and the rules that decide whether an object is announced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_agent.events.occurrences import RuleOccurrence, TrackingOccurrence
from edge_agent.events.settings import EventSettings
from edge_agent.types import EarlierDetection
from shared.zones import LineSettings, OccupancySettings, ZoneSettings
from tests.support.edge.builders import BOX, FPS, frame, tracks
from tests.support.edge.lifecycle_harness import (
    GATE,
    YARD,
    lifecycle_of,
    names_of,
    play,
    play_all,
    walk,
    walking,
)


def test_loitering_and_crossings_emit_an_update_at_once() -> None:
    """The update does not wait for the interval, and it names the line or the loitering."""
    whole = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    settings = EventSettings(
        update_interval_s=1000.0,
        zones=[ZoneSettings(name="yard", polygon=whole, loitering_s=2.0)],
        lines=[LineSettings(name="gate", start=(0.4, 0.0), end=(0.4, 1.0))],
    )
    emitted = play(lifecycle_of(settings), walk(60))
    assert [(found.action, found.loitering, found.line_crossed) for found in emitted] == [
        ("entered", False, None),
        ("updated", True, None),
        ("updated", True, "gate"),
    ]
    assert all(found.zones == ("yard",) for found in emitted)


def test_objects_outside_the_required_zone_are_not_announced() -> None:
    """An object that has never been in the required zone is not announced; one that has been inside is."""
    right = [(0.6, 0.0), (1.0, 0.0), (1.0, 1.0), (0.6, 1.0)]
    settings = EventSettings(zones=[ZoneSettings(name="yard", polygon=right)], required_zones=["yard"])
    assert play(lifecycle_of(settings), walk(30)) == []
    emitted = play(lifecycle_of(settings), walk(60))
    assert emitted[0].action == "entered"
    assert emitted[0].zones == ("yard",)


def test_edge_04_pending_rule_events_are_emitted_after_entered() -> None:
    """Zone entry, crossing and loitering from before the announcement are emitted after `entered`, in order."""
    settings = EventSettings(zones=[YARD], lines=[GATE], confirm_s=4.0, update_interval_s=1000.0)
    occurrences = play_all(lifecycle_of(settings), walk(60))
    assert names_of(occurrences) == ["entered", "zone_entered", "loitering", "line_crossed"]
    entered = occurrences[0]
    assert isinstance(entered, TrackingOccurrence)
    assert (entered.line_crossed, entered.loitering, entered.zones) == ("gate", True, ("yard",))


def test_edge_04_detections_before_confirmation_by_the_tracker_count() -> None:
    """A line between two detections from before the track was confirmed is crossed."""
    past = tuple(
        EarlierDetection(1, time_s, (left, 60.0, left + 30.0, 120.0), 0.9)
        for time_s, left in ((0.0, 10.0), (0.1, 90.0))
    )
    later = [tracks([(1, (170.0 + 20 * step, 60.0, 200.0 + 20 * step, 120.0))]) for step in range(6)]
    script = [tracks(), tracks(), replace(later[0], earlier=past), *later[1:]]
    occurrences = play_all(lifecycle_of(EventSettings(lines=[GATE])), script)
    assert names_of(occurrences) == ["entered", "line_crossed"]
    crossing = occurrences[1]
    assert isinstance(crossing, RuleOccurrence)
    assert crossing.crossed_at is not None
    assert frame(2).timestamp <= crossing.crossed_at <= frame(3).timestamp
    assert occurrences[0].first_seen_at == frame(1).timestamp  # type: ignore[union-attr]


def test_edge_04_every_line_of_one_step_is_crossed() -> None:
    """Of three lines between two frames, `line_crossed` names the first, and each line has its own event, in order."""
    lines = [LineSettings(name=f"line-{x}", start=(x / 100, 1.0), end=(x / 100, 0.0)) for x in (60, 64, 62)]
    boxes = [(10.0 + 2 * step, 60.0, 40.0 + 2 * step, 120.0) for step in range(10)]
    boxes += [(220.0 + 2 * step, 60.0, 250.0 + 2 * step, 120.0) for step in range(5)]
    occurrences = play_all(lifecycle_of(EventSettings(lines=lines)), [tracks([(1, box)]) for box in boxes])
    assert names_of(occurrences) == ["entered", "updated", "line_crossed", "line_crossed", "line_crossed"]
    updated, *crossings = occurrences[1:]
    assert isinstance(updated, TrackingOccurrence)
    assert updated.line_crossed == "line-60"
    names = [each.transition.name for each in crossings if isinstance(each, RuleOccurrence)]
    assert names == ["line-60", "line-62", "line-64"]


def test_edge_04_fast_object_that_crosses_a_line_needs_two_frames() -> None:
    """Two detections with a line between them are announced; two detections without a line are not."""
    twice = [tracks([(1, (20.0, 60.0, 80.0, 120.0))]), tracks([(1, (180.0, 60.0, 240.0, 120.0))])]
    lifecycle = lifecycle_of(EventSettings(lines=[GATE]))
    assert names_of([*play_all(lifecycle, [*twice, tracks(ended=[1])], fps=5)]) == ["entered", "line_crossed", "left"]
    assert play_all(lifecycle_of(), [*twice, tracks(ended=[1])], fps=5) == []


def test_rule_events_carry_the_object_and_its_frame() -> None:
    """A rule event has the zone, its start and its duration, and the box is that of its frame."""
    settings = EventSettings(zones=[YARD])
    occurrences = play_all(lifecycle_of(settings), [*walk(30), tracks(ended=[1])])
    assert names_of(occurrences) == ["entered", "zone_entered", "updated", "loitering", "zone_left", "left"]
    left = occurrences[4]
    assert isinstance(left, RuleOccurrence)
    assert (left.track_id, left.track_uid, left.class_name) == (1, "camera-1-run-1", "person")
    assert left.transition.dwell_s == pytest.approx(29 / FPS)
    assert left.since_at == frame(1).timestamp
    assert (left.frame.number, left.xyxy) == (30, walking(29))
    assert left.labels[0].xyxy == left.xyxy


def test_object_awaiting_return_remains_in_its_zone() -> None:
    """A parked car that the detector misses leaves its zone only after `return_s`."""
    settings = EventSettings(zones=[YARD], return_s=5.0)
    script = [*[tracks([(1, BOX)])] * 100, tracks(ended=[1]), *[tracks()] * 20, *[tracks([(2, BOX)])] * 30]
    occurrences = play_all(lifecycle_of(settings), [*script, tracks(ended=[2]), *[tracks()] * 60])
    assert names_of(occurrences).count("zone_entered") == 1
    assert names_of(occurrences).count("loitering") == 1
    assert names_of(occurrences)[-2:] == ["zone_left", "left"]


def test_continued_object_emits_rule_events_before_its_new_track_is_confirmed() -> None:
    """It was announced under its old track, so the zone exit in its new track is emitted."""
    half = ZoneSettings.model_validate(
        {"name": "half", "polygon": [(0, 0), (0.4, 0), (0.4, 1), (0, 1)], "exit_s": 0.1, "enter_s": 0.1}
    )
    past = tuple(EarlierDetection(2, 20.0 + k / 10, (114.0, 60.0, 154.0, 120.0), 0.9) for k in range(3))
    script = [*[tracks([(1, BOX)])] * 100, tracks(ended=[1]), *[tracks()] * 102]
    moved = (114.0, 60.0, 154.0, 120.0)
    script += [replace(tracks([(2, moved)]), earlier=past), *[tracks([(2, moved)])] * 5]
    occurrences = play_all(lifecycle_of(EventSettings(zones=[half])), script)
    assert names_of(occurrences) == ["entered", "zone_entered", "updated", "zone_left"]


def test_crossings_are_counted_when_they_are_emitted() -> None:
    """Crossings of two announced objects count 1 and 2; one of an unannounced object does not count."""
    lifecycle = lifecycle_of(EventSettings(lines=[GATE]))
    weak = walk(60, 3, score=0.3)
    script = [*walk(60), *weak, tracks(ended=[1, 3]), *walk(60, 2), tracks(ended=[2])]
    crossings = [each for each in play_all(lifecycle, script) if isinstance(each, RuleOccurrence)]
    assert [each.transition.count for each in crossings] == [1, 2]


def test_occupancy_counts_announced_objects_without_a_detector_run() -> None:
    """An unannounced object does not count, and the debounce ends at a frame without a detector run."""
    zone = YARD.model_copy(update={"loitering_s": None, "occupancy": OccupancySettings(over=0, debounce_s=2.0)})
    lifecycle = lifecycle_of(EventSettings(zones=[zone]))
    state = tracks([(1, BOX), (2, (200.0, 60.0, 240.0, 120.0))])
    state.score[1] = 0.3
    play_all(lifecycle, [state] * 10)
    occurrences = [each for number in range(11, 60) for each in lifecycle.expire(frame(number))]
    assert names_of(occurrences) == ["occupancy"]
    assert isinstance(occurrences[0], RuleOccurrence)
    assert (occurrences[0].transition.count, occurrences[0].track_id) == (1, None)
