"""Lines: one crossing is one crossing, whatever the detector's noise and the frame rate."""

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


def test_a_line_is_crossed_once_and_with_its_direction() -> None:
    """From left to right is ``right``, looking along the line; the moment lies between two frames."""
    transitions = play(line_rules(), walk(ACROSS))
    assert reported(transitions) == ["line_crossed:right"]
    assert transitions[0].time_s == pytest.approx(1.0)
    assert reported(play(line_rules(), walk(ACROSS[::-1]))) == ["line_crossed:left"]
    assert reported(play(line_rules(), walk([*ACROSS, *ACROSS[::-1]]))) == ["line_crossed:right", "line_crossed:left"]


def test_only_the_direction_that_is_asked_for_counts() -> None:
    """There and back: one of the two."""
    there_and_back = walk([*ACROSS, *ACROSS[::-1]])
    assert reported(play(line_rules(direction="right"), there_and_back)) == ["line_crossed:right"]
    assert reported(play(line_rules(direction="left"), there_and_back)) == ["line_crossed:left"]


def test_a_crossing_is_reported_as_soon_as_it_is_certain() -> None:
    """Well beyond the dead band at once, otherwise after a fifth of a second; not when the track ends."""
    assert reported(play(line_rules(), walk([(0.4, 0.5), (0.45, 0.5), (0.56, 0.5)]), end=False)) == [
        "line_crossed:right"
    ]
    slow = walk([(0.4, 0.5), *[(0.53, 0.5)] * 3])
    assert reported(play(line_rules(), slow[:3], end=False)) == []
    assert reported(play(line_rules(), slow, end=False)) == ["line_crossed:right"]
    assert reported(play(line_rules(settle_s=0.0), slow[:2], end=False)) == ["line_crossed:right"]


@pytest.mark.parametrize("noise", [0.002, 0.005, 0.01])
def test_edge_02_standing_on_a_line_is_no_crossing(noise: float) -> None:
    """Five minutes on the spot, within two percent of the line, with noise that wanders as detectors' does."""
    for seed in range(20):
        rng, drift = random.Random(seed), 0.0
        observations = []
        for number in range(3000):
            drift = 0.95 * drift + rng.gauss(0.0, noise / 3)
            jump = 0.04 if rng.random() < 0.01 else 0.0
            x = 0.5 + rng.uniform(-0.02, 0.02) * 0.1 + drift + rng.gauss(0.0, noise) + jump
            observations.append(seen(number / 10, x, 0.8, height=0.5))
        assert play(line_rules(), observations) == [], seed


def test_edge_02_half_a_body_does_not_cross() -> None:
    """A person on the near side of a line, whom the detector sees from the waist up now and then."""
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
    """Ten frames a second or five, two lines three percent apart: both, eight passes of eight."""
    rules = RuleSet(
        lines=[Line("first", UPWARD_LINE), Line("second", (Point(0.53, 1.0), Point(0.53, 0.0)))],
    )
    times = [(k + phase) / 10 for k in range(round(seconds * 10))][::every]
    observations = [seen(one, one / seconds, 0.6, height=0.15) for one in times]
    assert sorted(each.name for each in play(rules, observations)) == ["first", "second"]


def test_the_prolongation_of_a_line_is_not_the_line() -> None:
    """Who walks around its end has not crossed, and is on the other side from then on."""
    short = (Point(0.5, 1.0), Point(0.5, 0.6))
    around = [*steps((0.3, 0.8), (0.3, 0.4), 5), *steps((0.4, 0.4), (0.7, 0.4), 5), *steps((0.7, 0.5), (0.7, 0.8), 4)]
    assert play(line_rules(short), walk(around)) == []
    back = [*around, *steps((0.6, 0.8), (0.2, 0.8), 8)]
    assert reported(play(line_rules(short), walk(back))) == ["line_crossed:left"]


def test_touching_a_line_is_not_crossing_it() -> None:
    """Up to it and back, or over it by less than the dead band."""
    assert play(line_rules(), walk([*steps((0.2, 0.5), (0.5, 0.5), 7), *steps((0.5, 0.5), (0.2, 0.5), 7)])) == []
    assert play(line_rules(), walk([*steps((0.2, 0.5), (0.515, 0.5), 7), *steps((0.5, 0.5), (0.2, 0.5), 7)])) == []


