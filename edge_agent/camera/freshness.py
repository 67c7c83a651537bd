"""Decides whether a picture of a live stream is fresh, by comparing its timestamp with its arrival time.

A decoder, a parser or the network may delay pictures: while a camera stalls, while it sends pictures that it cached
before the connection, or while a full TCP buffer drains. These pictures arrive now but show the past.
"""

from __future__ import annotations

from dataclasses import dataclass

SETTLE_SPAN_S = 0.3
"""On a new connection, pictures must keep the pace of their timestamps for this long before any counts as fresh."""
SETTLE_LIMIT_S = 5.0
"""Seconds after which the timestamps of a stream that does not follow their pace are ignored."""
RESYNC_SPAN_S = 2.0
"""If late pictures arrive at the pace of their timestamps for this long, the timestamps were restarted."""
PACE_TOLERANCE = 0.25
PACE_TOLERANCE_S = 0.05
"""A span keeps its pace while the lateness falls by at most this fraction of the span plus this many seconds."""
STALL_S = 0.3
"""A gap between arrivals that exceeds the gap between timestamps by more than this is a stall, not jitter."""
MAX_DRIFT_RATIO = 0.001
"""Maximum clock drift that the mapping follows (0.1 %, several times the drift of crystals)."""
DRIFTS_TOLERATED = 3
"""Number of detected drifts after which the timestamps of a stream are ignored."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """``lateness_s``: delay against an undisturbed connection, in seconds; 0 if unknown."""

    fresh: bool
    lateness_s: float = 0.0


@dataclass(slots=True)
class _Span:
    """Consecutive pictures that arrive at the pace of their timestamps."""

    started_s: float
    delay_s: float
    min_delay_s: float

    def restart(self, now_s: float, delay_s: float) -> None:
        self.started_s, self.delay_s, self.min_delay_s = now_s, delay_s, delay_s

    def keeps_pace(self, now_s: float, delay_s: float) -> bool:
        """Add a picture; restart the span and return False if a backlog is still draining."""
        self.min_delay_s = min(self.min_delay_s, delay_s)
        if self.delay_s - delay_s > PACE_TOLERANCE * (now_s - self.started_s) + PACE_TOLERANCE_S:
            self.restart(now_s, delay_s)
            return False
        return True


class FreshnessJudge:
    """Judges the pictures of one connection in order of arrival. Not thread-safe.

    The delay of a picture is its arrival time minus its timestamp. The minimum delay is that of an undisturbed picture;
    the excess over it is the lateness. In streams without timestamps, or with timestamps that do not follow real time,
    every picture is fresh.
    """

    def __init__(self, *, max_lateness_s: float) -> None:
        self._max_lateness_s = max_lateness_s
        self._trusted = True
        self._settled = False
        self._drifts = 0
        self._min_delay_s = 0.0
        self._stalled_s = 0.0
        self._first_s: float | None = None
        self._last_s = self._last_pts_s = 0.0
        self._latest = Freshness(fresh=False)
        self._span: _Span | None = None

    def judge(self, pts_s: float | None, *, now_s: float, clocked: bool = True) -> Freshness:
        """Judge the picture with timestamp ``pts_s`` that arrived at ``now_s`` (any steady clock).

        ``clocked``: the stream has timestamps. A picture without one, such as FFmpeg's first of a connection, gets the
        result of the previous picture.
        """
        if not clocked or not self._trusted:
            return Freshness(fresh=True)
        if self._first_s is None:
            self._first_s = now_s
        if pts_s is not None:
            self._latest = self._compare(pts_s, now_s, first_s=self._first_s)
        elif not self._settled and now_s - self._first_s >= SETTLE_LIMIT_S:
            self._latest = Freshness(fresh=True)
        return self._latest

    def _compare(self, pts_s: float, now_s: float, *, first_s: float) -> Freshness:
        delay_s = now_s - pts_s
        if self._span is None:
            self._last_s, self._last_pts_s = now_s, pts_s
            self._span = _Span(now_s, delay_s, delay_s)
            return Freshness(fresh=False)
        gap_s = now_s - self._last_s
        stall_s = gap_s - (pts_s - self._last_pts_s)
        self._last_s, self._last_pts_s = now_s, pts_s
        stalled = stall_s > STALL_S
        self._stalled_s += stall_s if stalled else 0.0
        if self._settled:
            return self._judge_settled(self._span, now_s, delay_s, gap_s=gap_s, stalled=stalled)
        return self._settle(self._span, now_s, delay_s, first_s=first_s)

    def _settle(self, span: _Span, now_s: float, delay_s: float, *, first_s: float) -> Freshness:
        if span.keeps_pace(now_s, delay_s) and now_s - span.started_s >= SETTLE_SPAN_S:
            self._settled = True
            self._min_delay_s = span.min_delay_s
            return self._judge_settled(span, now_s, delay_s, gap_s=0.0, stalled=False)
        if now_s - first_s < SETTLE_LIMIT_S:
            return Freshness(fresh=False)
        self._trusted = False
        return Freshness(fresh=True)

    def _judge_settled(self, span: _Span, now_s: float, delay_s: float, *, gap_s: float, stalled: bool) -> Freshness:
        # At most one second of a gap counts, so that a stall is not mistaken for drift.
        drift_s = MAX_DRIFT_RATIO * min(gap_s, 1.0)
        self._min_delay_s = min(self._min_delay_s + drift_s, delay_s)
        lateness_s = delay_s - self._min_delay_s
        if lateness_s <= self._max_lateness_s:
            if lateness_s <= self._max_lateness_s / 2:
                self._stalled_s = 0.0
            span.restart(now_s, delay_s)
            return Freshness(fresh=True, lateness_s=lateness_s)
        if self._stalled_s < lateness_s / 2:
            # There was no such stall, so the timestamps run slower than real time.
            return self._resynchronise(delay_s, drifted=True)
        if stalled:
            span.restart(now_s, delay_s)
        if span.keeps_pace(now_s, delay_s) and now_s - span.started_s >= RESYNC_SPAN_S:
            return self._resynchronise(span.min_delay_s, drifted=False)
        return Freshness(fresh=False, lateness_s=lateness_s)

    def _resynchronise(self, min_delay_s: float, *, drifted: bool) -> Freshness:
        self._min_delay_s = min_delay_s
        self._stalled_s = 0.0
        self._drifts += drifted
        self._trusted = self._drifts < DRIFTS_TOLERATED
        return Freshness(fresh=True)
