"""Lines: each crossing is reported once, for any frame rate and any noise of the detector."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time
from itertools import pairwise
from math import cos, radians, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.events.rules.lines import Line
from edge_agent.events.rules.observation import Box, Observation
from edge_agent.events.rules.rule_set import RuleSet
from edge_agent.events.rules.schedule import Schedule, Window
from shared.geometry import Point
from tests.support.edge.walks import MIDDLE, UPWARD_LINE, foot_box, line_rules, play, reported, seen, steps, walk

ACROSS = steps((0.1, 0.5), (0.9, 0.5), 21)
LEVEL = (Point(0.0, 0.5), Point(1.0, 0.5))
CLOSED = (*MIDDLE, MIDDLE[0])
BENT = (Point(0.2, 0.9), Point(0.5, 0.5), Point(0.8, 0.9))


def test_a_crossing_is_reported_once_with_its_direction() -> None:
    """From left to right, as seen along the line, is ``right``; the crossing time is between two frames."""
    transitions = play(line_rules(), walk(ACROSS))
    assert reported(transitions) == ["line_crossed:right"]
    assert transitions[0].time_s == pytest.approx(1.0)
    assert reported(play(line_rules(), walk(ACROSS[::-1]))) == ["line_crossed:left"]
    assert reported(play(line_rules(), walk([*ACROSS, *ACROSS[::-1]]))) == ["line_crossed:right", "line_crossed:left"]


def test_a_line_with_a_direction_reports_only_that_direction() -> None:
    """Of a crossing there and one back, one is reported."""
    there_and_back = walk([*ACROSS, *ACROSS[::-1]])
    assert reported(play(line_rules(direction="right"), there_and_back)) == ["line_crossed:right"]
    assert reported(play(line_rules(direction="left"), there_and_back)) == ["line_crossed:left"]


def test_a_crossing_is_reported_as_soon_as_it_is_certain() -> None:
    """It is reported at once beyond the dead band, and after ``settle_s`` within it, before the track ends."""
    assert reported(play(line_rules(), walk([(0.4, 0.5), (0.45, 0.5), (0.56, 0.5)]), end=False)) == [
        "line_crossed:right"
    ]
    slow = walk([(0.4, 0.5), *[(0.53, 0.5)] * 3])
    assert reported(play(line_rules(), slow[:3], end=False)) == []
    assert reported(play(line_rules(), slow, end=False)) == ["line_crossed:right"]
    assert reported(play(line_rules(settle_s=0.0), slow[:2], end=False)) == ["line_crossed:right"]


@pytest.mark.parametrize("noise", [0.002, 0.005, 0.01])
def test_edge_02_an_object_that_stands_on_a_line_does_not_cross(noise: float) -> None:
    """The object stands for five minutes within 2 % of the line, with the correlated noise of a detector."""
    for seed in range(20):
        rng, drift = random.Random(seed), 0.0
        observations = []
        for number in range(3000):
            drift = 0.95 * drift + rng.gauss(0.0, noise / 3)
            jump = 0.04 if rng.random() < 0.01 else 0.0
            x = 0.5 + rng.uniform(-0.02, 0.02) * 0.1 + drift + rng.gauss(0.0, noise) + jump
            observations.append(seen(number / 10, x, 0.8, height=0.5))
        assert play(line_rules(), observations) == [], seed


def test_edge_02_a_partly_detected_person_does_not_cross() -> None:
    """In some frames the detector finds only the upper half of a person in front of the line."""
    line = (Point(0.0, 0.7), Point(1.0, 0.7))
    for run in (1, 2):
        observations = []
        for number in range(600):
            bottom = 0.5 if (number + 10) % 20 < run else 0.9
            observations.append(Observation(number / 10, Box(0.4, 0.1, 0.6, bottom), "person", 1.0))
        assert play(line_rules(line), observations) == []


@pytest.mark.parametrize("seconds", [0.6, 0.8, 1.2])
@pytest.mark.parametrize("phase", [k / 8 for k in range(8)])
@pytest.mark.parametrize("every", [1, 2])
def test_edge_04_a_fast_object_crosses_every_line(seconds: float, phase: float, every: int) -> None:
    """At 10 and 5 frames per second, all eight passes cross two lines that are 3 % of the width apart."""
    rules = RuleSet(
        lines=[Line("first", UPWARD_LINE), Line("second", (Point(0.53, 1.0), Point(0.53, 0.0)))],
    )
    times = [(k + phase) / 10 for k in range(round(seconds * 10))][::every]
    observations = [seen(one, one / seconds, 0.6, height=0.15) for one in times]
    assert sorted(each.name for each in play(rules, observations)) == ["first", "second"]


def test_a_line_ends_at_its_end_points() -> None:
    """An object that walks around the end does not cross, and its side changes."""
    short = (Point(0.5, 1.0), Point(0.5, 0.6))
    around = [*steps((0.3, 0.8), (0.3, 0.4), 5), *steps((0.4, 0.4), (0.7, 0.4), 5), *steps((0.7, 0.5), (0.7, 0.8), 4)]
    assert play(line_rules(short), walk(around)) == []
    back = [*around, *steps((0.6, 0.8), (0.2, 0.8), 8)]
    assert reported(play(line_rules(short), walk(back))) == ["line_crossed:left"]


def test_touching_a_line_is_not_crossing_it() -> None:
    """The object comes up to the line, or less than the dead band over it, and turns back."""
    assert play(line_rules(), walk([*steps((0.2, 0.5), (0.5, 0.5), 7), *steps((0.5, 0.5), (0.2, 0.5), 7)])) == []
    assert play(line_rules(), walk([*steps((0.2, 0.5), (0.515, 0.5), 7), *steps((0.5, 0.5), (0.2, 0.5), 7)])) == []


def test_positions_exactly_on_the_line_do_not_change_the_result() -> None:
    """The object pauses on the line, or walks along it."""
    assert reported(play(line_rules(), walk([(0.3, 0.5), *[(0.5, 0.5)] * 10, (0.7, 0.5)]))) == ["line_crossed:right"]
    along = [(0.3, 0.9), *steps((0.5, 0.9), (0.5, 0.2), 8), (0.7, 0.2)]
    assert reported(play(line_rules(), walk(along))) == ["line_crossed:right"]
    assert play(line_rules(), walk([(0.3, 0.9), *steps((0.5, 0.9), (0.5, 0.2), 8), (0.3, 0.2)])) == []


def test_a_bent_line_has_two_sides() -> None:
    """A walk into the bend and out below crosses once; a walk through both arms crosses in each direction."""
    assert reported(play(line_rules(BENT), walk(steps((0.5, 0.2), (0.5, 0.9), 15)))) == ["line_crossed:right"]
    sideways = reported(play(line_rules(BENT), walk(steps((0.05, 0.7), (0.95, 0.7), 31), fps=10, height=0.1)))
    assert sideways == ["line_crossed:right", "line_crossed:left"]


def test_a_line_near_the_edge_is_crossed_by_objects_that_enter_or_leave_there() -> None:
    """The line is closer to the edge than the dead band; reaching the edge is sufficient to change sides."""
    door = (Point(0.02, 1.0), Point(0.02, 0.0))

    def cut(time_s: float, x: float) -> Observation:
        return Observation(time_s, Box(max(x - 0.1, 0.0), 0.2, max(x + 0.1, 0.02), 0.9), "person", 1.0)

    inward = [cut(k / 10, -0.08 + 0.04 * k) for k in range(15)]
    assert reported(play(line_rules(door), inward)) == ["line_crossed:right"]
    outward = [cut(k / 10, 0.48 - 0.04 * k) for k in range(15)]
    assert reported(play(line_rules(door), outward)) == ["line_crossed:left"]


def test_a_line_can_be_limited_to_classes_and_a_schedule() -> None:
    """Other classes and times do not count, and a crossing just before the schedule starts is not reported later."""
    night = Schedule((Window(time(20, 0), time(6, 0)),))
    rules = line_rules(classes=frozenset({"person"}), schedule=night)
    dusk = datetime(2026, 11, 20, 20, 30, tzinfo=UTC)
    dogs = [seen(k / 10, *place, class_name="dog") for k, place in enumerate(ACROSS)]
    assert play(rules, dogs, start=dusk) == []
    assert reported(play(rules, walk(ACROSS), start=dusk)) == ["line_crossed:right"]
    assert play(rules, walk(ACROSS), start=dusk.replace(hour=12)) == []
    just_before = datetime(2026, 11, 20, 19, 59, 58, 500_000, tzinfo=UTC)
    assert play(rules, walk([*ACROSS, *[(0.9, 0.5)] * 30]), start=just_before) == []


JITTER = st.floats(-0.95, 0.95)
BAND = 0.02
"""Dead band of the walking objects in this file: a tenth of their height, as a fraction of the picture's height."""


