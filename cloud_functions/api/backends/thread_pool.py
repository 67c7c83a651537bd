"""Where blocking work (SQL, S3) runs, so that one set of ``async`` routes serves Lambda and uvicorn alike.

Under Lambda there is one request at a time, so blocking the event loop costs nobody anything, and staying on its thread
saves the 0.5 ms that a hop to another costs. Under uvicorn there are many requests, so the work goes to a few threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Workers(Protocol):
    """Runs blocking calls."""

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return what ``call`` returns, or raise what it raises."""
        ...

    def close(self) -> None:
        """Wait for what runs, and take no more."""
        ...


class InlineWorkers:
    """Runs every call at once, on the caller's thread: for Lambda."""

    async def run(self, call: Callable[[], Result]) -> Result:
        return call()

    def close(self) -> None:
        pass


class ThreadWorkers:
    """Runs calls on ``threads`` threads: for a server. That many connections to the database are the most it opens."""

    def __init__(self, *, threads: int = 8) -> None:
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="api-worker")

    async def run(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    def close(self) -> None:
        self._executor.shutdown(wait=True)
