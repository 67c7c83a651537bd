"""Whether a camera's picture shows anything: frozen, covered, black, overexposed and garbled pictures are found.

Pure: pictures and their times in, a verdict out. May import numpy and OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.camera.settings import PictureHealthSettings
from edge_agent.types import Luma

PictureFault = Literal["frozen", "covered", "black", "overexposed", "garbled"]

FAULT_TEXTS: dict[PictureFault, str] = {
    "frozen": "the picture has not changed for {seconds:.0f} s; the camera may have hung",
    "covered": "the picture shows no detail; the lens may be covered, out of focus or fogged",
    "black": "the picture is black; the lens may be covered, or the scene has no light",
    "overexposed": "the picture is white; the camera is dazzled or its exposure fails",
    "garbled": "the picture is garbled; packets are lost, or the camera sends a damaged stream",
}
"""What each fault means to the person who mounted the camera; ``seconds`` is for how long it has lasted."""

_SAMPLES = 20_000
"""Pixels that are compared one by one: enough for a share of a thousandth."""
_LARGE_PX = 1280
"""A wider picture is thinned out first."""
_SHRINK, _SHRINK_TINY, _TINY_PX = 8, 4, 256
"""Averaging this many pixels each way, at least, takes noise away and leaves what a person would call detail."""
_AVERAGING = 0.25
"""Share of the newest picture in the average over time, in which noise fades and what stands still remains."""
_MARGIN_RATIO = 0.1
"""Clocks and names that a camera writes into its picture stand at the upper and lower edge, and are no detail."""
_REACH_PX = 2
_LEAST_DETAIL = 6
"""So many small pixels must stand out; one lamp at night is enough."""
_CHANGED_LEVELS = 2
"""A pixel that differs by less has been coded anew, not changed."""
_DARK_LEVEL, _BRIGHT_LEVEL = 45.0, 210.0
_GREY = 128
"""What FFmpeg fills in for pictures that it never got."""
_BLOCK_PX = 16
_LINE_STEP, _LINES = 8, 48
_STEP_LIMIT = 32
_FLAT_STEP = 0.4
"""Pictures with less difference between neighbouring pixels than this are too uniform for blocks to be detected."""
_DAMAGED_RATIO = 0.3
_LONGEST_INTERVALS = 3.0
"""A pause between samples counts as no more than so many intervals: nothing is known of what was in it."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one picture measures."""

    mean: float
    """Average brightness, 0..255."""
    small: NDArray[np.float32]
    """The picture shrunk by averaging."""
    grey_ratio: float
    """Share of pixels that are exactly the grey that a decoder fills in."""
    blockiness: float
    """Steps at block borders against steps elsewhere, of the less blocky direction; about 1 for a sound picture."""
    sample: NDArray[np.uint8]
    """Some pixels, spread evenly, as they are: with their noise."""