@st.composite
def _jittery_walk(draw: st.DrawFn) -> list[Observation]:
    """Return a walk across the middle in 1 to 8 s, with any frame rate and with jitter below the dead band."""
    fps = draw(st.sampled_from([2.0, 3.0, 5.0, 10.0, 15.0, 30.0]))
    seconds = draw(st.floats(1.0, 8.0))
    count = max(round(fps * seconds), 3)
    y = draw(st.floats(0.2, 0.8))
    jitters = draw(st.lists(JITTER, min_size=count, max_size=count))
    places = steps((0.2, y), (0.8, y), count)
    return [seen(k / fps, x + BAND * jitter, y) for k, ((x, _), jitter) in enumerate(zip(places, jitters, strict=True))]


def _mirrored(observations: list[Observation]) -> list[Observation]:
    return [
        Observation(one.time_s, Box(1 - one.box.right, one.box.top, 1 - one.box.left, one.box.bottom), "person", 1.0)
        for one in observations
    ]


def _reversed(observations: list[Observation]) -> list[Observation]:
    last_s = observations[-1].time_s
    return [Observation(last_s - one.time_s, one.box, one.class_name, one.aspect) for one in reversed(observations)]


@given(_jittery_walk())
def test_jitter_below_the_dead_band_does_not_change_the_count(observations: list[Observation]) -> None:
    """This holds from 2 to 30 frames per second."""
    assert reported(play(line_rules(), observations)) == ["line_crossed:right"]


