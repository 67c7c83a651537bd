"""Thread pools for blocking calls (SQL, S3), so that the same ``async`` routes serve Lambda and uvicorn.

Lambda handles one request at a time, so a blocked event loop delays no other request, and running the call on the
loop's thread saves 0.5 ms. uvicorn handles many requests at once, so blocking calls run on a few threads.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class ThreadPool(Protocol):
    """Runs blocking calls."""

    async def run(self, call: Callable[[], Result]) -> Result:
        """Return what ``call`` returns, or raise what it raises."""
        ...

    def close(self) -> None:
        """Wait for running calls and accept no more."""
        ...


class InlineThreadPool:
    """Runs every call immediately on the thread of the caller. For Lambda."""

    async def run(self, call: Callable[[], Result]) -> Result:
        return call()

    def close(self) -> None:
        pass


class ServerThreadPool:
    """Runs calls on ``threads`` threads, which is also the maximum number of database connections. For a server."""

    def __init__(self, *, threads: int = 8) -> None:
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="api-thread")

    async def run(self, call: Callable[[], Result]) -> Result:
        context = contextvars.copy_context()  # holds the id of the request, for log lines
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: context.run(call))

    def close(self) -> None:
        self._executor.shutdown(wait=True)
