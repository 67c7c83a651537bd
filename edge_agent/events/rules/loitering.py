"""Loitering: an object that stays in a zone for longer than it should."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.events.rule_types import Transition

_TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Loitering:
    """When a stay is loitering."""

    after_s: float
    """Reported once the object has been inside for so long."""
    again_after_s: float | None = None
    """Reported again each time this has passed since the last report; None reports a stay once."""
    grace_s: float = 2.0
    """Being outside for up to so long does not end the stay; raising it bridges more of a detector's mistakes."""


class LoiteringState:
    """One object's stay in one zone.

    The time inside runs from the first moment inside to now, short absences included. Time in which the object is not
    observed never ends a stay: only being seen outside does, for longer than the grace.
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
        """Take in whether the object is inside now; ``since_s`` is when it came in, where that is known better."""
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
