"""Affinity of detections with tracks, from 0 (none) to 1: the scores on which the assignment is based."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from math import log

import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import overlaps_any
from edge_agent.track.candidates import Candidates
from edge_agent.track.motion_model import CENTRE, EXTENT, POSITION, VARIANCE, Floats, size_px, squared_size
from edge_agent.track.settings import TrackSettings
from edge_agent.track.table import Track

OTHER_CLASS = 0.9
"""Factor for a detection of another class of the same group."""
AFTERWARDS = 1e-3
"""Factor that ranks a pair below every pair of the first rank."""
_MISSED = 0.7
_LEAP_WIDTH_GROWTH, _LEAP_HEIGHT_GROWTH = log(3.0), log(1.5)
_FADING_PER_S = 1.0
_EMERGING = log(5.0)


def similarity(states: Floats, measured: Floats, settings: TrackSettings) -> Floats:
    """Return the similarity of predicted and detected boxes by position and size, ``(tracks, detections)``, 0..1.

    It is the IoU of the two boxes, enlarged by ``buffer_ratio`` of their size on each side so that boxes that narrowly
    miss each other are comparable (C-BIoU: Yang et al., 2023), times the IoU of their vertical extents, because heads
    and feet separate people in a crowd better than their sides do (Hybrid-SORT: Yang et al., 2024).

    The product is reduced with the distance of the detection from the predicted position, in proportion to the
    uncertainty of that position (a soft version of the gate of DeepSORT: Wojke et al., 2017). Right after a detection,
    a track must follow its path; after some seconds without one, it may have strayed. The vertical distance is the
    smallest of those of top, centre and bottom, since a person who sits down or is partly hidden keeps one of them.
    """
    wider = 1.0 + 2.0 * settings.buffer_ratio
    pairwise = _terms(states[POSITION], wider)[:, :, None] - _terms(measured, wider, sign=-1.0)[:, None, :]
    apart = np.abs(pairwise[:4], out=pairwise[:4])
    # The overlap of two intervals is half the sum of their lengths, less the larger of the distance of their centres
    # and half the difference of their lengths.
    shared = pairwise[4:6]
    shared -= np.maximum(apart[:2], apart[2:])
    np.maximum(shared, 0.0, out=shared)
    across, down = shared
    tall, either = pairwise[6:]
    tall -= down
    fit = across * down
    either -= fit
    either *= tall
    fit *= down
    fit /= either
    fit *= _nearness(states, apart, wider, settings.stray_ratio)
    return fit


def _terms(position: Floats, wider: float, *, sign: float = 1.0) -> Floats:
    """Return ``(8, N)``: four terms whose pairwise difference is needed, and four whose pairwise sum is.

    The former are centre x, centre y, and half of the enlarged width and height; the latter are the same halves, the
    height and the area. ``sign`` is -1 for one of the two sides, so that a single subtraction computes both.
    """
    terms = _weights(wider, sign).dot(position)
    terms[7] *= terms[6]
    return terms


@cache
def _weights(wider: float, sign: float) -> Floats:
    half = wider / 2.0
    weights = np.zeros((8, 4))
    weights[[0, 1], [0, 1]] = 1.0
    weights[[2, 3], [2, 3]] = half
    weights[[4, 5], [2, 3]] = half * sign
    weights[6, 3] = wider * sign
    weights[7, 2] = wider
    weights.flags.writeable = False
    return weights


def _nearness(states: Floats, apart: Floats, wider: float, stray_ratio: float) -> Floats:
    """Return the factor for distance, 0..1; overwrites ``apart``, the absolute differences from ``similarity``."""
    down, edges = apart[1], apart[3]
    edges *= 1.0 / wider
    edges -= down
    np.abs(edges, out=edges)
    np.minimum(down, edges, out=down)
    centre = apart[CENTRE]
    centre *= centre
    # The variance is the same in both directions; two standard deviations are used.
    spread = states[VARIANCE, 0] * 4.0
    spread += squared_size(states) * stray_ratio**2
    distance = centre[0] + centre[1]
    distance *= (-0.5 / spread)[:, None]
    return np.exp(distance, out=distance)


def precedence(track: Track) -> float:
    """Return the weight of a track's pairs: 1 if the last update detected it, and less the longer it is undetected.

    Where two tracks meet and there is one detection, it most likely belongs to the track that was visible just before
    (as in DeepSORT's matching cascade). Tentative tracks rank below all others, because giving a confirmed track a new
    id is the worse error.
    """
    claim = 1.0 / (1.0 + _FADING_PER_S * track.unseen_s)
    if track.missed > 1:
        claim *= _MISSED
    return claim if track.track_id else claim * AFTERWARDS


def reachable(states: Floats, measured: Floats, settings: TrackSettings, *, hidden: NDArray[np.bool_]) -> Floats:
    """Return how plausible it is that each track has moved to each detection, ``(tracks, detections)``, 0..1.

    Overlap is not required. The value depends on the distance, in standard deviations of the track's position and in
    object sizes, and on the change of width and height; it is 0 beyond any of the limits in the settings. Tracks whose
    object was ``hidden`` (one flag per track) may reappear narrower, but as high as before.
    """
    position = states[POSITION]
    away = np.abs(position[CENTRE, :, None] - measured[CENTRE, None, :])
    spread = np.sqrt(states[VARIANCE, CENTRE])[:, :, None]
    sigmas = np.hypot(*(away / spread)) / settings.reach_sigmas
    lengths = np.hypot(*away) / (size_px(states) * settings.reach_ratio)[:, None]
    shrunk = np.log(position[EXTENT, :, None] / measured[EXTENT, None, :])
    shrunk[0, hidden] = np.where((shrunk[0, hidden] > 0.0) & (shrunk[0, hidden] < _EMERGING), 0.0, shrunk[0, hidden])
    growth = np.abs(shrunk).max(axis=0)
    worst = np.maximum(np.maximum(sigmas, lengths), growth / np.log(settings.size_change))
    return np.maximum(1.0 - worst, 0.0)


def leapable(states: Floats, measured: Floats, max_sizes: Floats) -> NDArray[np.bool_]:
    """Return which detections each track with a single detection may have moved to, ``(tracks, detections)``.

    ``max_sizes``: maximum distance of each track in object sizes. Heights must be similar; widths may differ more,
    since the edge of the image truncates objects that enter from the side.
    """
    position = states[POSITION]
    lengths = np.hypot(*(position[CENTRE, :, None] - measured[CENTRE, None, :]))
    growth = np.abs(np.log(position[EXTENT, :, None] / measured[EXTENT, None, :]))
    size = size_px(states)
    near = (lengths >= 0.5 * size[:, None]) & (lengths <= (size * max_sizes)[:, None])
    return near & (growth[0] <= _LEAP_WIDTH_GROWTH) & (growth[1] <= _LEAP_HEIGHT_GROWTH)


def distances(states: Floats, measured: Floats) -> Floats:
    """Return the distances in pixels of the predicted from the detected centres, ``(tracks, detections)``."""
    return np.hypot(*(states[POSITION][CENTRE, :, None] - measured[CENTRE, None, :]))


def mutually_nearest(away: Floats, *, few: int, ratio: float) -> NDArray[np.bool_]:
    """Return the pairs in which each is the only possible partner of the other, or clearly the nearest one.

    ``away`` holds distances ``(rows, columns)``, infinite where a pair is impossible. Clearly: at most ``ratio`` times
    the distance of the second nearest (Lowe's ratio test). Raising ``ratio`` gives more pairs and more errors. With
    more than ``few`` rows or columns, only pairs without alternatives are returned.
    """
    possible = np.isfinite(away)
    alone = possible & (possible.sum(axis=1) == 1)[:, None] & (possible.sum(axis=0) == 1)
    if max(away.shape) > few:
        return alone
    clear = possible.copy()
    for axis in (0, 1):
        ordered = np.sort(away, axis=axis)
        nearest = ordered.take([0], axis=axis)
        following = ordered.take([1], axis=axis) if away.shape[axis] > 1 else np.full_like(nearest, np.inf)
        clear &= (away == nearest) & (nearest <= ratio * following)
    return alone | clear


def covered(candidates: Candidates, weak: int, shadow_overlap: float) -> bool:
    """Return whether a strong detection of the same group covers so much of a weak one that it is a part of it."""
    group = candidates.group[weak]
    strong = zip(candidates.boxes[: candidates.strong], candidates.group, strict=False)
    return overlaps_any(candidates.boxes[weak], [box for box, own in strong if own == group], shadow_overlap)


def shadowed(track: Track, others: Iterable[Track], shadow_overlap: float) -> bool:
    """Return whether a confirmed, visible track covers so much of a tentative one that it is a second box."""
    rivals = (other for other in others if other.track_id > 0 and other.missed == 0 and other.group == track.group)
    return overlaps_any(track.seen, (other.seen for other in rivals), shadow_overlap)
