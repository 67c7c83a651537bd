"""Converts the presentation times of a file to strictly increasing seconds."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction

DEFAULT_FPS = 25.0
REBASE_AFTER_S = 1.0
"""A larger step back is a restart of the timestamps (a joined recording) rather than reordering by the decoder."""
MIN_STEP_S = 0.001
_EARLIEST_YEAR = 1990
"""Containers write 1904 or 1970 if the time is unknown."""


class MediaTime:
    """Seconds since the first picture, strictly increasing.

    A picture without a timestamp follows the previous one by one nominal frame interval. Small steps back (bad
    multiplexing) become minimal steps forward; after a large one, time continues from its last value.
    """

    def __init__(self, *, time_base: Fraction, fps: float | None) -> None:
        self._time_base = time_base
        self._step_s = 1.0 / (fps or DEFAULT_FPS)
        self._origin_s: float | None = None
        self._last_s: float | None = None

    def seconds(self, pts: int | None) -> float:
        """Return the media time of the next picture in presentation order."""
        now_s = self._next(pts)
        self._last_s = now_s
        return now_s

    def _next(self, pts: int | None) -> float:
        stamp_s = None if pts is None else float(pts * self._time_base)
        last_s = self._last_s
        if last_s is None:
            self._origin_s = stamp_s
            return 0.0
        if stamp_s is None:
            return last_s + self._step_s
        if self._origin_s is None:
            self._origin_s = stamp_s - (last_s + self._step_s)
        now_s = stamp_s - self._origin_s
        if now_s < last_s - REBASE_AFTER_S:
            self._origin_s = stamp_s - (last_s + self._step_s)
            return last_s + self._step_s
        return max(now_s, last_s + MIN_STEP_S)


def parse_creation_time(text: str | None) -> datetime | None:
    """Return a container's creation time in UTC, the default zone; None if it is invalid or a placeholder."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment if moment.year >= _EARLIEST_YEAR else None
