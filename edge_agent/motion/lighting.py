"""Estimates the change of light between the background and a frame: one gain and one offset for the whole image.

A camera that adjusts its exposure brightens or darkens the whole image. The change is estimated on a sparse grid of
pixels, with objects as outliers, and applied to the background before the frame is compared with it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

UNCHANGED_LEVELS = 0.35
"""Smaller shifts of the median pixel are left to the slow adaptation of the background."""
_INLIER_LEVELS = 6.0
_MIN_SAMPLES = 40
_STEPS = 2
_RIDGE_GAIN = 200.0
_RIDGE_OFFSET = 0.02
_GAIN_LIMITS = (0.2, 5.0)
_TUKEY_WIDTH = 4.685
_MAD_TO_SIGMA = 1.4826


class Lighting(NamedTuple):
    """``frame ≈ gain × background + offset``."""

    gain: float
    offset: float

    @property
    def shift_levels(self) -> float:
        """The size of the change: the shift of a mid-grey pixel, in levels."""
        return abs(128.0 * self.gain + self.offset - 128.0)


SAME_LIGHT = Lighting(1.0, 0.0)


def estimate_lighting(background: Samples, frame: Samples) -> Lighting:
    """Fit the change of light to paired brightness samples; return ``SAME_LIGHT`` if no change explains them better.

    The estimate is valid while objects cover less than about half of the samples. It uses Tukey's biweight, iterated
    from the median gain and regularised towards that gain where the image is too uniform to separate gain from offset.
    """
    difference = frame - background
    if len(background) < _MIN_SAMPLES:
        return SAME_LIGHT
    median = _median(difference)
    spread = float(np.mean(np.abs(difference)))
    if abs(median) < UNCHANGED_LEVELS and spread < 2.0 * UNCHANGED_LEVELS + 1.0:
        return SAME_LIGHT
    # Clipped pixels do not follow the gain.
    usable = (frame > 2.0) & (frame < 252.0) & (background > 2.0) & (background < 252.0)
    if int(usable.sum()) >= _MIN_SAMPLES:
        background, frame = background[usable], frame[usable]
    start = _first_guess(background, frame)
    fitted = _refine(background, frame, start)
    return _best(background, frame, (SAME_LIGHT, start, fitted))


def _median(values: NDArray[np.floating]) -> float:
    """Return the upper median, in a third of the time of ``numpy.median`` for this few values."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _first_guess(background: Samples, frame: Samples) -> Lighting:
    gain = _median(frame / np.maximum(background, 1.0))
    return Lighting(min(max(gain, _GAIN_LIMITS[0]), _GAIN_LIMITS[1]), 0.0)


def _refine(background: Samples, frame: Samples, start: Lighting) -> Lighting:
    gain, offset = start
    for _ in range(_STEPS):
        residual = frame - (gain * background + offset)
        centre = _median(residual)
        sigma = max(_MAD_TO_SIGMA * _median(np.abs(residual - centre)), 1.0)
        share = np.clip((residual - centre) / (_TUKEY_WIDTH * sigma), -1.0, 1.0)
        weight = (1.0 - share * share) ** 2
        total = float(weight.sum())
        if total < _MIN_SAMPLES / 4:
            return start
        weighted = weight * background
        sum_b, sum_f = float(weighted.sum()), float((weight * frame).sum())
        sum_bb = float((weighted * background).sum()) + _RIDGE_GAIN * total
        sum_bf = float((weighted * frame).sum()) + _RIDGE_GAIN * total * start.gain
        regular = total * (1.0 + _RIDGE_OFFSET)
        determinant = sum_bb * regular - sum_b * sum_b
        gain = (sum_bf * regular - sum_b * sum_f) / determinant
        offset = (sum_bb * sum_f - sum_b * sum_bf) / determinant
    return Lighting(min(max(gain, _GAIN_LIMITS[0]), _GAIN_LIMITS[1]), offset)


def _best(background: Samples, frame: Samples, candidates: tuple[Lighting, ...]) -> Lighting:
    """Return the candidate that explains the most samples. A later candidate must be clearly better to be chosen."""
    best, best_score = candidates[0], -1.0
    for candidate in candidates:
        residual = np.abs(frame - (candidate.gain * background + candidate.offset))
        # Samples are weighted by how close they are, so that an improvement of half a level is visible.
        score = float(np.mean(np.maximum(1.0 - residual / _INLIER_LEVELS, 0.0)))
        if score > best_score * 1.02 + 1e-6:
            best, best_score = candidate, score
    return best