@given(_jittery_walk(), st.integers(0, 1))
def test_dropping_every_second_frame_does_not_change_the_count(observations: list[Observation], first: int) -> None:
    """Either the odd or the even frames are dropped."""
    kept = observations[first::2]
    if len(kept) > 1 and kept[0].box.anchor("bottom").x < 0.48 and kept[-1].box.anchor("bottom").x > 0.52:
        assert reported(play(line_rules(), kept)) == ["line_crossed:right"]


ANY_WALK = st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(0.3, 0.95)), min_size=2, max_size=30)
LINES = [UPWARD_LINE, BENT, (Point(0.1, 0.4), Point(0.9, 0.8)), (Point(0.5, 0.9), Point(0.5, 0.6))]


@settings(max_examples=200)
@given(ANY_WALK, st.sampled_from(LINES))
def test_a_reversed_walk_swaps_the_directions(places: list[tuple[float, float]], points: tuple[Point, ...]) -> None:
    """A crossing to the right becomes one to the left when time is reversed."""
    there = walk(places)
    forwards = reported(play(line_rules(points, settle_s=0.0), there))
    backwards = reported(play(line_rules(points, settle_s=0.0), _reversed(there)))
    assert forwards.count("line_crossed:right") == backwards.count("line_crossed:left")
    assert forwards.count("line_crossed:left") == backwards.count("line_crossed:right")


@settings(max_examples=200)
@given(ANY_WALK, st.sampled_from(LINES))
def test_a_mirrored_picture_swaps_the_directions(places: list[tuple[float, float]], points: tuple[Point, ...]) -> None:
    """The line is mirrored too, with its points in the same order."""
    there = walk(places)
    mirrored_line = [Point(1 - point.x, point.y) for point in points]
    swap = {"line_crossed:right": "line_crossed:left", "line_crossed:left": "line_crossed:right"}
    plain = reported(play(line_rules(points), there))
    assert reported(play(line_rules(mirrored_line), _mirrored(there))) == [swap[one] for one in plain]


@settings(max_examples=200)
@given(ANY_WALK, st.sampled_from(LINES))
def test_directions_of_one_object_alternate(places: list[tuple[float, float]], points: tuple[Point, ...]) -> None:
    """An object cannot cross a line through the whole picture twice in the same direction."""
    whole = UPWARD_LINE
    transitions = reported(play(line_rules(whole), walk(places)))
    assert all(first != second for first, second in pairwise(transitions))


