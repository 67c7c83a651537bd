"""Detects faulty camera images: frozen, covered, black, overexposed and garbled.

Depends on the images and their times only. May import numpy and OpenCV.
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
"""Texts for the user; ``seconds`` is the time for which the fault has lasted."""

_SAMPLES = 20_000
"""Number of pixels that are compared individually: enough to measure a fraction of a thousandth."""
_LARGE_PX = 1280
"""Wider images are subsampled first."""
_SHRINK, _SHRINK_TINY, _TINY_PX = 8, 4, 256
"""Factors of averaging in each direction, which remove noise and keep visible detail; the second for tiny images."""
_AVERAGING = 0.25
"""Weight of the newest image in the running average, in which noise fades and static detail remains."""
_MARGIN_RATIO = 0.1
"""Height of the upper and lower margin that is ignored, since cameras draw clocks and names there."""
_REACH_PX = 2
_LEAST_DETAIL = 6
"""Minimum number of averaged pixels with contrast; a single lamp at night is enough."""
_CHANGED_LEVELS = 2
"""Minimum difference of a changed pixel; smaller ones are caused by encoding."""
_DARK_LEVEL, _BRIGHT_LEVEL = 45.0, 210.0
_GREY = 128
"""The value that FFmpeg fills in for missing image data."""
_BLOCK_PX = 16
_LINE_STEP, _LINES = 8, 48
_STEP_LIMIT = 32
_FLAT_STEP = 0.4
"""Pictures with less difference between neighbouring pixels than this are too uniform for blocks to be detected."""
_DAMAGED_RATIO = 0.3
_LONGEST_INTERVALS = 3.0
"""Maximum number of intervals that a pause between samples counts for, since the image is unknown during it."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """The measurements of one image."""

    mean: float
    """Mean brightness, 0..255."""
    small: NDArray[np.float32]
    """The image, downscaled by averaging."""
    grey_ratio: float
    """Fraction of pixels with exactly the grey that decoders fill in, 0..1."""
    blockiness: float
    """Ratio of steps at block borders to steps elsewhere, in the less blocky direction; about 1 for an intact image."""
    sample: NDArray[np.uint8]
    """Evenly spaced original pixels, with their noise."""


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
    """Average blocks of ``factor`` by ``factor`` pixels; incomplete blocks at the right and bottom are dropped."""
    width, height = max(1, luma.shape[1] // factor), max(1, luma.shape[0] // factor)
    whole = luma[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _lines(luma: Luma) -> Luma:
    """Return evenly spaced rows."""
    step = max(_LINE_STEP, luma.shape[0] // _LINES)
    return np.ascontiguousarray(luma[step // 2 :: step])


def detail_pixels(small: NDArray[np.float32], *, levels: float) -> int:
    """Count the pixels of a downscaled image that differ from their surroundings by at least ``levels``."""
    height, width = small.shape
    margin = round(height * _MARGIN_RATIO) + _REACH_PX
    apart = cv2.absdiff(small, cv2.blur(small, (2 * _REACH_PX + 1, 2 * _REACH_PX + 1)))
    # Pixels at the border have surroundings on one side only, so a smooth gradient would count as detail there.
    return int(np.count_nonzero(apart[margin : height - margin, _REACH_PX : width - _REACH_PX] >= levels))


def _blockiness(lines: Luma) -> float:
    """Return the ratio of the step at the strongest of sixteen phases to the median; 1 if it cannot be measured."""
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
    """Measures how long a condition has held, from the first sample that showed it."""

    seconds: float = 0.0
    holds: bool = False

    def update(self, holds: bool, elapsed_s: float) -> float:
        """Add a sample; return the seconds for which the condition has held without interruption."""
        self.seconds = self.seconds + elapsed_s if holds and self.holds else 0.0
        self.holds = holds
        return self.seconds


class PictureHealth:
    """Judges the images of one camera. A fault starts and ends after the durations in the settings."""

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
        """The current fault; None while the image is intact."""
        return self._fault

    @property
    def text(self) -> str | None:
        """The text of the current fault for the user; None while there is none."""
        return None if self._fault is None else FAULT_TEXTS[self._fault].format(seconds=self._lasted_s)

    def due(self, time_s: float) -> bool:
        """Return whether the next sample is due, by the interval in the settings."""
        return self._settings.enabled and (
            self._last_s is None or abs(time_s - self._last_s) >= self._settings.interval_s
        )

    def observe(self, luma: Luma, *, time_s: float, damaged_ratio: float = 0.0) -> PictureFault | None:
        """Judge the image at ``time_s``; return the current fault.

        ``damaged_ratio``: fraction of recent pictures that could not be decoded, 0..1.
        """
        settings = self._settings
        longest_s = _LONGEST_INTERVALS * settings.interval_s
        elapsed_s = 0.0 if self._last_s is None else min(max(0.0, time_s - self._last_s), longest_s)
        self._last_s = time_s
        measured = measure(luma)
        bare = self._is_bare(measured.small)
        grey = measured.grey_ratio >= settings.grey_ratio
        self._blockiness += _AVERAGING * (measured.blockiness - self._blockiness)
        garbled = grey or damaged_ratio >= _DAMAGED_RATIO or self._blockiness >= settings.blockiness
        unchanged = not self._changed(measured.sample)
        self._unchanged_s = self._unchanged_s + elapsed_s if unchanged else 0.0
        runs: list[tuple[PictureFault, float, float]] = [
            ("garbled", self._garbled.update(garbled, elapsed_s), settings.garbled_after_s),
            (_bare_fault(measured.mean), self._bare.update(bare, elapsed_s), settings.no_detail_after_s),
            ("frozen", self._unchanged_s, settings.frozen_after_s),
        ]
        begun = next(((fault, lasted_s) for fault, lasted_s, after_s in runs if lasted_s >= after_s), None)
        sound_s = self._sound.update(not (garbled or bare or unchanged), elapsed_s)
        if begun is not None:
            self._fault, self._lasted_s = begun
        elif self._fault is not None and sound_s >= settings.recover_after_s:
            self._fault = None
        return self._fault

    def _is_bare(self, small: NDArray[np.float32]) -> bool:
        """Return whether a single image or the running average has no detail.

        A single image contains noise, and the average still shows the scene shortly after a lens was covered.
        """
        before = self._average
        average = small if before is None or before.shape != small.shape else before
        average = np.asarray(average + _AVERAGING * (small - average), np.float32)
        self._average = average
        levels = self._settings.detail_levels
        return min(detail_pixels(small, levels=levels), detail_pixels(average, levels=levels)) < _LEAST_DETAIL

    def _changed(self, sample: NDArray[np.uint8]) -> bool:
        """Compare with the image of the last change, so that slow changes add up."""
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
