"""Loopback ports that no other test takes between their choice and their use."""

from __future__ import annotations

import os
import random
from itertools import count, islice
from typing import Final

from infra.local.processes.ports import is_free

_FIRST: Final = 20_000
_PORTS_PER_WORKER: Final = 1_000
_WORKERS: Final = 12
"""The last port is 31,999: below the range from which Linux (32,768) and macOS (49,152) choose ports themselves."""

_worker = int("".join(filter(str.isdigit, os.environ.get("PYTEST_XDIST_WORKER", ""))) or 0)
_numbers = count(random.SystemRandom().randrange(_PORTS_PER_WORKER))


def reserve_port() -> int:
    """Return a free port that neither the kernel nor another worker of this test run assigns to another server.

    A server can be stopped and started again on such a port. Each worker has its own block of ports and returns them in
    turn.
    """
    for number in islice(_numbers, _PORTS_PER_WORKER):
        port = _FIRST + _worker % _WORKERS * _PORTS_PER_WORKER + number % _PORTS_PER_WORKER
        if is_free(port):
            return port
    raise AssertionError(f"no port of worker {_worker} is free")
