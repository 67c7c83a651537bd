"""When a delivery that failed is attempted again, and for how long its webhook gets no attempt at all."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final

from cloud_functions.db.webhooks.attempts import Retry

DELAYS_S: Final = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Waits after the first, second … failed attempt. A delivery has one attempt more than there are waits."""
MAX_ATTEMPTS: Final = len(DELAYS_S) + 1
_JITTER_RATIO: Final = 0.1
_FIRST_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 60.0
_LONGEST_REQUESTED_S: Final = 86_400.0
_LONGEST_REQUESTED_PAUSE_S: Final = 3600.0


def retry_after(attempts: int, *, failures: int, requested_s: float | None, rng: random.Random | None = None) -> Retry:
    """Return what follows a failure.

    ``attempts`` is the number of failed attempts of the delivery, this one included; ``failures`` that of the webhook,
    in a row. ``requested_s`` is the receiver's ``Retry-After``: a longer wait than the schedule's is honoured.
    """
    random_ratio = (rng or random.Random()).random()  # noqa: S311 - spreads load; not security-relevant
    asked_s = min(max(requested_s or 0.0, 0.0), _LONGEST_REQUESTED_S)
    pause_s = min(_FIRST_PAUSE_S * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE_S)
    pause = timedelta(seconds=max(pause_s, min(asked_s, _LONGEST_REQUESTED_PAUSE_S)))
    if attempts >= MAX_ATTEMPTS:
        return Retry(None, pause)
    wait_s = max(DELAYS_S[attempts - 1], asked_s) * (1 + _JITTER_RATIO * random_ratio)
    return Retry(timedelta(seconds=wait_s), pause)
