"""Loitering: an object stays in a zone for a long time."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.events.rule_types import Transition

_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Loitering:
    """Settings of the loitering rule of a zone."""

    after_s: float
    """Time inside after which a stay is reported. Raising it reports fewer stays."""
    again_after_s: float | None = None
    """Interval of repeated reports of one stay; None reports each stay once."""
    grace_s: float = 2.0
    """Time outside that does not end the stay. Raising it tolerates more detector errors."""


class LoiteringState:
    """One object's stay in one zone.

    The time inside includes short absences. A stay ends only when the object is observed outside for longer than the
    grace period; missing observations do not end it.
    """

    def __init__(self, name: str, rule: Loitering) -> None:
        self._name = name
        self._rule = rule
        self._outside_since_s: float | None = None
        self.reset()

    def reset(self) -> None:
        """End the stay."""
        self._since_s: float | None = None
        self._reported_s: float | None = None

    @property
    def reported(self) -> bool:
        """Whether this stay has been reported."""
        return self._reported_s is not None

    def observe(self, time_s: float, *, inside: bool, since_s: float | None = None) -> list[Transition]:
        """Process whether the object is inside at ``time_s``; ``since_s`` is the time of entry, where it is known.

        Return the report that is due, if any.
        """
        if not inside:
            if self._outside_since_s is None:
                self._outside_since_s = time_s
            if time_s - self._outside_since_s > self._rule.grace_s + _TOLERANCE_S:
                self.reset()
            return []
        self._outside_since_s = None
        if self._since_s is None:
            self._since_s = time_s if since_s is None else since_s
        if time_s < self._due_s(self._since_s) - _TOLERANCE_S:
            return []
        self._reported_s = time_s
        return [
            Transition(
                rule="loitering",
                name=self._name,
                zone=self._name,
                time_s=time_s,
                since_s=self._since_s,
                dwell_s=time_s - self._since_s,
            )
        ]

    def _due_s(self, since_s: float) -> float:
        if self._reported_s is None:
            return since_s + self._rule.after_s
        again_after_s = self._rule.again_after_s
        return float("inf") if again_after_s is None else self._reported_s + again_after_s