def test_a_place_exactly_on_the_line_changes_nothing() -> None:
    """A pause on the line itself, and a way along it."""
    assert reported(play(line_rules(), walk([(0.3, 0.5), *[(0.5, 0.5)] * 10, (0.7, 0.5)]))) == ["line_crossed:right"]
    along = [(0.3, 0.9), *steps((0.5, 0.9), (0.5, 0.2), 8), (0.7, 0.2)]
    assert reported(play(line_rules(), walk(along))) == ["line_crossed:right"]
    assert play(line_rules(), walk([(0.3, 0.9), *steps((0.5, 0.9), (0.5, 0.2), 8), (0.3, 0.2)])) == []


def test_a_bent_line_has_two_sides() -> None:
    """Into the bend from above and out again below; through both arms at once is no crossing."""
    assert reported(play(line_rules(BENT), walk(steps((0.5, 0.2), (0.5, 0.9), 15)))) == ["line_crossed:right"]
    sideways = reported(play(line_rules(BENT), walk(steps((0.05, 0.7), (0.95, 0.7), 31), fps=10, height=0.1)))
    assert sideways == ["line_crossed:right", "line_crossed:left"]


def test_a_line_near_the_picture_s_edge_is_crossed_by_who_comes_in_there() -> None:
    """Nearer to the edge than the dead band: the edge itself proves the side, on the way in and on the way out."""
    door = (Point(0.02, 1.0), Point(0.02, 0.0))

    def cut(time_s: float, x: float) -> Observation:
        return Observation(time_s, Box(max(x - 0.1, 0.0), 0.2, max(x + 0.1, 0.02), 0.9), "person", 1.0)

    inward = [cut(k / 10, -0.08 + 0.04 * k) for k in range(15)]
    assert reported(play(line_rules(door), inward)) == ["line_crossed:right"]
    outward = [cut(k / 10, 0.48 - 0.04 * k) for k in range(15)]
    assert reported(play(line_rules(door), outward)) == ["line_crossed:left"]


def test_a_line_may_be_for_some_classes_and_times_only() -> None:
    """A dog, or a person at noon, crosses unseen; who crossed before the time is not reported when it begins."""
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
"""Of the walkers here: a tenth of their height, in picture heights."""


@st.composite
def _jittery_walk(draw: st.DrawFn) -> list[Observation]:
    """Return somebody who crosses the middle within a few seconds, at any rate, with any jitter below the band."""
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
def test_one_crossing_counts_once_under_any_jitter_below_the_band(observations: list[Observation]) -> None:
    """From two to thirty frames a second."""
    assert reported(play(line_rules(), observations)) == ["line_crossed:right"]


@given(_jittery_walk(), st.integers(0, 1))
def test_dropping_half_of_the_frames_changes_no_count(observations: list[Observation], first: int) -> None:
    """Whichever half."""
    kept = observations[first::2]
    if len(kept) > 1 and kept[0].box.anchor("bottom").x < 0.48 and kept[-1].box.anchor("bottom").x > 0.52:
        assert reported(play(line_rules(), kept)) == ["line_crossed:right"]


ANY_WALK = st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(0.3, 0.95)), min_size=2, max_size=30)
LINES = [UPWARD_LINE, BENT, (Point(0.1, 0.4), Point(0.9, 0.8)), (Point(0.5, 0.9), Point(0.5, 0.6))]


@settings(max_examples=200)
@given(ANY_WALK, st.sampled_from(LINES))
def test_the_reversed_way_gives_the_mirrored_count(
    places: list[tuple[float, float]], points: tuple[Point, ...]
) -> None:
    """What was a crossing to the right is one to the left when time runs backwards."""
    there = walk(places)
    forwards = reported(play(line_rules(points, settle_s=0.0), there))
    backwards = reported(play(line_rules(points, settle_s=0.0), _reversed(there)))
    assert forwards.count("line_crossed:right") == backwards.count("line_crossed:left")
    assert forwards.count("line_crossed:left") == backwards.count("line_crossed:right")


@settings(max_examples=200)
@given(ANY_WALK, st.sampled_from(LINES))
def test_a_mirrored_picture_swaps_left_and_right(places: list[tuple[float, float]], points: tuple[Point, ...]) -> None:
    """The line is mirrored with the picture, its points in the same order."""
    there = walk(places)
    mirrored_line = [Point(1 - point.x, point.y) for point in points]
    swap = {"line_crossed:right": "line_crossed:left", "line_crossed:left": "line_crossed:right"}
    plain = reported(play(line_rules(points), there))
    assert reported(play(line_rules(mirrored_line), _mirrored(there))) == [swap[one] for one in plain]


