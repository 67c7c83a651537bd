"""Where blocking work runs."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cloud_functions.api.backends.thread_pool import InlineThreadPool, ServerThreadPool, ThreadPool


def _fail() -> None:
    raise LookupError("as it is")


@pytest.mark.parametrize("thread_pool", [InlineThreadPool(), ServerThreadPool(threads=2)], ids=["inline", "threads"])
def test_results_and_errors_come_back(thread_pool: ThreadPool) -> None:
    """A call's result is returned and its error raised, wherever it ran."""

    async def use() -> int:
        with pytest.raises(LookupError, match="as it is"):
            await thread_pool.run(_fail)
        return await thread_pool.run(lambda: 42)

    assert asyncio.run(use()) == 42
    thread_pool.close()


def test_inline_stays_on_the_thread_and_threads_leave_it() -> None:
    """On Lambda no hop is paid for; on a server the event loop stays free."""
    inline, threads = InlineThreadPool(), ServerThreadPool(threads=1)
    here = threading.get_ident()
    assert asyncio.run(inline.run(threading.get_ident)) == here
    assert asyncio.run(threads.run(threading.get_ident)) != here
    threads.close()


def test_threads_work_side_by_side() -> None:
    """Two calls that wait for each other both end: neither waits for its turn."""
    thread_pool = ServerThreadPool(threads=2)
    meeting = threading.Barrier(2, timeout=10)

    async def both() -> list[int]:
        return list(await asyncio.gather(thread_pool.run(meeting.wait), thread_pool.run(meeting.wait)))

    assert sorted(asyncio.run(both())) == [0, 1]
    thread_pool.close()
