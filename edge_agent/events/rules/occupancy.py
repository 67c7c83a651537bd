"""Occupancy: too many or too few objects in a zone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_agent.events.rule_types import Transition

Level = Literal["under", "normal", "over"]
_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Settings of the occupancy rule of a zone. At least one of ``over`` and ``under`` is set."""

    over: int | None = None
    """Report when more than this number of objects are inside."""
    under: int | None = None
    """Report when fewer than this number of objects are inside."""
    debounce_s: float = 2.0
    """Time a level must last before it is reported. Raising it ignores short changes."""
    cooldown_s: float = 60.0
    """Minimum time between two reports of the same level. Raising it reports less often."""

    def level(self, count: int) -> Level:
        """Return the level of a number of objects."""
        if self.over is not None and count > self.over:
            return "over"
        return "under" if self.under is not None and count < self.under else "normal"


class OccupancyState:
    """The occupancy of one zone over time."""

    def __init__(self, name: str, rule: Occupancy) -> None:
        self._name = name
        self._rule = rule
        self._last_report_s: dict[Level, float] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the current level. Called while the zone is inactive."""
        self._level: Level = "normal"
        self._reported = True
        """Whether the current level has been reported, or needs no report."""
        self._candidate: Level = "normal"
        self._candidate_since_s: float | None = None

    def observe(self, time_s: float, count: int) -> list[Transition]:
        """Process the number of objects inside at ``time_s``; return the report that is due, if any.

        A level that lasts through its cooldown is reported at the end of the cooldown.
        """
        level = self._rule.level(count)
        if level != self._candidate or self._candidate_since_s is None:
            self._candidate, self._candidate_since_s = level, time_s
        since_s = self._candidate_since_s
        if level != self._level and time_s - since_s >= self._rule.debounce_s - _TOLERANCE_S:
            self._level, self._reported = level, level == "normal"
        if self._reported or level != self._level:
            return []
        last_s = self._last_report_s.get(level)
        if last_s is not None and time_s - last_s < self._rule.cooldown_s - _TOLERANCE_S:
            return []
        self._reported = True
        self._last_report_s[level] = time_s
        return [
            Transition(
                rule="occupancy",
                name=self._name,
                zone=self._name,
                time_s=time_s,
                direction=level,
                since_s=since_s,
                count=count,
            )
        ]
