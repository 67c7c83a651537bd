"""Observations: the input of the rules, in normalised units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

from shared.geometry import Point
from shared.zones import Anchor

EDGE_RATIO = 0.01
"""Distance from the picture's edge, as a fraction of its size, within which a box or a zone reaches the edge."""
SAME_SHAPE = 1.25
"""Maximum ratio of the heights of two boxes of one object that are compared directly."""


class Box(NamedTuple):
    """Left, top, right, bottom as fractions of the picture's width and height."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    def anchor(self, anchor: Anchor) -> Point:
        """Return the point that represents the object."""
        x = (self.left + self.right) / 2.0
        return Point(x, self.bottom if anchor == "bottom" else (self.top + self.bottom) / 2.0)

    @property
    def reaches_edge(self) -> bool:
        """Whether the picture's edge may truncate the box."""
        return bool(self.cutting_edges())

    def cutting_edges(self) -> list[tuple[int, int]]:
        """Return the edges of the picture that may truncate the box, each as its outward direction (x, y)."""
        edges = [
            ((-1, 0), self.left <= EDGE_RATIO),
            ((0, -1), self.top <= EDGE_RATIO),
            ((1, 0), self.right >= 1.0 - EDGE_RATIO),
            ((0, 1), self.bottom >= 1.0 - EDGE_RATIO),
        ]
        return [edge for edge, cuts in edges if cuts]

    def is_like(self, other: Box) -> bool:
        """Return whether both boxes have about the same height, so that their difference is a movement of the object.

        A detection of half a body moves the lower edge of the box without a movement of the object.
        """
        lower, higher = sorted((self.height, other.height))
        return higher <= SAME_SHAPE * lower


@dataclass(frozen=True, slots=True)
class Observation:
    """One detection of an object, in normalised units."""

    time_s: float
    """Seconds on a monotonic clock."""
    box: Box
    class_name: str = ""
    aspect: float = 16 / 9
    """Width of the picture divided by its height. Distances are in picture heights in both directions."""

    def position(self, anchor: Anchor) -> Point:
        """Return the anchor in picture heights."""
        point = self.box.anchor(anchor)
        return Point(point.x * self.aspect, point.y)

    def top(self) -> Point:
        """Return the middle of the box's upper edge in picture heights."""
        return Point((self.box.left + self.box.right) / 2.0 * self.aspect, self.box.top)


def between(before: Observation, after: Observation, share: float) -> Observation:
    """Return the observation interpolated between two others (``share`` 0..1), with the class of the later one."""
    edges = (start + share * (end - start) for start, end in zip(before.box, after.box, strict=True))
    time_s = before.time_s + share * (after.time_s - before.time_s)
    return replace(after, time_s=time_s, box=Box(*edges))


def counts(classes: frozenset[str], class_name: str) -> bool:
    """Return whether a rule with these classes applies to the class; an empty set applies to all."""
    return not classes or class_name in classes


def check_shape(name: str, points: Sequence[Point], *, least: int, anchor: str) -> None:
    """Raise ValueError for points or an anchor that are not valid for a line or a zone."""
    if len(points) < least:
        raise ValueError(f"{name}: has {len(points)} points; at least {least} are needed")
    if not all(-1.0 <= value <= 2.0 for point in points for value in point):
        raise ValueError(
            f"{name}: points must be fractions of the picture's width and height, 0 to 1; divide pixels by its size"
        )
    if anchor not in get_args(Anchor):
        raise ValueError(f"{name}: anchor must be one of {', '.join(get_args(Anchor))}, not {anchor!r}")
