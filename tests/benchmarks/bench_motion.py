"""Motion: the adaptive background against OpenCV's MOG2 at 320 pixels, with one thread, in the same run.

Idle: processor time for an empty 1280x720 scene with sensor noise, including downscaling. Coverage: on the two clips of
../shared (omitted where it is absent), the share of frames with motion inside and outside the known episodes.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.motion.adaptive import AdaptiveBackground
from tests.benchmarks.figures import Figure

Luma = NDArray[np.uint8]
Detects = Callable[[Luma, float], bool]

CLIPS = Path(__file__).resolve().parents[3] / "shared" / "clips"
EPISODES = {
    "car-detection": ((54, 108), (182, 238), (318, 350)),
    "one-by-one-person-detection": ((60, 196), (232, 444), (508, 696), (745, 866), (920, 1196), (1240, 1360)),
}
ROUNDS, FRAMES_A_ROUND, WARM_UP_FRAMES = 30, 10, 60
MOG2_LEAST_SHARE = 0.002
PERSON_MARGIN_FRAMES = 6
"""Seconds before and after an episode in which a part of the person is visible; the labels mark whole persons."""


def run() -> list[Figure]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        figures = _idle()
        for name, episodes in EPISODES.items():
            if (CLIPS / f"{name}.mp4").exists():
                figures += _coverage(name, episodes)
    finally:
        cv2.setNumThreads(threads)
    return figures


def ours() -> Detects:
    detector = AdaptiveBackground()
    return lambda luma, time_s: detector.update(luma, time_s=time_s).active


def mog2() -> Detects:
    """The baseline in a usual setup: shadows removed, morphological opening, motion from 0.2 % of the picture."""
    subtractor = cv2.createBackgroundSubtractorMOG2(500, 16, True)
    kernel = np.ones((3, 3), np.uint8)

    def detects(luma: Luma, _time_s: float) -> bool:
        size = (320, round(luma.shape[0] * 320 / luma.shape[1]))
        mask = subtractor.apply(cv2.resize(luma, size, interpolation=cv2.INTER_AREA))
        solid = cv2.morphologyEx(cv2.compare(mask, 255, cv2.CMP_EQ), cv2.MORPH_OPEN, kernel)
        return cv2.countNonZero(solid) > MOG2_LEAST_SHARE * solid.size

    return detects


def _idle() -> list[Figure]:
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.uniform(30, 220, (45, 80)).astype(np.float32), (1280, 720))
    frames = [np.clip(scene + rng.normal(0, 4, scene.shape), 0, 255).astype(np.uint8) for _ in range(FRAMES_A_ROUND)]
    watchers = {"ours": ours(), "mog2": mog2()}
    times: dict[str, list[float]] = {name: [] for name in watchers}
    clock = itertools.count()
    for luma in itertools.islice(itertools.cycle(frames), WARM_UP_FRAMES):
        time_s = next(clock) / 25
        for detects in watchers.values():
            detects(luma, time_s)
    for _ in range(ROUNDS):
        for name, detects in watchers.items():
            start = time.thread_time()
            for luma in frames:
                detects(luma, next(clock) / 25)
            times[name].append((time.thread_time() - start) / FRAMES_A_ROUND)
    median_ms = {name: statistics.median(values) * 1000 for name, values in times.items()}
    return [
        Figure("idle 720p frame", median_ms["ours"], "ms", target=0.5, note="with shrinking, processor time"),
        Figure("idle 720p frame, beside MOG2", median_ms["ours"] / median_ms["mog2"], "x", target=1.0),
    ]


def _coverage(name: str, episodes: tuple[tuple[int, int], ...]) -> list[Figure]:
    watchers = {"ours": ours(), "mog2": mog2()}
    seen: dict[str, list[bool]] = {watcher: [] for watcher in watchers}
    with av.open(str(CLIPS / f"{name}.mp4")) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            for watcher, detects in watchers.items():
                seen[watcher].append(detects(luma, float(frame.time or 0.0)))
    count = len(seen["ours"])
    cars = name.startswith("car")
    inside, near = _truth(episodes, count, 0), _truth(episodes, count, 0 if cars else PERSON_MARGIN_FRAMES)
    active = {watcher: np.array(values) for watcher, values in seen.items()}
    late = max(_delay(active["ours"], first, last) for first, last in episodes)
    peer = f"MOG2 {active['mog2'][inside].mean():.1%}, {active['mog2'][~near].mean():.1%} outside"
    margin = "" if cars else f", {PERSON_MARGIN_FRAMES} frames of margin"
    return [
        Figure(
            f"{name}: covered",
            float(active["ours"][inside].mean() * 100),
            "%",
            95.0 if cars else None,
            "higher",
            note=peer,
        ),
        Figure(f"{name}: flagged outside{margin}", float(active["ours"][~near].mean() * 100), "%", target=2.0),
        Figure(f"{name}: latest beginning", late, "frames", target=2.0),
    ]


def _truth(episodes: tuple[tuple[int, int], ...], count: int, margin: int) -> NDArray[np.bool_]:
    truth = np.zeros(count, bool)
    for first, last in episodes:
        truth[max(0, first - margin) : last + 1 + margin] = True
    return truth


def _delay(active: NDArray[np.bool_], first: int, last: int) -> float:
    """Return the number of frames from the start of an episode to its detection; its length if it is not detected."""
    hits = np.flatnonzero(active[first : last + 1])
    return float(hits[0]) if len(hits) else float(last + 1 - first)
