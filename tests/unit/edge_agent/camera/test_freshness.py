"""Fresh frames are distinguished from delayed ones by the stream's timestamps."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.freshness import SETTLE_LIMIT_S, Freshness, FreshnessJudge

ArrivalTimes = list[tuple[float, float]]
"""Timestamp and arrival time of each picture, in seconds."""


def judged(arrival_times: ArrivalTimes, judge: FreshnessJudge | None = None) -> list[Freshness]:
    judge = judge or FreshnessJudge(max_lateness_s=1.0)
    return [judge.judge(pts_s, now_s=now_s) for pts_s, now_s in arrival_times]


def steady(seconds: float, *, fps: float = 10.0, pts_s: float = 0.0, now_s: float = 0.0) -> ArrivalTimes:
    return [(pts_s + number / fps, now_s + number / fps) for number in range(round(seconds * fps))]


@pytest.mark.parametrize("fps", [0.5, 1, 5, 10, 25, 60])
def test_edge_06_steady_stream_is_fresh(fps: float) -> None:
    """After one picture or 0.4 seconds, every picture is fresh and on time."""
    results = judged(steady(20, fps=fps))
    first = next(number for number, result in enumerate(results) if result.fresh)
    assert first / fps <= max(1 / fps, 0.4)
    assert all(result.fresh and result.lateness_s < 0.01 for result in results[first:])


@pytest.mark.parametrize("fps", [5, 10, 25])
@pytest.mark.parametrize("stall_s", [2.0, 5.0, 9.5])
def test_edge_06_picture_delayed_by_a_stall_is_not_fresh(fps: float, stall_s: float) -> None:
    """The last picture before a stall arrives when the stall ends, or when the read times out."""
    before = steady(5, fps=fps)
    held = (before[-1][0] + 1 / fps, before[-1][1] + stall_s)
    last = judged([*before, held])[-1]
    assert not last.fresh
    assert last.lateness_s == pytest.approx(stall_s - 1 / fps, abs=0.05)


@pytest.mark.parametrize("rate", [20.0, 3.0, 1.6])
def test_edge_06_backlog_is_not_fresh_until_it_has_drained(rate: float) -> None:
    """Pictures that were queued during a stall arrive faster than real time; their lateness is measured."""
    fps, stall_s = 10.0, 6.0
    arrival_times = steady(5, fps=fps)
    pts_s, now_s = arrival_times[-1]
    now_s += stall_s
    while pts_s < now_s - 0.1:
        pts_s, now_s = pts_s + 1 / fps, now_s + 1 / fps / rate
        arrival_times.append((pts_s, max(now_s, pts_s)))
    arrival_times += steady(3, fps=fps, pts_s=pts_s + 0.1, now_s=pts_s + 0.1)
    results = judged(arrival_times)
    for (pts, arrival_s), result in zip(arrival_times[50:], results[50:], strict=True):
        assert result.fresh == (arrival_s - pts <= 1.0 + 0.01)
        assert result.lateness_s == pytest.approx(arrival_s - pts, abs=0.05)


@pytest.mark.parametrize(("cached_s", "rate"), [(0.5, 50.0), (2.0, 50.0), (4.0, 20.0), (4.0, 3.0)])
def test_edge_06_pictures_cached_by_the_camera_are_not_fresh(cached_s: float, rate: float) -> None:
    """A camera that starts with cached pictures shows the past until its first live picture."""
    fps = 25.0
    arrival_times: ArrivalTimes = []
    pts_s, now_s = -cached_s, 0.0
    while pts_s < now_s - 0.02:
        arrival_times.append((pts_s, now_s))
        pts_s, now_s = pts_s + 1 / fps, now_s + 1 / fps / rate
    cached = len(arrival_times)
    arrival_times += steady(2, fps=fps, pts_s=pts_s, now_s=max(now_s, pts_s))
    results = judged(arrival_times)
    assert not any(result.fresh for result in results[: cached - 2])
    assert all(result.fresh for result in results[cached + 10 :])


@pytest.mark.parametrize("speed", [0.2, 0.4, 0.8, 0.95, 1.05, 1.5, 4.0])
def test_edge_06_timestamps_at_a_wrong_speed_are_ignored(speed: float) -> None:
    """Wrong timestamps of firmware, or of MJPEG without a frame rate, are ignored after a few seconds."""
    results = judged([(pts_s * speed, now_s) for pts_s, now_s in steady(60)])
    assert all(result.fresh for result in results[round(SETTLE_LIMIT_S * 10) + 2 :])
    assert all(result.lateness_s <= 1.0 for result in results if result.fresh)


@pytest.mark.parametrize("jump_s", [-100_000.0, -3600.0, -5.0, 5.0, 3600.0, 100_000.0])
def test_edge_06_camera_that_sets_its_clock_is_fresh_within_three_seconds(jump_s: float) -> None:
    """Restarted timestamps are not a backlog."""
    before = steady(10)
    results = judged(before + steady(10, pts_s=10 + jump_s, now_s=10))
    assert all(result.fresh for result in results[100 + 30 :])
    assert all(result.lateness_s < 0.1 for result in results[100 + 40 :])


def test_edge_06_without_timestamps_every_picture_is_fresh() -> None:
    """A stream without a clock is judged by arrival only."""
    judge = FreshnessJudge(max_lateness_s=1.0)
    assert all(judge.judge(None, now_s=now_s, clocked=False) == Freshness(fresh=True) for now_s in (0.0, 9.0, 9.0, 9.1))


def test_edge_06_picture_without_timestamp_gets_the_previous_result() -> None:
    """FFmpeg's first picture of an RTSP connection has no timestamp and may be as old as the following ones."""
    judge = FreshnessJudge(max_lateness_s=1.0)
    assert not judge.judge(None, now_s=0.0).fresh
    judged(steady(2), judge)
    assert judge.judge(None, now_s=2.0).fresh
    assert not judge.judge(1.9, now_s=12.0).fresh
    assert not judge.judge(None, now_s=12.0).fresh


