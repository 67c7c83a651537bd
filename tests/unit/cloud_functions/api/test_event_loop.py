"""The event loop under the Lambda handler: one for all calls, whatever thread or loop the runtime brings."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from pathlib import Path

import pytest

from tests.support.api_calls import http_api_event, lambda_api


def _loops() -> int:
    gc.collect()
    return sum(isinstance(one, asyncio.AbstractEventLoop) for one in gc.get_objects())


def test_cloud_15_all_calls_share_one_loop() -> None:
    """A hundred calls leave as many loops and open files as the first."""
    handler, _ = lambda_api()
    event = http_api_event("GET", "/api/nothing")
    assert handler(event, None)["statusCode"] == 404
    loops, files = _loops(), sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(100):
        assert handler(event, None)["statusCode"] == 404
    assert _loops() == loops
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == files
    handler.close()


def test_cloud_15_a_thread_without_a_loop_is_no_obstacle() -> None:
    """Python 3.12 warns, and 3.14 raises, where nobody has made a loop: the handler brings its own."""
    answers: list[int] = []

    def call() -> None:
        handler, _ = lambda_api()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            answers.extend(handler(http_api_event("GET", "/api/nothing"), None)["statusCode"] for _ in range(3))
        handler.close()

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(60)
    assert answers == [404, 404, 404]


@pytest.mark.parametrize("others", ["closed", "none", "another"])
def test_cloud_15_what_others_do_to_the_current_loop_is_no_obstacle(others: str) -> None:
    """Between two calls the current loop is closed, taken away, or replaced by another handler's."""
    handler, _ = lambda_api()
    event = http_api_event("GET", "/api/nothing")
    assert handler(event, None)["statusCode"] == 404
    other, _ = lambda_api()
    foreign = asyncio.new_event_loop()
    if others == "closed":
        asyncio.set_event_loop(foreign)
        foreign.close()
    elif others == "none":
        asyncio.set_event_loop(None)
    else:
        assert other(event, None)["statusCode"] == 404
    assert handler(event, None)["statusCode"] == 404
    foreign.close()
    handler.close()
    other.close()