def measure(luma: Luma) -> Measurement:
    """Measure a brightness plane ``(height, width)`` of any size."""
    height, width = luma.shape
    step = max(1, round((height * width / _SAMPLES) ** 0.5))
    sample = np.ascontiguousarray(luma[::step, ::step])
    coarse = luma[:: max(1, width // _LARGE_PX), :: max(1, width // _LARGE_PX)]
    small = _shrunk(coarse, _SHRINK if width >= _TINY_PX else _SHRINK_TINY)
    return Measurement(
        mean=float(small.mean()),
        small=small,
        grey_ratio=float(np.count_nonzero(sample == _GREY)) / sample.size,
        blockiness=min(_blockiness(_lines(luma)), _blockiness(_lines(luma.T))),
        sample=sample,
    )


def _shrunk(luma: Luma, factor: int) -> NDArray[np.float32]:
    """Average ``factor`` by ``factor`` pixels; what is left over at the right and below is left out."""
    width, height = max(1, luma.shape[1] // factor), max(1, luma.shape[0] // factor)
    whole = luma[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _lines(luma: Luma) -> Luma:
    """Return some rows, spread evenly."""
    step = max(_LINE_STEP, luma.shape[0] // _LINES)
    return np.ascontiguousarray(luma[step // 2 :: step])


def detail_pixels(small: NDArray[np.float32], *, levels: float) -> int:
    """Count the pixels of a shrunk picture that stand out from their surroundings by so many brightness levels."""
    height, width = small.shape
    margin = round(height * _MARGIN_RATIO) + _REACH_PX
    apart = cv2.absdiff(small, cv2.blur(small, (2 * _REACH_PX + 1, 2 * _REACH_PX + 1)))
    # At the border of the picture there are no surroundings on one side: a smooth glow would stand out there.
    return int(np.count_nonzero(apart[margin : height - margin, _REACH_PX : width - _REACH_PX] >= levels))


def _blockiness(lines: Luma) -> float:
    """Return the step at the strongest of sixteen phases against the usual one; 1 where nothing can be measured."""
    blocks = (lines.shape[1] - 1) // _BLOCK_PX
    if blocks < 4 or not lines.shape[0]:
        return 1.0
    used = lines[:, : blocks * _BLOCK_PX + 1]
    steps = np.minimum(cv2.absdiff(used[:, 1:], used[:, :-1]), _STEP_LIMIT)
    phases = steps.sum(axis=0, dtype=np.int32).reshape(-1, _BLOCK_PX).mean(axis=0) / len(steps)
    usual = float(np.median(phases))
    return float(phases.max()) / usual if usual >= _FLAT_STEP else 1.0


@dataclass(slots=True)
class _Run:
    """For how long something has been so, from the first sample that showed it."""

    seconds: float = 0.0
    so: bool = False

    def go_on(self, so: bool, elapsed_s: float) -> float:
        self.seconds = self.seconds + elapsed_s if so and self.so else 0.0
        self.so = so
        return self.seconds


class PictureHealth:
    """Judges one camera's pictures. A fault begins after it has lasted its seconds, and ends after sound ones."""

    def __init__(self, settings: PictureHealthSettings) -> None:
        self._settings = settings
        self._reference: NDArray[np.uint8] | None = None
        self._average: NDArray[np.float32] | None = None
        self._blockiness = 1.0
        self._last_s: float | None = None
        self._bare, self._garbled, self._sound = _Run(), _Run(), _Run()
        self._unchanged_s = 0.0
        self._fault: PictureFault | None = None
        self._lasted_s = 0.0

    @property
    def fault(self) -> PictureFault | None:
        """What is wrong with the picture now; None while it is sound."""
        return self._fault

    @property
    def text(self) -> str | None:
        """The fault in words."""
        return None if self._fault is None else FAULT_TEXTS[self._fault].format(seconds=self._lasted_s)

    def due(self, time_s: float) -> bool:
        """Return whether the next sample is to be taken; one a second is enough."""
        return self._settings.enabled and (
            self._last_s is None or abs(time_s - self._last_s) >= self._settings.interval_s
        )

    def observe(self, luma: Luma, *, time_s: float, damaged_ratio: float = 0.0) -> PictureFault | None:
        """Judge the picture of ``time_s``; ``damaged_ratio`` is the share of recent pictures that did not decode."""
        settings = self._settings
        longest_s = _LONGEST_INTERVALS * settings.interval_s
        elapsed_s = 0.0 if self._last_s is None else min(max(0.0, time_s - self._last_s), longest_s)
        self._last_s = time_s
        found = measure(luma)
        bare = self._is_bare(found.small)
        grey = found.grey_ratio >= settings.grey_ratio
        self._blockiness += _AVERAGING * (found.blockiness - self._blockiness)
        garbled = grey or damaged_ratio >= _DAMAGED_RATIO or self._blockiness >= settings.blockiness
        unchanged = not self._changed(found.sample)
        self._unchanged_s = self._unchanged_s + elapsed_s if unchanged else 0.0
        runs: list[tuple[PictureFault, float, float]] = [
            ("garbled", self._garbled.go_on(garbled, elapsed_s), settings.garbled_after_s),
            (_bare_fault(found.mean), self._bare.go_on(bare, elapsed_s), settings.no_detail_after_s),
            ("frozen", self._unchanged_s, settings.frozen_after_s),
        ]
        begun = next(((fault, lasted_s) for fault, lasted_s, after_s in runs if lasted_s >= after_s), None)
        sound_s = self._sound.go_on(not (garbled or bare or unchanged), elapsed_s)
        if begun is not None:
            self._fault, self._lasted_s = begun
        elif self._fault is not None and sound_s >= settings.recover_after_s:
            self._fault = None
        return self._fault

    def _is_bare(self, small: NDArray[np.float32]) -> bool:
        """Noise stands out in a single picture, a lens that was just covered does not in the average: look at both."""
        before = self._average
        average = small if before is None or before.shape != small.shape else before
        average = np.asarray(average + _AVERAGING * (small - average), np.float32)
        self._average = average
        levels = self._settings.detail_levels
        return min(detail_pixels(small, levels=levels), detail_pixels(average, levels=levels)) < _LEAST_DETAIL

    def _changed(self, sample: NDArray[np.uint8]) -> bool:
        """Compare with the picture in which the last change was: changes that creep add up."""
        reference = self._reference
        if reference is not None and reference.shape == sample.shape:
            changed = np.count_nonzero(cv2.absdiff(sample, reference) >= _CHANGED_LEVELS)
            if changed <= self._settings.frozen_changed_ratio * sample.size:
                return False
        self._reference = sample
        return True


def _bare_fault(mean: float) -> PictureFault:
    if mean <= _DARK_LEVEL:
        return "black"
    return "overexposed" if mean >= _BRIGHT_LEVEL else "covered"