def test_edge_06_stream_without_any_timestamp_becomes_fresh() -> None:
    """A stream that should have timestamps but has none is judged by arrival after a few seconds."""
    judge = FreshnessJudge(max_lateness_s=1.0)
    fresh = [judge.judge(None, now_s=number / 10).fresh for number in range(100)]
    assert fresh.index(True) == SETTLE_LIMIT_S * 10
    assert all(fresh[fresh.index(True) :])


@given(seed=st.integers(0, 10_000), jitter_s=st.floats(0, 0.25), fps=st.sampled_from([5.0, 10.0, 25.0]))
def test_edge_06_network_jitter_is_not_a_stall(seed: int, jitter_s: float, fps: float) -> None:
    """Delays of up to 0.25 seconds are not a stall once the stream has settled."""
    rng = random.Random(seed)
    now_s, arrival_times = 0.0, []
    for pts_s, due_s in steady(30, fps=fps):
        now_s = max(now_s + 0.001, due_s + rng.uniform(0, jitter_s))
        arrival_times.append((pts_s, now_s))
    results = judged(arrival_times)
    assert all(result.fresh for result in results[round(SETTLE_LIMIT_S * fps) + 2 :])


@given(
    pts=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=60),
    gaps=st.lists(st.floats(0, 100), min_size=60, max_size=60),
)
def test_edge_06_any_timestamps_give_a_valid_result(pts: list[float | None], gaps: list[float]) -> None:
    """The lateness of a fresh picture is between 0 and the limit for any timestamps."""
    judge, now_s = FreshnessJudge(max_lateness_s=1.0), 0.0
    for pts_s, gap_s in zip(pts, gaps, strict=False):
        now_s += gap_s
        result = judge.judge(pts_s, now_s=now_s)
        assert result.lateness_s >= 0
        assert result.lateness_s <= 1.0 or not result.fresh
