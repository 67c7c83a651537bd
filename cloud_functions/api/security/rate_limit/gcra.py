"""The generic cell rate algorithm: a steady rate with bursts, for which one time per caller is all the state.

The state is the *theoretical arrival time*: the time at which the caller would be back within the steady rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How many requests each caller may send."""

    per_minute: int
    """Steady rate. Raising it lets each caller send more requests in the long run."""
    burst: int
    """Requests that may come at once after a pause."""

    @property
    def interval_s(self) -> float:
        """Seconds between two requests at the steady rate."""
        return 60 / self.per_minute


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether one request is within the limit, and the caller's state after it."""

    is_allowed: bool
    limit: int
    remaining: int
    """Requests that could follow at once."""
    retry_after_s: float
    """Seconds until the next request is within the limit; 0 if this one is."""
    reset_s: float
    """Seconds until a whole burst is possible again."""

    def headers(self) -> dict[str, str]:
        """Return the headers of a response: how many requests may come next, and when."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(math.ceil(self.reset_s)),
        }


def decide(limit: RateLimit, *, arrival_s: float, now_s: float) -> tuple[Decision, float]:
    """Return the decision on a request and the caller's new theoretical arrival time.

    ``arrival_s`` is the current one; any time in the past for a caller who is not known.
    """
    tolerance_s = limit.interval_s * limit.burst
    ahead_s = max(arrival_s - now_s, 0.0)
    excess_s = ahead_s + limit.interval_s - tolerance_s
    if excess_s > 1e-9:
        return Decision(False, limit.burst, 0, excess_s, ahead_s), now_s + ahead_s
    ahead_s += limit.interval_s
    remaining = int((tolerance_s - ahead_s) / limit.interval_s + 1e-6)
    return Decision(True, limit.burst, remaining, 0.0, ahead_s), now_s + ahead_s
