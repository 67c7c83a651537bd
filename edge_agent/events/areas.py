"""Zones, loitering and line crossing: where an object stands, judged by the middle of its box's lower edge."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.events.settings import EventSettings, LineSettings, ZoneSettings
from shared.geometry import Point, crossing_side, polygon_contains


@dataclass(slots=True)
class Footing:
    """Where one object stands and how it came there."""

    at: Point | None = None
    entered_at_s: dict[str, float] = field(default_factory=dict[str, float])
    """Zones it is in, and since when."""
    loitering_in: set[str] = field(default_factory=set[str])
    was_in_required: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What one sighting changed."""

    zones: tuple[str, ...]
    loitering_began: bool
    line_crossed: str | None


class Areas:
    """Judges steps against a camera's zones and lines."""

    def __init__(self, settings: EventSettings) -> None:
        self._zones = [(zone, [Point(*corner) for corner in zone.polygon]) for zone in settings.zones]
        self._lines = list(settings.lines)
        self._required = frozenset(settings.required_zones)

    def step(self, footing: Footing, at: Point, *, class_name: str, time_s: float) -> Step:
        """Move ``footing`` to ``at`` (normalised) and say what that changed."""
        inside = [zone for zone, polygon in self._zones if _counts(zone, class_name) and polygon_contains(polygon, at)]
        names = tuple(zone.name for zone in inside)
        footing.entered_at_s = {name: footing.entered_at_s.get(name, time_s) for name in names}
        footing.loitering_in.intersection_update(names)
        began = False
        for zone in inside:
            if zone.loitering_s is None or zone.name in footing.loitering_in:
                continue
            if time_s - footing.entered_at_s[zone.name] >= zone.loitering_s:
                footing.loitering_in.add(zone.name)
                began = True
        crossed = self._crossed(footing.at, at, class_name)
        footing.at = at
        footing.was_in_required = footing.was_in_required or not self._required or not self._required.isdisjoint(names)
        return Step(zones=names, loitering_began=began, line_crossed=crossed)

    def _crossed(self, before: Point | None, after: Point, class_name: str) -> str | None:
        if before is None:
            return None
        for line in self._lines:
            side = (
                crossing_side(Point(*line.start), Point(*line.end), before, after) if _counts(line, class_name) else 0
            )
            if side and line.direction in ("any", "right" if side > 0 else "left"):
                return line.name
        return None


def _counts(area: ZoneSettings | LineSettings, class_name: str) -> bool:
    return not area.classes or class_name in area.classes
