"""Zones: entries, exits, and edges."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.events.rules.observation import Box, Observation
from edge_agent.events.rules.rule_set import RuleSet
from edge_agent.events.rules.schedule import Schedule, Window
from edge_agent.events.rules.zones import Zone
from shared.geometry import Point, polygon_contains
from tests.support.edge.walks import LEFT_HALF, MIDDLE, play, reported, seen, steps, walk, zone_rules

IN, NEAR, FAR = (0.5, 0.5), (0.5, 0.71), (0.5, 0.9)
"""Positions inside, outside by less than 15 % of the box's height, and farther outside."""
WHOLE = (Point(0, 0), Point(1, 0), Point(1, 1), Point(0, 1))


@pytest.mark.parametrize("x", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("y", [0.25, 0.6, 1.0])
def test_edge_01_an_object_at_any_edge_is_in_the_zone_of_the_whole_picture(x: float, y: float) -> None:
    """This includes objects whose feet touch the lower or the right edge."""
    transitions = play(zone_rules(WHOLE), walk([(x, y)] * 5), end=False)
    assert reported(transitions) == ["zone_entered"]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=8),
    st.integers(0, 7),
    st.floats(0, 1),
)
def test_edge_01_points_on_edges_and_corners_are_inside(
    corners: list[tuple[int, int]], number: int, share: float
) -> None:
    """This applies to polygons of any shape."""
    polygon = [Point(x / 20, y / 20) for x, y in corners]
    first, second = polygon[number % len(polygon)], polygon[(number + 1) % len(polygon)]
    on_edge = Point(first.x + share * (second.x - first.x), first.y + share * (second.y - first.y))
    assert polygon_contains(polygon, first)
    assert polygon_contains(polygon, on_edge)


@pytest.mark.parametrize("corner_y", [1.0, 0.995])
def test_edge_01_a_zone_at_the_edge_extends_beyond_the_picture(corner_y: float) -> None:
    """An anchor at the edge or beyond it is in the zone that extends to the edge."""
    polygon = (Point(0.2, 0.5), Point(0.8, 0.5), Point(0.8, corner_y), Point(0.2, corner_y))
    zone = Zone(name="drive", polygon=polygon)
    assert zone.contains(Point(0.5, 1.0))
    assert zone.contains(Point(0.5, 1.2))
    assert not zone.contains(Point(0.9, 1.0))
    assert not Zone(name="lawn", polygon=MIDDLE).contains(Point(0.5, 1.0))


def test_entry_is_reported_after_0_3_s() -> None:
    """It needs 0.3 s of detections inside, and the stay starts at the first of them."""
    transitions = play(zone_rules(), walk([FAR, *[IN] * 3]), end=False)
    assert transitions == []
    transitions = play(zone_rules(), [seen(0.0, *IN), *[seen(0.1 * k, *IN) for k in range(1, 5)]], end=False)
    assert reported(transitions) == ["zone_entered"]
    assert transitions[0].since_s == 0.0
    assert transitions[0].zone == "zone"


def test_a_short_stay_is_no_entry() -> None:
    """An object that crosses the corner of a zone in a fifth of a second does not enter."""
    assert play(zone_rules(), walk(steps((0.5, 0.25), (0.75, 0.5), 5), fps=10.0)) == []


@pytest.mark.parametrize("fps", [1.0, 2.0, 5.0, 10.0, 30.0])
def test_dwell_time_does_not_depend_on_the_frame_rate(fps: float) -> None:
    """A walk of two seconds through a zone is one entry and one exit at any frame rate."""
    count = round(5 * fps) + 1
    transitions = play(zone_rules(), walk(steps((0.0, 0.5), (1.0, 0.5), count), fps=fps))
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert transitions[1].dwell_s == pytest.approx(2.0, abs=0.01)
    assert transitions[1].since_s == pytest.approx(1.5, abs=0.01)


def test_exit_is_reported_after_1_s_near_the_edge_and_at_once_farther_out() -> None:
    """A small distance from the edge may be noise of the detector; a large one is not."""
    rules = zone_rules()
    assert reported(play(rules, walk([IN] * 5 + [NEAR] * 10), end=False)) == ["zone_entered"]
    assert reported(play(zone_rules(), walk([IN] * 5 + [NEAR] * 12), end=False)) == ["zone_entered", "zone_left"]
    transitions = play(zone_rules(), walk([IN] * 5 + [FAR]), end=False)
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert 0.4 < transitions[1].time_s < 0.5


def test_a_partly_detected_person_does_not_leave() -> None:
    """A box that briefly loses its lower half has its anchor far outside the zone."""
    whole = [Observation(k / 10, Box(0.45, 0.1, 0.55, 0.5), "person", 1.0) for k in range(20)]
    for number in (8, 9, 15):
        whole[number] = Observation(number / 10, Box(0.45, 0.1, 0.55, 0.25), "person", 1.0)
    assert reported(play(zone_rules(), whole, end=False)) == ["zone_entered"]


