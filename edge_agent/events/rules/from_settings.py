"""Builds a camera's rules from its settings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from edge_agent.events.rules.counters import CrossingCounters
from edge_agent.events.rules.lines import Line
from edge_agent.events.rules.loitering import Loitering
from edge_agent.events.rules.occupancy import Occupancy
from edge_agent.events.rules.rule_set import RuleSet
from edge_agent.events.rules.schedule import ALL_DAYS, Schedule, Window
from edge_agent.events.rules.zones import Zone
from edge_agent.events.settings import EventSettings
from shared.geometry import Point
from shared.zones import LineSettings, WindowSettings, ZoneSettings

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def build_rules(settings: EventSettings) -> RuleSet:
    """Return a new rule set for the settings."""
    timezone = ZoneInfo(settings.timezone) if settings.timezone else UTC
    return RuleSet(
        zones=[build_zone(zone, timezone) for zone in settings.zones],
        lines=[build_line(line, timezone) for line in settings.lines],
        counters=CrossingCounters(reset_at=tuple(settings.counters_reset_at), timezone=timezone),
    )


def build_zone(settings: ZoneSettings, timezone: tzinfo = UTC) -> Zone:
    """Return the zone for the settings."""
    loitering = settings.loitering
    occupancy = settings.occupancy
    return Zone(
        name=settings.name,
        polygon=tuple(Point(*corner) for corner in settings.polygon),
        classes=frozenset(settings.classes),
        anchor=settings.anchor,
        enter_s=settings.enter_s,
        exit_s=settings.exit_s,
        exit_ratio=settings.exit_ratio,
        loitering=Loitering(loitering.after_s, loitering.again_after_s, loitering.grace_s)
        if loitering
        else Loitering(settings.loitering_s)
        if settings.loitering_s
        else None,
        occupancy=Occupancy(occupancy.over, occupancy.under, occupancy.debounce_s, occupancy.cooldown_s)
        if occupancy
        else None,
        schedule=_schedule(settings.schedule, timezone),
    )


def build_line(settings: LineSettings, timezone: tzinfo = UTC) -> Line:
    """Return the line for the settings."""
    return Line(
        name=settings.name,
        points=tuple(Point(*corner) for corner in settings.corners),
        classes=frozenset(settings.classes),
        anchor=settings.anchor,
        direction=settings.direction,
        band_ratio=settings.band_ratio,
        settle_s=settings.settle_s,
        schedule=_schedule(settings.schedule, timezone),
    )


def _schedule(windows: Sequence[WindowSettings], timezone: tzinfo) -> Schedule:
    return Schedule(
        windows=tuple(
            Window(
                begin=window.start,
                end=window.end,
                days=frozenset(_DAYS.index(day) for day in window.days) or ALL_DAYS,
            )
            for window in windows
        ),
        timezone=timezone,
    )
