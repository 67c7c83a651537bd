"""What rules take in and give out: one object at one moment, and one thing that happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

from edge_agent.events.rule_types import Anchor
from shared.geometry import Point

EDGE_RATIO = 0.01
"""A box or a zone that comes this near to the picture's edge reaches it."""
SAME_SHAPE = 1.25
"""Factor by which the height of one object's box may change between two observations that are trusted at once."""


class Box(NamedTuple):
    """Left, top, right, bottom as shares of the picture's width and height."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def anchor(self, anchor: Anchor) -> Point:
        """Return the point that stands for the object."""
        x = (self.left + self.right) / 2.0
        return Point(x, self.bottom if anchor == "bottom" else (self.top + self.bottom) / 2.0)

    @property
    def reaches_edge(self) -> bool:
        """Whether the picture's edge may have cut the box."""
        return bool(self.cutting_edges())

    def cutting_edges(self) -> list[tuple[int, int]]:
        """Return the edges of the picture that may have cut the box, each as its direction (x, y) outwards."""
        edges = [
            ((-1, 0), self.left <= EDGE_RATIO),
            ((0, -1), self.top <= EDGE_RATIO),
            ((1, 0), self.right >= 1.0 - EDGE_RATIO),
            ((0, 1), self.bottom >= 1.0 - EDGE_RATIO),
        ]
        return [edge for edge, cuts in edges if cuts]

    def is_like(self, other: Box) -> bool:
        """Return whether both are about equally high, so that the step between them is the object's own.

        A detector that sees half a body moves the box's lower edge without any step of the object.
        """
        lower, higher = sorted((self.height, other.height))
        return higher <= SAME_SHAPE * lower


@dataclass(frozen=True, slots=True)
class Observation:
    """One object at one moment."""

    time_s: float
    """Seconds on any steady clock."""
    box: Box
    class_name: str = ""
    aspect: float = 16 / 9
    """The picture's width over its height: distances are measured in picture heights, in both directions."""

    def place(self, anchor: Anchor) -> Point:
        """Return the anchor in picture heights."""
        point = self.box.anchor(anchor)
        return Point(point.x * self.aspect, point.y)

    def top(self) -> Point:
        """Return the middle of the box's upper edge in picture heights."""
        return Point((self.box.left + self.box.right) / 2.0 * self.aspect, self.box.top)


def between(before: Observation, after: Observation, share: float) -> Observation:
    """Return where an object was on the straight way between two observations, with the later one's class."""
    edges = (start + share * (end - start) for start, end in zip(before.box, after.box, strict=True))
    time_s = before.time_s + share * (after.time_s - before.time_s)
    return replace(after, time_s=time_s, box=Box(*edges))


def counts(classes: frozenset[str], class_name: str) -> bool:
    """Return whether an object of this class counts; an empty set counts all."""
    return not classes or class_name in classes


def check_shape(name: str, points: Sequence[Point], *, least: int, anchor: str) -> None:
    """Raise ValueError where a line's or a zone's points, or its anchor, can never work."""
    if len(points) < least:
        raise ValueError(f"{name}: give at least {least} points, not {len(points)}")
    if not all(-1.0 <= value <= 2.0 for point in points for value in point):
        raise ValueError(
            f"{name}: points are shares of the picture's width and height, 0 to 1; divide pixels by the picture's size"
        )
    if anchor not in get_args(Anchor):
        raise ValueError(f"{name}: the anchor is one of {', '.join(get_args(Anchor))}, not {anchor!r}")
