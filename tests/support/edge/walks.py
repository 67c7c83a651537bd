"""Builders for tests of the rules: observations of walking objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from edge_agent.events.rule_types import Transition
from edge_agent.events.rules.lines import Line
from edge_agent.events.rules.observation import Box, Observation
from edge_agent.events.rules.rule_set import RuleSet
from edge_agent.events.rules.zones import Zone
from shared.geometry import Point

START = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
LEFT_HALF = (Point(0.0, 0.0), Point(0.5, 0.0), Point(0.5, 1.0), Point(0.0, 1.0))
MIDDLE = (Point(0.3, 0.3), Point(0.7, 0.3), Point(0.7, 0.7), Point(0.3, 0.7))
UPWARD_LINE = (Point(0.5, 1.0), Point(0.5, 0.0))
"""A line through the middle, from bottom to top, so that its right side is the picture's right side."""


def foot_box(x: float, y: float, *, height: float = 0.2, width: float = 0.1) -> Box:
    """Return the box of an object whose anchor is at this point."""
    return Box(x - width / 2, y - height, x + width / 2, y)


def seen(
    time_s: float, x: float, y: float, *, height: float = 0.2, class_name: str = "person", aspect: float = 1.0
) -> Observation:
    """Return an observation of an object whose anchor is at this point."""
    return Observation(time_s, foot_box(x, y, height=height), class_name, aspect)


def walk(places: Sequence[tuple[float, float]], *, fps: float = 10.0, height: float = 0.2) -> list[Observation]:
    """Return observations at a steady rate."""
    return [seen(number / fps, x, y, height=height) for number, (x, y) in enumerate(places)]


def steps(start: tuple[float, float], end: tuple[float, float], count: int) -> list[tuple[float, float]]:
    """Return ``count`` equally spaced points from one to another, both included."""
    return [
        (start[0] + (end[0] - start[0]) * k / (count - 1), start[1] + (end[1] - start[1]) * k / (count - 1))
        for k in range(count)
    ]


def play(
    rules: RuleSet, observations: Iterable[Observation], *, track_id: int = 1, end: bool = True, start: datetime = START
) -> list[Transition]:
    """Run one object through the rules."""
    transitions: list[Transition] = []
    at = start
    for one in observations:
        at = start + timedelta(seconds=one.time_s)
        transitions += rules.observe(track_id, one, at=at)
    return transitions + (rules.end(track_id, at=at) if end else [])


def zone_rules(polygon: Sequence[Point] = MIDDLE, **fields: object) -> RuleSet:
    """Return the rules of one zone called ``zone``."""
    return RuleSet(zones=[Zone(name="zone", polygon=tuple(polygon), **fields)])  # type: ignore[arg-type]


def line_rules(points: Sequence[Point] = UPWARD_LINE, **fields: object) -> RuleSet:
    """Return the rules of one line called ``line``."""
    return RuleSet(lines=[Line(name="line", points=tuple(points), **fields)])  # type: ignore[arg-type]


def reported(transitions: Iterable[Transition]) -> list[str]:
    """Return the rule of each transition, with its direction where it has one."""
    return [f"{each.rule}:{each.direction}" if each.direction else each.rule for each in transitions]
