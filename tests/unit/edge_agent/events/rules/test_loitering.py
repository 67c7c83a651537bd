"""Loitering is reported once per stay, also if the detector misses the object."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.events.rules.loitering import Loitering, LoiteringState
from shared.geometry import Point
from tests.support.edge.walks import play, seen, walk, zone_rules

IN, OUT = (0.5, 0.5), (0.5, 0.95)


def _reports(times: list[tuple[float, bool]], **fields: float) -> list[float]:
    state = LoiteringState("yard", Loitering(**{"after_s": 10.0, **fields}))
    return [found.time_s for time_s, inside in times for found in state.observe(time_s, inside=inside)]


def test_a_stay_is_reported_once_and_on_time() -> None:
    """A minute inside gives one report, after 10 s."""
    assert _reports([(k / 10, True) for k in range(600)]) == [10.0]


def test_a_stay_is_reported_again_after_again_after_s() -> None:
    """The reports repeat every 15 s."""
    assert _reports([(k / 10, True) for k in range(600)], again_after_s=15.0) == [10.0, 25.0, 40.0, 55.0]


def test_short_absences_do_not_end_a_stay() -> None:
    """An absence up to the grace period is ignored; a longer one starts a new stay."""
    short = [(k / 10, not 50 <= k < 70) for k in range(300)]
    assert _reports(short) == [10.0]
    long = [(k / 10, not 50 <= k < 75) for k in range(300)]
    assert _reports(long) == [17.5]
    twice = [(k / 10, not 150 <= k < 180) for k in range(400)]
    assert _reports(twice) == [10.0, 28.0]


def test_a_report_is_deferred_while_the_object_is_absent() -> None:
    """It is emitted when the object is inside again."""
    assert _reports([(k / 10, not 95 <= k < 110) for k in range(300)]) == [11.0]


def test_a_gap_in_the_detections_counts_as_presence() -> None:
    """The object is inside before and after eight seconds without detections: the stay continues."""
    assert _reports([(0.0, True), (1.0, True), (9.0, True), (10.0, True), (11.0, True)]) == [10.0]
    assert _reports([(0.0, True), (9.0, False), (9.5, True), (10.5, True)]) == [10.5]


@pytest.mark.parametrize("fps", [1.0, 2.0, 10.0, 30.0])
def test_edge_03_missed_and_displaced_detections_do_not_restart_the_time(fps: float) -> None:
    """In a minute at the edge of a zone, a third of the detections is missing and some are displaced: one report."""
    for seed in range(20):
        rng = random.Random(seed)
        observations = []
        x, y = OUT
        for number in range(round(60 * fps)):
            if number and rng.random() < 0.33:
                continue
            bad = rng.random() < 0.08 and (x, y) != OUT
            x, y = OUT if bad else (0.5, 0.66 + rng.gauss(0.0, 0.01))
            observations.append(seen(number / fps, x, y))
        transitions = play(zone_rules(loitering=Loitering(after_s=10.0)), observations, end=False)
        reports = [each for each in transitions if each.rule == "loitering"]
        assert len(reports) == 1, seed
        assert reports[0].dwell_s == pytest.approx(10.0, abs=4.0)


def test_edge_01_a_stay_at_the_picture_s_edge_is_reported_once() -> None:
    """The lower edge of the picture truncates a person, and the zone extends to that edge."""
    polygon = (Point(0, 0.5), Point(1, 0.5), Point(1, 1), Point(0, 1))
    transitions = play(zone_rules(polygon, loitering=Loitering(after_s=5.0)), walk([(0.5, 1.0)] * 600), end=False)
    assert [each.rule for each in transitions] == ["zone_entered", "loitering"]
    assert transitions[1].since_s == 0.0
    assert transitions[1].dwell_s == pytest.approx(5.0)


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.floats(0.5, 5.0), st.sampled_from([1.0, 5.0, 10.0]))
def test_reports_are_at_least_after_s_apart(presence: list[bool], after_s: float, fps: float) -> None:
    """A second report needs the end of the first stay and a complete new one."""
    times = [(k / fps, inside) for k, inside in enumerate(presence)]
    reports = _reports(times, after_s=after_s)
    assert all(second - first >= after_s - 1e-6 for first, second in pairwise(reports))
    assert len(reports) <= 1 + len(presence) / fps / after_s
