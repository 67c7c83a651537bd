"""An adapter that gives the rules the input of other projects' tests: boxes in pixels, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from edge_agent.events.rule_types import RuleName, Transition
from edge_agent.events.rules.lines import Line
from edge_agent.events.rules.observation import Box, Observation
from edge_agent.events.rules.rule_set import RuleSet
from edge_agent.events.rules.zones import Zone
from shared.geometry import Point

Pixels = tuple[float, float, float, float]
"""Left, top, right, bottom."""
Frame = Mapping[int, Pixels]
"""The box of each track that is detected in a frame."""
START = datetime(2026, 11, 20, 10, tzinfo=UTC)
PLAIN_LINE: dict[str, Any] = {"band_ratio": 0.0, "settle_s": 0.0}
PLAIN_ZONE: dict[str, Any] = {"enter_s": 0.0, "exit_s": 0.0, "exit_ratio": 0.0}
"""Without hysteresis, which the other engines do not have."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The picture's size in pixels; ``left`` and ``top`` allow coordinates below 0."""

    width: float
    height: float
    left: float = 0.0
    top: float = 0.0

    def point(self, x: float, y: float) -> Point:
        return Point((x - self.left) / self.width, (y - self.top) / self.height)

    def points(self, corners: Sequence[tuple[float, float]]) -> tuple[Point, ...]:
        return tuple(self.point(*corner) for corner in corners)

    def box(self, pixels: Pixels) -> Box:
        return Box(*self.point(*pixels[:2]), *self.point(*pixels[2:]))

    def line(self, *corners: tuple[float, float], name: str = "line", **fields: Any) -> Line:
        return Line(name, self.points(corners), **fields)

    def zone(self, *corners: tuple[float, float], name: str = "zone", **fields: Any) -> Zone:
        return Zone(name, self.points(corners), **fields)


class Happened(NamedTuple):
    """A transition in a frame and its track id, which is -1 for a transition of a zone."""

    track_id: int
    rule: RuleName
    direction: str | None
    transition: Transition


class Adapter:
    """Gives frames to the rules. A track without a box in a frame is not detected; it ends when ``end`` is called."""

    def __init__(
        self, picture: Picture, *, zones: Sequence[Zone] = (), lines: Sequence[Line] = (), step_s: float = 1.0
    ) -> None:
        self.rules = RuleSet(zones=zones, lines=lines)
        self._picture = picture
        self._step_s = step_s
        self._next_s = 0.0
        self._seen: set[int] = set()

    def frame(
        self, boxes: Frame, *, classes: Mapping[int, str] | None = None, time_s: float | None = None
    ) -> list[Happened]:
        """Process a frame, one step after the last or at ``time_s``; return its transitions."""
        now_s = self._next_s if time_s is None else time_s
        self._next_s = now_s + self._step_s
        at = START + timedelta(seconds=now_s)
        aspect = self._picture.width / self._picture.height
        happened: list[Happened] = []
        for track_id, pixels in boxes.items():
            self._seen.add(track_id)
            class_name = (classes or {}).get(track_id, "person")
            seen = Observation(now_s, self._picture.box(pixels), class_name, aspect)
            happened += [_happened(track_id, each) for each in self.rules.observe(track_id, seen, at=at)]
        return happened + [_happened(-1, each) for each in self.rules.occupancy(self._seen, time_s=now_s, at=at)]

    def frames(self, sequence: Sequence[Frame]) -> list[list[Happened]]:
        """Process several frames; return the transitions of each."""
        return [self.frame(boxes) for boxes in sequence]

    def end(self, *track_ids: int) -> list[Happened]:
        """End these tracks, or all tracks if none is given."""
        ended = track_ids or tuple(sorted(self._seen))
        self._seen.difference_update(ended)
        return [_happened(one, each) for one in ended for each in self.rules.end(one, at=START)]

    def inside(self, zone: str = "zone") -> set[int]:
        """Return the tracks that are in a zone."""
        return {track_id for track_id in self._seen if zone in self.rules.zones_of(track_id)}


def _happened(track_id: int, transition: Transition) -> Happened:
    return Happened(track_id, transition.rule, transition.direction, transition)