@settings(max_examples=200)
@given(ANY_WALK, st.sampled_from(LINES))
def test_crossings_alternate(places: list[tuple[float, float]], points: tuple[Point, ...]) -> None:
    """Across a line through the whole picture, nobody crosses twice to the same side."""
    whole = UPWARD_LINE
    transitions = reported(play(line_rules(whole), walk(places)))
    assert all(first != second for first, second in pairwise(transitions))


def test_a_view_that_moves_is_no_step() -> None:
    """A camera pans: who stood left of the line is now right of it, and has not crossed; later crossings count."""
    rules = line_rules()
    play(rules, walk([(0.3, 0.5)] * 10), end=False)
    rules.interrupt()
    after = [seen(1 + k / 10, 0.8, 0.5) for k in range(10)]
    assert play(rules, after, end=False) == []
    back = [seen(2 + k / 10, x, y) for k, (x, y) in enumerate(steps((0.8, 0.5), (0.2, 0.5), 10))]
    assert reported(play(rules, back)) == ["line_crossed:left"]


@pytest.mark.parametrize("fps", [2.0, 5.0, 10.0, 25.0])
@pytest.mark.parametrize("hidden_s", [0.2, 0.5, 1.5, 10.0])
def test_edge_02_legs_hidden_for_a_while_are_no_crossing(fps: float, hidden_s: float) -> None:
    """The lower end of the box jumps over the line and back; also where the track begins or ends so."""
    whole = [foot_box(0.5, 0.7, height=0.5)] * round(5 * fps)
    upper_half = [Box(0.45, 0.2, 0.55, 0.42)] * max(round(hidden_s * fps), 1)
    for boxes in (whole + upper_half + whole, whole + upper_half, upper_half + whole):
        observations = [Observation(number / fps, box, "person", 1.0) for number, box in enumerate(boxes)]
        assert play(line_rules(LEVEL), observations) == []


@pytest.mark.parametrize("fps", [2.0, 5.0, 10.0])
@pytest.mark.parametrize("growth", [1.2, 1.4])
def test_edge_04_an_object_that_grows_as_it_comes_near_crosses(fps: float, growth: float) -> None:
    """Its upper end moves too, up or down, so the step is its own."""
    count = round(2 * fps) + 1
    boxes = [foot_box(0.5, 0.3 + 0.5 * k / (count - 1), height=0.1 * growth ** (4 * k / count)) for k in range(count)]
    observations = [Observation(number / fps, box, "car", 1.0) for number, box in enumerate(boxes)]
    assert reported(play(line_rules(LEVEL), observations)) == ["line_crossed:right"]
    back = [Observation(number / fps, box, "car", 1.0) for number, box in enumerate(boxes[::-1])]
    assert reported(play(line_rules(LEVEL), back)) == ["line_crossed:left"]


@pytest.mark.parametrize("mirrored", [False, True])
def test_edge_02_an_object_that_the_edge_beside_a_line_cuts_off_does_not_cross(mirrored: bool) -> None:
    """Who walks out of the picture along a line: what is left of the box has its lower edge beyond the line."""
    boxes = [Box(0.70 + 0.02 * step, 0.3, min(0.85 + 0.02 * step, 1.0), 0.93) for step in range(8)]
    boxes += [Box(0.86 + 0.02 * step, 0.3, 1.0, 0.83) for step in range(4)]
    if mirrored:
        boxes = [Box(1.0 - box.right, box.top, 1.0 - box.left, box.bottom) for box in boxes]
    line = (Point(0.0, 0.85), Point(1.0, 0.85))
    observations = [Observation(number / 10, box, "person", 16 / 9) for number, box in enumerate(boxes)]
    assert play(line_rules(line), observations) == []


def test_edge_04_an_object_cut_by_the_lower_edge_crosses() -> None:
    """Its box gets lower with each step, which is its own step nevertheless."""
    boxes = [Box(0.4, 0.38, 0.6, 0.68), Box(0.4, 0.78, 0.6, 1.0)]
    observations = [Observation(number / 2, box, "car", 1.0) for number, box in enumerate(boxes)]
    low = (Point(0.0, 0.8), Point(1.0, 0.8))
    assert reported(play(line_rules(low), observations)) == ["line_crossed:right"]


