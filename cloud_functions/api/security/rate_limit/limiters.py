"""Where the state of callers is kept: in Redis for all processes together, or in each process.

Redis is asked with one Lua script, so that requests which arrive at the same time are all counted. While Redis is
unavailable, each process counts for itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

from cloud_functions.api.security.rate_limit.gcra import Decision, RateLimit, decide
from shared.clock import Clock
from shared.redact import redact

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
_PREFIX: Final = "vedette:rate-limit:"
_TIMEOUT_S: Final = 0.2
_RETRY_AFTER_S: Final = 5.0
_MAX_CALLERS: Final = 10_000
_MICROSECONDS: Final = 1_000_000
SCRIPT: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[1]) * tonumber(ARGV[2])
local ahead = math.max(tonumber(redis.call('GET', KEYS[1]) or 0) - now, 0)
local excess = ahead + interval - tolerance
if excess > 0.5 then
    return {0, 0, math.ceil(excess), math.ceil(ahead)}
end
ahead = ahead + interval
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000) + 1)
return {1, math.floor((tolerance - ahead) / interval + 0.001), 0, math.ceil(ahead)}
"""
"""Returns whether the request is allowed, how many may follow, and microseconds until the next one and a full burst."""


class RateLimiter(Protocol):
    """Counts requests."""

    async def count(self, caller: str) -> Decision:
        """Count one request of the caller and return the decision on it."""
        ...


class ProcessRateLimiter:
    """Keeps the state in this process. Safe to use from several threads."""

    def __init__(self, limit: RateLimit, *, clock: Clock, max_callers: int = _MAX_CALLERS) -> None:
        """State is kept for ``max_callers`` at most."""
        self._limit = limit
        self._max_callers = max_callers
        self._clock = clock
        self._lock = threading.Lock()
        self._arrivals: dict[str, float] = {}

    async def count(self, caller: str) -> Decision:
        now_s = self._clock.monotonic()
        with self._lock:
            if len(self._arrivals) >= self._max_callers and caller not in self._arrivals:
                self._forget(now_s)
            decision, self._arrivals[caller] = decide(
                self._limit, arrival_s=self._arrivals.get(caller, now_s), now_s=now_s
            )
        return decision

    @property
    def callers(self) -> int:
        """Number of callers whose state is kept."""
        return len(self._arrivals)

    def _forget(self, now_s: float) -> None:
        """Forget callers that are back within the steady rate; if that is not enough, all of them."""
        self._arrivals = {caller: time for caller, time in self._arrivals.items() if time > now_s}
        if len(self._arrivals) >= self._max_callers:
            self._arrivals.clear()


class RedisRateLimiter:
    """Keeps the state in Redis."""

    def __init__(
        self,
        limit: RateLimit,
        *,
        url: str,
        clock: Clock,
        run: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        """``run`` runs a blocking call, as ``ThreadPool.run`` does."""
        self._limit = limit
        self._url = url
        self._clock = clock
        self._run = run
        self._fallback = ProcessRateLimiter(limit, clock=clock)
        self._lock = threading.Lock()
        self._script: Any = None
        self._retry_at_s = float("-inf")

    async def count(self, caller: str) -> Decision:
        if self._clock.monotonic() < self._retry_at_s:
            return await self._fallback.count(caller)
        import redis

        try:
            return await self._run(lambda: self._count(caller))
        except redis.RedisError as error:
            self._retry_at_s = self._clock.monotonic() + _RETRY_AFTER_S
            logger.warning("rate limits are counted in this process, because Redis failed: %s", redact(str(error)))
            return await self._fallback.count(caller)

    def _count(self, caller: str) -> Decision:
        interval_us = round(self._limit.interval_s * _MICROSECONDS)
        is_allowed, remaining, retry_us, reset_us = self._loaded()(
            keys=[_PREFIX + caller], args=[interval_us, self._limit.burst]
        )
        return Decision(
            bool(is_allowed), self._limit.burst, remaining, retry_us / _MICROSECONDS, reset_us / _MICROSECONDS
        )

    def _loaded(self) -> Any:
        import redis

        with self._lock:
            if self._script is None:
                client: Any = redis.Redis.from_url(
                    self._url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
                )
                self._script = client.register_script(SCRIPT)
            return self._script