def test_edge_03_noise_at_the_edge_does_not_repeat_entries() -> None:
    """A person stands at the edge of a zone for five minutes with detector noise and enters once."""
    for seed in range(10):
        rng = random.Random(seed)
        places = [(0.5, 0.7 + rng.gauss(0.0, 0.005)) for _ in range(3000)]
        transitions = reported(play(zone_rules(), walk(places), end=False))
        assert transitions == ["zone_entered"], seed


def test_the_end_of_a_track_ends_its_stay() -> None:
    """The stay ends at the last detection."""
    transitions = play(zone_rules(), walk([IN] * 31))
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert transitions[1].dwell_s == pytest.approx(3.0)


def test_a_gap_in_the_detections_does_not_end_a_stay() -> None:
    """The object is inside before and after ten seconds without detections."""
    transitions = play(zone_rules(), [*walk([IN] * 5), *[seen(10.4 + k / 10, *IN) for k in range(5)]])
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert transitions[1].dwell_s == pytest.approx(10.8)


def test_a_zone_can_be_limited_to_classes() -> None:
    """A dog does not enter a zone for people."""
    rules = zone_rules(classes=frozenset({"person"}))
    assert play(rules, [seen(k / 10, *IN, class_name="dog") for k in range(20)]) == []
    assert reported(play(rules, walk([IN] * 20))) == ["zone_entered", "zone_left"]


def test_the_anchor_can_be_the_centre() -> None:
    """The centre of a tall object can be in a zone while its lower edge is outside."""
    high = walk([(0.5, 0.75)] * 10, height=0.3)
    assert play(zone_rules(), high) == []
    assert reported(play(zone_rules(anchor="center"), high)) == ["zone_entered", "zone_left"]


def test_a_zone_is_empty_outside_its_schedule() -> None:
    """Objects in the zone enter when the schedule starts, and leave when it ends."""
    schedule = Schedule((Window(time(22, 0), time(6, 0)),), ZoneInfo("Europe/Bucharest"))
    rules = zone_rules(schedule=schedule)
    evening = datetime(2026, 11, 20, 19, 59, 55, tzinfo=UTC)  # 21:59:55 local time
    transitions = play(rules, walk([IN] * 100), end=False, start=evening)
    assert reported(transitions) == ["zone_entered"]
    assert transitions[0].since_s == pytest.approx(5.0)
    morning = datetime(2026, 11, 21, 3, 59, 55, tzinfo=UTC)
    transitions = play(zone_rules(schedule=schedule), walk([IN] * 100), end=False, start=morning)
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert transitions[1].dwell_s == pytest.approx(4.9, abs=0.11)


PLACES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


@given(st.lists(PLACES, min_size=1, max_size=4), st.sampled_from([2.0, 10.0, 30.0]))
def test_entries_minus_exits_are_the_objects_inside(walks: list[list[tuple[float, float]]], fps: float) -> None:
    """This is true at every moment and for every zone, and all zones are empty at the end."""
    rules = RuleSet(zones=[Zone("left", LEFT_HALF), Zone("middle", MIDDLE)])
    balance = {"left": 0, "middle": 0}
    for track_id, places in enumerate(walks):
        for transitions in play(rules, walk(places, fps=fps), track_id=track_id, end=False):
            balance[transitions.name] += 1 if transitions.rule == "zone_entered" else -1
        for name, number in balance.items():
            assert number == rules.number_in(name, range(len(walks)))
    for track_id in range(len(walks)):
        for transitions in rules.end(track_id, at=datetime(2026, 11, 20, tzinfo=UTC)):
            balance[transitions.name] -= 1
    assert balance == {"left": 0, "middle": 0}


@given(PLACES)
def test_a_stay_is_not_longer_than_its_track(places: list[tuple[float, float]]) -> None:
    """Entries and exits alternate, and an exit has the start time of its entry."""
    transitions = play(zone_rules(), walk(places))
    assert reported(transitions) == ["zone_entered", "zone_left"] * (len(transitions) // 2)
    for entered, left in zip(transitions[::2], transitions[1::2], strict=True):
        assert entered.since_s == left.since_s
        assert left.dwell_s is not None
        assert 0.3 - 1e-6 <= left.dwell_s <= (len(places) - 1) / 10 + 1e-6


def test_a_camera_pan_is_no_walk_through_a_zone() -> None:
    """The pan moves the object's position from one side of the zone to the other."""
    rules = zone_rules(enter_s=0.0)
    play(rules, walk([(0.1, 0.5)] * 10), end=False)
    rules.interrupt()
    assert play(rules, [seen(1 + k / 10, 0.9, 0.5) for k in range(10)]) == []
    assert reported(play(zone_rules(enter_s=0.0), walk([(0.1, 0.5), (0.9, 0.5)]))) == ["zone_entered", "zone_left"]