@pytest.mark.parametrize("count", [5, 9, 33])
def test_edge_04_a_closed_line_is_crossed_from_everywhere(count: int) -> None:
    """A line that ends where it began has an inside, which is reached from any direction, fast or slow."""
    for degrees in range(0, 360, 15):
        away = (0.5 + 0.45 * cos(radians(degrees)), 0.5 + 0.45 * sin(radians(degrees)))
        inward = steps(away, (0.5, 0.5), count)
        assert reported(play(line_rules(CLOSED), walk(inward, height=0.05))) == ["line_crossed:right"]
        assert reported(play(line_rules(CLOSED), walk(inward[::-1], height=0.05))) == ["line_crossed:left"]


HOOK = (Point(0.3, 0.9), Point(0.3, 0.3), Point(0.6, 0.3), Point(0.6, 0.6), Point(0.45, 0.6))
"""Its last segment, prolonged, would run through the first one."""


@pytest.mark.parametrize("y", [0.4, 0.5, 0.59, 0.61, 0.7, 0.8])
@pytest.mark.parametrize("count", [5, 9, 33])
def test_edge_04_a_line_that_hooks_back_is_crossed_on_every_segment(y: float, count: int) -> None:
    """Where the prolongation of one segment crosses another, there and back count as elsewhere."""
    there = steps((0.1, y), (0.42, y), count)
    assert reported(play(line_rules(HOOK), walk(there, height=0.05))) == ["line_crossed:right"]
    assert reported(play(line_rules(HOOK), walk(there[::-1], height=0.05))) == ["line_crossed:left"]


def test_edge_04_a_jump_through_two_segments_counts_both() -> None:
    """In and out again, each at its time; not where the inside is hardly wider than the band."""
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
def test_a_longer_settling_time_ignores_who_comes_back_sooner(fps: float) -> None:
    """However far over the line; who stays for as long has crossed, and so has who leaves the picture there."""
    near, far = (0.2, 0.5), (0.8, 0.5)
    patient = line_rules(settle_s=2.0)
    back_soon = [near] * 10 + [far] * round(fps) + [near] * round(5 * fps)
    assert play(patient, walk(back_soon, fps=fps)) == []
    stays = [near] * 10 + [far] * round(2.5 * fps)
    assert reported(play(patient, walk(stays, fps=fps), end=False)) == ["line_crossed:right"]
    assert reported(play(patient, walk([near, far], fps=fps), track_id=2)) == ["line_crossed:right"]


def test_who_crosses_and_walks_back_around_the_end_has_crossed_once() -> None:
    """Whether or not there was time to settle beyond the line: the way back was not through it."""
    short = (Point(0.5, 1.0), Point(0.5, 0.6))
    for count in (4, 30):
        loop = [*steps((0.3, 0.8), (0.65, 0.8), count), *steps((0.65, 0.45), (0.3, 0.45), count), (0.3, 0.7)]
        assert reported(play(line_rules(short), walk(loop, height=0.1))) == ["line_crossed:right"]


def test_crossing_twice_to_one_side_before_settling_is_one_crossing() -> None:
    """Through the line, around its end and through it again, sooner than the line settles: not none, not two."""
    short = (Point(0.5, 1.0), Point(0.5, 0.6))
    loop = [(0.3, 0.8), (0.65, 0.8), (0.65, 0.45), (0.3, 0.45), (0.3, 0.8), (0.65, 0.8)]
    assert reported(play(line_rules(short, settle_s=3.0), walk(loop, height=0.1))) == ["line_crossed:right"]


@pytest.mark.parametrize("noise", [0.0, 1e-13, -1e-13, 5e-10])
def test_a_place_on_the_line_but_for_rounding_is_no_side(noise: float) -> None:
    """Without any band: up to the line and back is no crossing, up to it and over is one."""
    rules = line_rules(band_ratio=0.0, settle_s=0.0)
    for start in (0.3, 0.7):
        assert play(rules, walk([(start, 0.5), (0.5 + noise, 0.5), (start, 0.5)])) == []
        assert len(play(rules, walk([(start, 0.5), (0.5 + noise, 0.5), (1.0 - start, 0.5)]))) == 1
