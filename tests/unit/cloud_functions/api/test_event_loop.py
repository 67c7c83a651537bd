"""The Lambda handler uses one event loop for all calls, on any thread and with any current loop."""

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
    """A hundred calls use no more event loops and open files than the first call."""
    handler, _ = lambda_api()
    event = http_api_event("GET", "/api/nothing")
    assert handler(event, None)["statusCode"] == 404
    loops, files = _loops(), sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(100):
        assert handler(event, None)["statusCode"] == 404
    assert _loops() == loops
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == files
    handler.close()


def test_cloud_15_handler_works_in_a_thread_without_event_loop() -> None:
    """Python 3.12 warns and 3.14 raises if a thread has no event loop. The handler creates its own."""
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
def test_cloud_15_handler_works_after_the_current_loop_changed(others: str) -> None:
    """Between two calls the current event loop is closed, removed, or replaced by that of another handler."""
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
