"""One thread on which a chunk is stored while the next is parsed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self, TypeVar

Result = TypeVar("Result")

_SWITCH_INTERVAL_S: Final = 0.0002


class Background:
    """Runs one step at a time beside the caller, inside a ``with`` block.

    Inside the block the interpreter switches threads 25 times as readily as by default: the thread that talks to the
    database needs it for microseconds between long waits, and must not wait 5 ms for it each time.
    """

    def __enter__(self) -> Self:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown()
        sys.setswitchinterval(self._switch_interval_s)

    def start(self, step: Callable[[], Result]) -> Callable[[], Result]:
        """Start ``step``; return what waits for its result, or raises what it raised."""
        return self._thread.submit(step).result