def test_a_camera_pan_is_not_a_crossing() -> None:
    """After a pan, an object is on the other side of the line without a crossing; later crossings count."""
    rules = line_rules()
    play(rules, walk([(0.3, 0.5)] * 10), end=False)
    rules.interrupt()
    after = [seen(1 + k / 10, 0.8, 0.5) for k in range(10)]
    assert play(rules, after, end=False) == []
    back = [seen(2 + k / 10, x, y) for k, (x, y) in enumerate(steps((0.8, 0.5), (0.2, 0.5), 10))]
    assert reported(play(rules, back)) == ["line_crossed:left"]


@pytest.mark.parametrize("fps", [2.0, 5.0, 10.0, 25.0])
@pytest.mark.parametrize("hidden_s", [0.2, 0.5, 1.5, 10.0])
def test_edge_02_a_person_whose_legs_are_hidden_does_not_cross(fps: float, hidden_s: float) -> None:
    """The lower edge of the box jumps over the line and back, also at the start and the end of the track."""
    whole = [foot_box(0.5, 0.7, height=0.5)] * round(5 * fps)
    upper_half = [Box(0.45, 0.2, 0.55, 0.42)] * max(round(hidden_s * fps), 1)
    for boxes in (whole + upper_half + whole, whole + upper_half, upper_half + whole):
        observations = [Observation(number / fps, box, "person", 1.0) for number, box in enumerate(boxes)]
        assert play(line_rules(LEVEL), observations) == []


@pytest.mark.parametrize("fps", [2.0, 5.0, 10.0])
@pytest.mark.parametrize("growth", [1.2, 1.4])
def test_edge_04_an_approaching_object_that_grows_crosses(fps: float, growth: float) -> None:
    """The upper edge of its box also moves, so the movement is not an effect of occlusion."""
    count = round(2 * fps) + 1
    boxes = [foot_box(0.5, 0.3 + 0.5 * k / (count - 1), height=0.1 * growth ** (4 * k / count)) for k in range(count)]
    observations = [Observation(number / fps, box, "car", 1.0) for number, box in enumerate(boxes)]
    assert reported(play(line_rules(LEVEL), observations)) == ["line_crossed:right"]
    back = [Observation(number / fps, box, "car", 1.0) for number, box in enumerate(boxes[::-1])]
    assert reported(play(line_rules(LEVEL), back)) == ["line_crossed:left"]


@pytest.mark.parametrize("mirrored", [False, True])
def test_edge_02_an_object_truncated_by_a_side_edge_does_not_cross(mirrored: bool) -> None:
    """A person leaves along a line; the lower edge of the truncated box is beyond the line."""
    boxes = [Box(0.70 + 0.02 * step, 0.3, min(0.85 + 0.02 * step, 1.0), 0.93) for step in range(8)]
    boxes += [Box(0.86 + 0.02 * step, 0.3, 1.0, 0.83) for step in range(4)]
    if mirrored:
        boxes = [Box(1.0 - box.right, box.top, 1.0 - box.left, box.bottom) for box in boxes]
    line = (Point(0.0, 0.85), Point(1.0, 0.85))
    observations = [Observation(number / 10, box, "person", 16 / 9) for number, box in enumerate(boxes)]
    assert play(line_rules(line), observations) == []


def test_edge_04_an_object_truncated_by_the_lower_edge_crosses() -> None:
    """Its box becomes smaller while it moves, and the movement still counts."""
    boxes = [Box(0.4, 0.38, 0.6, 0.68), Box(0.4, 0.78, 0.6, 1.0)]
    observations = [Observation(number / 2, box, "car", 1.0) for number, box in enumerate(boxes)]
    low = (Point(0.0, 0.8), Point(1.0, 0.8))
    assert reported(play(line_rules(low), observations)) == ["line_crossed:right"]


@pytest.mark.parametrize("count", [5, 9, 33])
def test_edge_04_a_closed_line_is_crossed_from_any_direction(count: int) -> None:
    """A line that ends at its first point has an inside; slow and fast objects cross it in both directions."""
    for degrees in range(0, 360, 15):
        away = (0.5 + 0.45 * cos(radians(degrees)), 0.5 + 0.45 * sin(radians(degrees)))
        inward = steps(away, (0.5, 0.5), count)
        assert reported(play(line_rules(CLOSED), walk(inward, height=0.05))) == ["line_crossed:right"]
        assert reported(play(line_rules(CLOSED), walk(inward[::-1], height=0.05))) == ["line_crossed:left"]


HOOK = (Point(0.3, 0.9), Point(0.3, 0.3), Point(0.6, 0.3), Point(0.6, 0.6), Point(0.45, 0.6))
"""The extension of its last segment intersects its first segment."""


