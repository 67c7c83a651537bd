"""Whether a picture of a live stream is fresh, judged by the stream's own timestamps against the clock of arrival.

A decoder, a parser or the network may hold pictures back: while a camera stalls, while it hands out the pictures it had
cached before somebody connected, while a filled TCP buffer drains. Those pictures arrive now and show the past.
"""

from __future__ import annotations

from dataclasses import dataclass

SETTLE_SPAN_S = 0.3
"""A new connection's pictures must keep to their own pace for this long before one of them counts as fresh."""
SETTLE_LIMIT_S = 5.0
"""A stream that has not kept to the pace of its timestamps by then has none that can be used."""
RESYNC_SPAN_S = 2.0
"""Late pictures that keep to their own pace for this long are no backlog: the stream has numbered its times anew."""
PACE_TOLERANCE = 0.25
PACE_TOLERANCE_S = 0.05
"""A span keeps to its pace while lateness falls by no more than this share of the span, plus this many seconds."""
STALL_S = 0.3
"""A gap between arrivals that exceeds the gap between timestamps by more than this is a stall, not jitter."""
LEAK_RATIO = 0.001
"""The mapping follows clocks that drift apart by up to this much (0.1 %, several times what crystals do)."""
DRIFTS_TOLERATED = 3
"""Timestamps that so often turned out to run at another speed than real time are no longer used."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """``lateness_s``: how long ago the picture would have arrived on an unhindered connection; 0 where unknown."""

    fresh: bool
    lateness_s: float = 0.0


@dataclass(slots=True)
class _Span:
    """A stretch of pictures that keep to the pace of their timestamps."""

    began_s: float
    delay_s: float
    least_delay_s: float

    def begin(self, now_s: float, delay_s: float) -> None:
        self.began_s, self.delay_s, self.least_delay_s = now_s, delay_s, delay_s

    def keeps_pace(self, now_s: float, delay_s: float) -> bool:
        """Add a picture; begin anew, and return False, where the backlog is still draining."""
        self.least_delay_s = min(self.least_delay_s, delay_s)
        if self.delay_s - delay_s > PACE_TOLERANCE * (now_s - self.began_s) + PACE_TOLERANCE_S:
            self.begin(now_s, delay_s)
            return False
        return True


class FreshnessJudge:
    """Judges the pictures of one connection, in the order they arrive. Not thread-safe.

    The delay of a picture is its arrival time less its timestamp. The least delay seen belongs to an unhindered
    picture; what exceeds it is lateness. Streams without timestamps, or with timestamps that do not follow real time,
    are judged by arrival alone: every picture is fresh.
    """

    def __init__(self, *, max_lateness_s: float) -> None:
        self._max_lateness_s = max_lateness_s
        self._trusted = True
        self._settled = False
        self._drifts = 0
        self._least_delay_s = 0.0
        self._stalled_s = 0.0
        self._first_s: float | None = None
        self._last_s = self._last_pts_s = 0.0
        self._latest = Freshness(fresh=False)
        self._span: _Span | None = None

    def judge(self, pts_s: float | None, *, now_s: float, clocked: bool = True) -> Freshness:
        """Judge the picture with timestamp ``pts_s`` that arrived at ``now_s`` (any steady clock).

        ``clocked``: the stream has timestamps, though this picture may lack one, as FFmpeg's first of a connection
        does; such a picture shares the fate of the one before.
        """
        if not clocked or not self._trusted:
            return Freshness(fresh=True)
        if self._first_s is None:
            self._first_s = now_s
        if pts_s is not None:
            self._latest = self._placed(pts_s, now_s, first_s=self._first_s)
        elif not self._settled and now_s - self._first_s >= SETTLE_LIMIT_S:
            self._latest = Freshness(fresh=True)
        return self._latest

    def _placed(self, pts_s: float, now_s: float, *, first_s: float) -> Freshness:
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
        if span.keeps_pace(now_s, delay_s) and now_s - span.began_s >= SETTLE_SPAN_S:
            self._settled = True
            self._least_delay_s = span.least_delay_s
            return self._judge_settled(span, now_s, delay_s, gap_s=0.0, stalled=False)
        if now_s - first_s < SETTLE_LIMIT_S:
            return Freshness(fresh=False)
        self._trusted = False
        return Freshness(fresh=True)

    def _judge_settled(self, span: _Span, now_s: float, delay_s: float, *, gap_s: float, stalled: bool) -> Freshness:
        # A stall must not pass for drift: at most a second of any gap counts.
        leaked_s = LEAK_RATIO * min(gap_s, 1.0)
        self._least_delay_s = min(self._least_delay_s + leaked_s, delay_s)
        lateness_s = delay_s - self._least_delay_s
        if lateness_s <= self._max_lateness_s:
            if lateness_s <= self._max_lateness_s / 2:
                self._stalled_s = 0.0
            span.begin(now_s, delay_s)
            return Freshness(fresh=True, lateness_s=lateness_s)
        if self._stalled_s < lateness_s / 2:
            # No stall explains it: the timestamps run slower than real time.
            return self._resynchronise(delay_s, drifted=True)
        if stalled:
            span.begin(now_s, delay_s)
        if span.keeps_pace(now_s, delay_s) and now_s - span.began_s >= RESYNC_SPAN_S:
            return self._resynchronise(span.least_delay_s, drifted=False)
        return Freshness(fresh=False, lateness_s=lateness_s)

    def _resynchronise(self, least_delay_s: float, *, drifted: bool) -> Freshness:
        self._least_delay_s = least_delay_s
        self._stalled_s = 0.0
        self._drifts += drifted
        self._trusted = self._drifts < DRIFTS_TOLERATED
        return Freshness(fresh=True)
