"""Zones: when an object has entered, when it has left, and where a zone ends."""

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
"""Inside, outside by less than 15 % of the box's height, and farther out."""
WHOLE = (Point(0, 0), Point(1, 0), Point(1, 1), Point(0, 1))


@pytest.mark.parametrize("x", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("y", [0.25, 0.6, 1.0])
def test_edge_01_an_object_at_any_edge_is_in_the_zone_of_the_whole_picture(x: float, y: float) -> None:
    """Whose feet touch the lower or the right edge is inside, like everybody else."""
    transitions = play(zone_rules(WHOLE), walk([(x, y)] * 5), end=False)
    assert reported(transitions) == ["zone_entered"]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=8),
    st.integers(0, 7),
    st.floats(0, 1),
)
def test_edge_01_every_place_on_an_edge_or_corner_is_inside(
    corners: list[tuple[int, int]], number: int, share: float
) -> None:
    """Containment is closed, whatever the shape and however the edge runs."""
    polygon = [Point(x / 20, y / 20) for x, y in corners]
    first, second = polygon[number % len(polygon)], polygon[(number + 1) % len(polygon)]
    on_edge = Point(first.x + share * (second.x - first.x), first.y + share * (second.y - first.y))
    assert polygon_contains(polygon, first)
    assert polygon_contains(polygon, on_edge)


@pytest.mark.parametrize("corner_y", [1.0, 0.995])
def test_edge_01_a_zone_at_the_picture_s_edge_goes_on_beyond_it(corner_y: float) -> None:
    """A box that ends at the edge, or even beyond it, stands in the zone that reaches the edge."""
    polygon = (Point(0.2, 0.5), Point(0.8, 0.5), Point(0.8, corner_y), Point(0.2, corner_y))
    zone = Zone(name="drive", polygon=polygon)
    assert zone.contains(Point(0.5, 1.0))
    assert zone.contains(Point(0.5, 1.2))
    assert not zone.contains(Point(0.9, 1.0))
    assert not Zone(name="lawn", polygon=MIDDLE).contains(Point(0.5, 1.0))


def test_entered_takes_a_third_of_a_second() -> None:
    """After 0.3 s of observations inside; the stay starts at the first."""
    transitions = play(zone_rules(), walk([FAR, *[IN] * 3]), end=False)
    assert transitions == []
    transitions = play(zone_rules(), [seen(0.0, *IN), *[seen(0.1 * k, *IN) for k in range(1, 5)]], end=False)
    assert reported(transitions) == ["zone_entered"]
    assert transitions[0].since_s == 0.0
    assert transitions[0].zone == "zone"


def test_a_short_visit_does_not_enter() -> None:
    """Who cuts the corner of a zone in a fifth of a second was not in it."""
    assert play(zone_rules(), walk(steps((0.5, 0.25), (0.75, 0.5), 5), fps=10.0)) == []


@pytest.mark.parametrize("fps", [1.0, 2.0, 5.0, 10.0, 30.0])
def test_time_inside_does_not_depend_on_the_frame_rate(fps: float) -> None:
    """Two seconds to walk through, at any rate: entered once, left once, with nearly the same dwell time."""
    count = round(5 * fps) + 1
    transitions = play(zone_rules(), walk(steps((0.0, 0.5), (1.0, 0.5), count), fps=fps))
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert transitions[1].dwell_s == pytest.approx(2.0, abs=0.01)
    assert transitions[1].since_s == pytest.approx(1.5, abs=0.01)


def test_left_takes_a_second_near_the_edge_and_none_farther_out() -> None:
    """A step over the edge may be the detector's; a step far out is not."""
    rules = zone_rules()
    assert reported(play(rules, walk([IN] * 5 + [NEAR] * 10), end=False)) == ["zone_entered"]
    assert reported(play(zone_rules(), walk([IN] * 5 + [NEAR] * 12), end=False)) == ["zone_entered", "zone_left"]
    transitions = play(zone_rules(), walk([IN] * 5 + [FAR]), end=False)
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert 0.4 < transitions[1].time_s < 0.5


def test_half_a_body_is_not_a_step() -> None:
    """A box that loses its lower half for a moment moves its foot far out of the zone; nobody has left."""
    whole = [Observation(k / 10, Box(0.45, 0.1, 0.55, 0.5), "person", 1.0) for k in range(20)]
    for number in (8, 9, 15):
        whole[number] = Observation(number / 10, Box(0.45, 0.1, 0.55, 0.25), "person", 1.0)
    assert reported(play(zone_rules(), whole, end=False)) == ["zone_entered"]


