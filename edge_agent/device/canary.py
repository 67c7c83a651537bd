"""The canary: every few minutes a new id in the heartbeat, which the cloud carries through all parts to a receipt."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from shared.clock import Clock
from shared.heartbeat import Canary


class CanarySchedule:
    """Returns the canary of each heartbeat. Used by the heartbeat's thread only."""

    def __init__(self, *, every_s: float, new_id: Callable[[], UUID], clock: Clock) -> None:
        self._every_s = every_s
        self._new_id = new_id
        self._clock = clock
        self._latest: Canary | None = None
        self._due_s = 0.0

    def current(self) -> Canary:
        """Return the latest canary, or a new one if it is due.

        It is repeated, so that a heartbeat that was lost does not lose it.
        """
        now_s = self._clock.monotonic()
        if self._latest is None or now_s >= self._due_s:
            self._latest = Canary(canary_id=self._new_id(), sent_at=self._clock.now(), every_s=self._every_s)
            self._due_s = now_s + self._every_s
        return self._latest
