"""Reading a 720p file and the synthetic scene, in milliseconds per frame.

The file source (luma only, and luma with BGR for every frame) is compared with OpenCV's ``VideoCapture.read()``, which
always converts, on the same generated clip in alternation. PyAV's single-threaded decoding is included to show the
effect of the decoder's second thread.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edge_agent.camera.file import open_file
from edge_agent.camera.settings import SourceSettings
from edge_agent.camera.synthetic import SyntheticGate
from edge_agent.types import Frame
from shared.clock import SystemClock
from tests.benchmarks.figures import Figure, interleaved_medians
from tests.support.clips import make_clip

FRAMES = 150
ROUNDS = 5


def run() -> list[Figure]:
    gate = SyntheticGate()
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "gate.mp4", (gate.render(60 + i) for i in range(FRAMES)), options={"crf": "23"})
        actions: dict[str, Callable[[], object]] = {
            "opencv": lambda: _opencv(clip),
            "luma": lambda: _source(clip, lambda frame: frame.picture.luma()),
            "luma, one thread": lambda: _source(clip, lambda frame: frame.picture.luma(), threads=1),
            "bgr": lambda: _source(clip, lambda frame: (frame.picture.luma(), frame.picture.bgr())),
            "scaled": lambda: _source(clip, lambda frame: (frame.picture.luma(), frame.picture.scaled_rgb(300, 300))),
        }
        ms = {name: seconds * 1000 / FRAMES for name, seconds in interleaved_medians(actions, rounds=ROUNDS).items()}
    render_ms = _render_ms(gate)
    return [
        Figure("OpenCV read(), 720p", ms["opencv"], "ms"),
        Figure("file source, luma", ms["luma"], "ms"),
        Figure("file source, luma, one decoder thread", ms["luma, one thread"], "ms"),
        Figure("file source, luma and BGR", ms["bgr"], "ms"),
        Figure("file source, luma and 300x300 RGB", ms["scaled"], "ms"),
        Figure("luma ÷ OpenCV", ms["luma"] / ms["opencv"], "ratio", 0.8),
        Figure("luma and BGR ÷ OpenCV", ms["bgr"] / ms["opencv"], "ratio", 1.2),
        Figure("synthetic gate, median frame", statistics.median(render_ms), "ms", 5.0),
        Figure("synthetic gate, 95th percentile", float(np.percentile(render_ms, 95)), "ms"),
    ]


def _opencv(clip: Path) -> None:
    capture = cv2.VideoCapture(str(clip))
    count = 0
    while capture.read()[0]:
        count += 1
    capture.release()
    _check(count)


def _source(clip: Path, use: Callable[[Frame], object], threads: int | None = None) -> None:
    settings = SourceSettings() if threads is None else SourceSettings(decode_threads=threads)
    source = open_file(str(clip), settings=settings, clock=SystemClock())
    count = 0
    while (frame := source.read(1.0)) is not None:
        use(frame)
        count += 1
    source.close()
    _check(count)


def _check(count: int) -> None:
    if count != FRAMES:
        raise RuntimeError(f"{count} of {FRAMES} frames were read")


def _render_ms(gate: SyntheticGate) -> list[float]:
    taken: list[float] = []
    for index in range(0, gate.frame_count, 4):
        began = time.perf_counter()
        gate.render(index)
        taken.append((time.perf_counter() - began) * 1000)
    return taken