def test_edge_03_flicker_on_the_edge_does_not_flip_the_zone() -> None:
    """A person on the edge of a zone for five minutes, with a detector's noise: entered once."""
    for seed in range(10):
        rng = random.Random(seed)
        places = [(0.5, 0.7 + rng.gauss(0.0, 0.005)) for _ in range(3000)]
        transitions = reported(play(zone_rules(), walk(places), end=False))
        assert transitions == ["zone_entered"], seed


def test_who_is_gone_has_left() -> None:
    """The end of a track ends its stay, as of when it was last seen."""
    transitions = play(zone_rules(), walk([IN] * 31))
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert transitions[1].dwell_s == pytest.approx(3.0)


def test_a_gap_in_the_detections_is_no_absence() -> None:
    """Seen inside before and after ten seconds of nothing: one stay."""
    transitions = play(zone_rules(), [*walk([IN] * 5), *[seen(10.4 + k / 10, *IN) for k in range(5)]])
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert transitions[1].dwell_s == pytest.approx(10.8)


def test_a_zone_may_be_for_some_classes_only() -> None:
    """A dog is not counted where only people are."""
    rules = zone_rules(classes=frozenset({"person"}))
    assert play(rules, [seen(k / 10, *IN, class_name="dog") for k in range(20)]) == []
    assert reported(play(rules, walk([IN] * 20))) == ["zone_entered", "zone_left"]


def test_the_anchor_may_be_the_centre() -> None:
    """Something high up is in a zone by its middle, though it has its foot elsewhere."""
    high = walk([(0.5, 0.75)] * 10, height=0.3)
    assert play(zone_rules(), high) == []
    assert reported(play(zone_rules(anchor="center"), high)) == ["zone_entered", "zone_left"]


def test_outside_its_schedule_nobody_is_in_a_zone() -> None:
    """Who stands there when it begins enters then; who is still there when it ends leaves then."""
    schedule = Schedule((Window(time(22, 0), time(6, 0)),), ZoneInfo("Europe/Bucharest"))
    rules = zone_rules(schedule=schedule)
    evening = datetime(2026, 11, 20, 19, 59, 55, tzinfo=UTC)  # 21:59:55 there
    transitions = play(rules, walk([IN] * 100), end=False, start=evening)
    assert reported(transitions) == ["zone_entered"]
    assert transitions[0].since_s == pytest.approx(5.0)
    morning = datetime(2026, 11, 21, 3, 59, 55, tzinfo=UTC)
    transitions = play(zone_rules(schedule=schedule), walk([IN] * 100), end=False, start=morning)
    assert reported(transitions) == ["zone_entered", "zone_left"]
    assert transitions[1].dwell_s == pytest.approx(4.9, abs=0.11)


PLACES = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40)


@given(st.lists(PLACES, min_size=1, max_size=4), st.sampled_from([2.0, 10.0, 30.0]))
def test_entries_less_exits_are_who_is_inside(walks: list[list[tuple[float, float]]], fps: float) -> None:
    """At every moment, for every zone; and in the end nobody is inside."""
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
def test_a_stay_never_lasts_longer_than_the_visit(places: list[tuple[float, float]]) -> None:
    """Entries and exits alternate, exits carry their entry's beginning, and time does not run backwards."""
    transitions = play(zone_rules(), walk(places))
    assert reported(transitions) == ["zone_entered", "zone_left"] * (len(transitions) // 2)
    for entered, left in zip(transitions[::2], transitions[1::2], strict=True):
        assert entered.since_s == left.since_s
        assert left.dwell_s is not None
        assert 0.3 - 1e-6 <= left.dwell_s <= (len(places) - 1) / 10 + 1e-6


def test_a_view_that_moves_is_no_way_through_a_zone() -> None:
    """A camera pans: the place jumps from one side of the zone to the other, in which nobody was."""
    rules = zone_rules(enter_s=0.0)
    play(rules, walk([(0.1, 0.5)] * 10), end=False)
    rules.interrupt()
    assert play(rules, [seen(1 + k / 10, 0.9, 0.5) for k in range(10)]) == []
    assert reported(play(zone_rules(enter_s=0.0), walk([(0.1, 0.5), (0.9, 0.5)]))) == ["zone_entered", "zone_left"]
