"""Rate limits through the API, and in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from cloud_functions.api.backends.thread_pool import ServerThreadPool
from cloud_functions.api.security.rate_limit.gcra import RateLimit
from cloud_functions.api.security.rate_limit.limiters import ProcessRateLimiter, RedisRateLimiter
from cloud_functions.api.settings import ApiSettings
from cloud_functions.api.wiring import lambda_app
from shared.clock import ManualClock, SystemClock
from shared.errors import ConfigurationError
from tests.support.ports import reserve_port
from tests.support.users import add_key, bearer, users_api

Result = TypeVar("Result")
SLOW = RateLimit(per_minute=1, burst=3)
VARIABLES = {"DATABASE_URL": "postgresql://unused", "SNAPSHOT_BUCKET": "unused", "API_AUTHENTICATION": "users"}


async def _inline(call: Callable[[], Result]) -> Result:
    return call()


@pytest.fixture
def pool() -> Iterator[ServerThreadPool]:
    opened = ServerThreadPool(threads=8)
    yield opened
    opened.close()


def test_each_key_and_address_has_its_own_limit(database_url: str) -> None:
    """429 with the time to wait; every response says how many requests may follow."""
    one, other = add_key(database_url, "events:read"), add_key(database_url, "events:read", name="other")
    limiter = ProcessRateLimiter(SLOW, clock=ManualClock())
    with users_api(database_url, anonymous_role="viewer", limiter=limiter) as api:
        answers = [api.call("GET", "/api/events", headers=bearer(one)) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
        refused = answers[-1]
        assert refused.error().code == "too-many-requests"
        assert (refused.headers["retry-after"], refused.headers["ratelimit-limit"]) == ("60", "3")
        assert api.call("GET", "/api/cameras", headers=bearer(one)).error().code == "too-many-requests"
        assert api.call("GET", "/api/events", headers=bearer(other)).status == 200
        assert [api.get("/api/events").status for _ in range(4)] == [200, 200, 200, 429]
        assert api.get("/health").status == 200
        invalid = api.call("GET", "/api/events", headers=bearer("nonsense"))
        assert (invalid.status, "ratelimit-limit" in invalid.headers) == (401, False)


def test_a_route_with_two_permissions_counts_once(database_url: str) -> None:
    """Exporting passwords asks for a second permission in the same request."""
    key = add_key(database_url, "*")
    limiter = ProcessRateLimiter(SLOW, clock=ManualClock())
    with users_api(database_url, limiter=limiter) as api:
        path = "/api/cameras/export?include_credentials=true"
        assert [api.call("GET", path, headers=bearer(key)).status for _ in range(4)] == [200, 200, 200, 429]


def test_processes_count_together_in_redis(redis_url: str, pool: ServerThreadPool) -> None:
    """Of requests at the same time on two limiters, exactly a burst is allowed; the state expires by itself."""
    import redis

    limit = RateLimit(per_minute=6, burst=20)
    limiters = [RedisRateLimiter(limit, url=redis_url, clock=SystemClock(), run=pool.run) for _ in range(2)]
    caller = f"key:{uuid4()}"

    async def many() -> list[bool]:
        decisions = await asyncio.gather(*(limiters[number % 2].count(caller) for number in range(60)))
        return [decision.is_allowed for decision in decisions]

    assert sum(asyncio.run(many())) == 20
    refused = asyncio.run(limiters[0].count(caller))
    assert (refused.is_allowed, refused.remaining) == (False, 0)
    assert 0 < refused.retry_after_s <= 10
    assert 190 < refused.reset_s <= 200
    with redis.Redis.from_url(redis_url) as client:
        assert 0 < int(client.pttl(f"vedette:rate-limit:{caller}")) <= 200_001


def test_redis_and_the_process_decide_alike(redis_url: str) -> None:
    """The same requests at once are allowed, with the same numbers of remaining ones."""
    limit = RateLimit(per_minute=1, burst=4)
    clock = ManualClock()
    caller = f"user:{uuid4()}"

    async def run(limiter: Any) -> list[tuple[bool, int]]:
        decisions = [await limiter.count(caller) for _ in range(6)]
        return [(decision.is_allowed, decision.remaining) for decision in decisions]

    in_redis = RedisRateLimiter(limit, url=redis_url, clock=clock, run=_inline)
    assert asyncio.run(run(in_redis)) == asyncio.run(run(ProcessRateLimiter(limit, clock=clock)))


def test_without_redis_each_process_counts(caplog: pytest.LogCaptureFixture) -> None:
    """Requests are neither refused nor unlimited, and Redis is asked again only after a while."""
    clock = ManualClock()
    url = f"redis://:secret@127.0.0.1:{reserve_port()}/0"
    limiter = RedisRateLimiter(SLOW, url=url, clock=clock, run=_inline)

    async def run() -> list[bool]:
        return [(await limiter.count("user:ana")).is_allowed for _ in range(4)]

    assert asyncio.run(run()) == [True, True, True, False]
    assert caplog.text.count("Redis failed") == 1
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("variables", "limit"),
    [
        ({}, RateLimit(3000, 500)),
        ({"RATE_LIMIT_PER_MINUTE": "0"}, None),
        ({"RATE_LIMIT_PER_MINUTE": "60", "RATE_LIMIT_BURST": "5"}, RateLimit(60, 5)),
        ({"API_AUTHENTICATION": "gateway"}, None),
    ],
)
def test_the_settings_of_the_limit(variables: dict[str, str], limit: RateLimit | None) -> None:
    """With users there is one by default; a gateway limits its callers itself."""
    settings = ApiSettings.from_environment(VARIABLES | variables)
    assert settings.rate_limit == limit
    assert lambda_app(settings).state.dependencies.limits_rates == (limit is not None)


def test_a_limit_without_users_is_an_error() -> None:
    """A setting without effect is not ignored."""
    with pytest.raises(ConfigurationError, match="requires API_AUTHENTICATION=users"):
        ApiSettings.from_environment(VARIABLES | {"API_AUTHENTICATION": "gateway", "RATE_LIMIT_PER_MINUTE": "9"})
