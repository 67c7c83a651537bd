"""Thread pools for blocking calls."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cloud_functions.api.backends.thread_pool import InlineThreadPool, ServerThreadPool, ThreadPool


def _fail() -> None:
    raise LookupError("as it is")


@pytest.mark.parametrize("thread_pool", [InlineThreadPool(), ServerThreadPool(threads=2)], ids=["inline", "threads"])
def test_results_are_returned_and_errors_raised(thread_pool: ThreadPool) -> None:
    """Both thread pools return the result of a call and raise its error."""

    async def use() -> int:
        with pytest.raises(LookupError, match="as it is"):
            await thread_pool.run(_fail)
        return await thread_pool.run(lambda: 42)

    assert asyncio.run(use()) == 42
    thread_pool.close()


def test_only_the_server_pool_uses_other_threads() -> None:
    """The inline pool runs calls on the thread of the caller."""
    inline, threads = InlineThreadPool(), ServerThreadPool(threads=1)
    caller_thread = threading.get_ident()
    assert asyncio.run(inline.run(threading.get_ident)) == caller_thread
    assert asyncio.run(threads.run(threading.get_ident)) != caller_thread
    threads.close()


def test_calls_run_concurrently() -> None:
    """Two calls that wait for each other both finish."""
    thread_pool = ServerThreadPool(threads=2)
    meeting = threading.Barrier(2, timeout=10)

    async def both() -> list[int]:
        return list(await asyncio.gather(thread_pool.run(meeting.wait), thread_pool.run(meeting.wait)))

    assert sorted(asyncio.run(both())) == [0, 1]
    thread_pool.close()