@pytest.mark.parametrize("y", [0.4, 0.5, 0.59, 0.61, 0.7, 0.8])
@pytest.mark.parametrize("count", [5, 9, 33])
def test_edge_04_a_hook_shaped_line_is_crossed_on_every_segment(y: float, count: int) -> None:
    """Crossings count also where the extension of one segment intersects another segment."""
    there = steps((0.1, y), (0.42, y), count)
    assert reported(play(line_rules(HOOK), walk(there, height=0.05))) == ["line_crossed:right"]
    assert reported(play(line_rules(HOOK), walk(there[::-1], height=0.05))) == ["line_crossed:left"]


def test_edge_04_a_jump_through_two_segments_counts_both() -> None:
    """A jump in and out gives two crossings with their times, unless the inside is hardly wider than the dead band."""
    jump = [seen(0.0, 0.1, 0.5), seen(0.5, 0.9, 0.5)]
    transitions = play(line_rules(CLOSED), jump)
    assert reported(transitions) == ["line_crossed:right", "line_crossed:left"]
    assert [each.time_s for each in transitions] == pytest.approx([0.125, 0.375])
    thin = (Point(0.47, 0.3), Point(0.53, 0.3), Point(0.53, 0.7), Point(0.47, 0.7), Point(0.47, 0.3))
    assert play(line_rules(thin), jump) == []
    slow = [seen(0.0, 0.1, 0.5), seen(10.0, 0.9, 0.5)]
    assert reported(play(line_rules(thin), slow)) == ["line_crossed:right", "line_crossed:left"]
    narrow = (Point(0.49, 0.3), Point(0.51, 0.3), Point(0.51, 0.7), Point(0.49, 0.7), Point(0.49, 0.3))
    assert play(line_rules(narrow), jump) == []


@pytest.mark.parametrize("fps", [2.0, 5.0, 10.0, 30.0])
def test_an_object_that_returns_within_the_settling_time_does_not_cross(fps: float) -> None:
    """The distance does not matter; an object that stays longer, or whose track ends there, has crossed."""
    near, far = (0.2, 0.5), (0.8, 0.5)
    patient = line_rules(settle_s=2.0)
    back_soon = [near] * 10 + [far] * round(fps) + [near] * round(5 * fps)
    assert play(patient, walk(back_soon, fps=fps)) == []
    stays = [near] * 10 + [far] * round(2.5 * fps)
    assert reported(play(patient, walk(stays, fps=fps), end=False)) == ["line_crossed:right"]
    assert reported(play(patient, walk([near, far], fps=fps), track_id=2)) == ["line_crossed:right"]


def test_an_object_that_returns_around_the_end_has_crossed_once() -> None:
    """The way back does not cross the line, whether or not the first crossing had time to settle."""
    short = (Point(0.5, 1.0), Point(0.5, 0.6))
    for count in (4, 30):
        loop = [*steps((0.3, 0.8), (0.65, 0.8), count), *steps((0.65, 0.45), (0.3, 0.45), count), (0.3, 0.7)]
        assert reported(play(line_rules(short), walk(loop, height=0.1))) == ["line_crossed:right"]


def test_two_crossings_in_one_direction_before_settling_count_once() -> None:
    """The object crosses, walks around the end and crosses again within the settling time."""
    short = (Point(0.5, 1.0), Point(0.5, 0.6))
    loop = [(0.3, 0.8), (0.65, 0.8), (0.65, 0.45), (0.3, 0.45), (0.3, 0.8), (0.65, 0.8)]
    assert reported(play(line_rules(short, settle_s=3.0), walk(loop, height=0.1))) == ["line_crossed:right"]


@pytest.mark.parametrize("noise", [0.0, 1e-13, -1e-13, 5e-10])
def test_rounding_errors_do_not_decide_the_side(noise: float) -> None:
    """Without a dead band, a walk up to the line and back is no crossing, and a walk over it is one."""
    rules = line_rules(band_ratio=0.0, settle_s=0.0)
    for start in (0.3, 0.7):
        assert play(rules, walk([(start, 0.5), (0.5 + noise, 0.5), (start, 0.5)])) == []
        assert len(play(rules, walk([(start, 0.5), (0.5 + noise, 0.5), (1.0 - start, 0.5)]))) == 1
