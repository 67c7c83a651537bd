"""How well each detection fits each track, from 0 (not at all) to 1: the grounds on which they are paired."""

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
"""What a detection of another class of the same group is worth beside one of the track's own class."""
AFTERWARDS = 1e-3
"""Factor that makes a pairing yield to any of the first rank."""
_MISSED = 0.7
_LEAP_WIDTH_GROWTH, _LEAP_HEIGHT_GROWTH = log(3.0), log(1.5)
_FADING_PER_S = 1.0
_EMERGING = log(5.0)


def similarity(states: Floats, measured: Floats, settings: TrackSettings) -> Floats:
    """Return how well each track's expected box fits each detection, ``(tracks, detections)``, by place and size alone.

    The overlap of the two boxes, made wider by ``buffer_ratio`` of their size on each side so that boxes which just
    miss each other still compare (C-BIoU: Yang et al., 2023), times the overlap of their vertical extents alone,
    because heads and feet separate people in a crowd better than their sides do (Hybrid-SORT: Yang et al., 2024).

    It is discounted by how far the detection lies from the expected place in view of how surely that place is known
    (DeepSORT's gate, Wojke et al., 2017, made soft): right after a detection a track is held to its path, after some
    seconds out of sight it may have strayed. Vertically the nearest of top, middle and bottom counts, since somebody
    who sits down or is half hidden keeps one of them.
    """
    wider = 1.0 + 2.0 * settings.buffer_ratio
    pairwise = _terms(states[POSITION], wider)[:, :, None] - _terms(measured, wider, sign=-1.0)[:, None, :]
    apart = np.abs(pairwise[:4], out=pairwise[:4])
    # Two intervals share half their summed lengths less the greater of their centres' distance and half their lengths'
    # difference.
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
    """Return ``(8, N)``: what differs between two boxes (four rows) and what they make together (four more).

    Centre x and y, half the widened width and height to compare; the same halves, the height and the area to sum, with
    ``sign``, since one subtraction for all pairs is to do both.
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
    """Return the discount for distance; overwrites ``apart``, the absolute differences that ``similarity`` made."""
    down, edges = apart[1], apart[3]
    edges *= 1.0 / wider
    edges -= down
    np.abs(edges, out=edges)
    np.minimum(down, edges, out=down)
    centre = apart[CENTRE]
    centre *= centre
    # The variance, the same in both directions, is taken for that of two standard deviations.
    spread = states[VARIANCE, 0] * 4.0
    spread += squared_size(states) * stray_ratio**2
    distance = centre[0] + centre[1]
    distance *= (-0.5 / spread)[:, None]
    return np.exp(distance, out=distance)


def precedence(track: Track) -> float:
    """Return how much a track's claim weighs, 1 where the last update saw it and less the longer it is out of sight.

    Where two tracks meet and one detection is found, it is most likely of the one that was visible just before
    (the idea of DeepSORT's matching cascade). Tentative tracks come after all others: to
    give somebody known a new number is the worse mistake.
    """
    claim = 1.0 / (1.0 + _FADING_PER_S * track.unseen_s)
    if track.missed > 1:
        claim *= _MISSED
    return claim if track.track_id else claim * AFTERWARDS


def reachable(states: Floats, measured: Floats, settings: TrackSettings, *, hidden: NDArray[np.bool_]) -> Floats:
    """Return how plausible it is that a track came to where a detection is, whether or not they overlap.

    Judged by distance, in standard deviations of the track's place and in sizes, and by change of width and height;
    zero beyond any of the limits in the settings. Those who were ``hidden`` by something, one flag a track, may come
    out of it a part at a time: narrower, yet as high as before.
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


def leapable(states: Floats, measured: Floats, most_sizes: Floats) -> NDArray[np.bool_]:
    """Return which detections each track, seen but once, may have got to by moving ``most_sizes`` at most, one a track.

    Heights are alike; widths may differ by more, since the picture's edge cuts what comes in sideways.
    """
    position = states[POSITION]
    lengths = np.hypot(*(position[CENTRE, :, None] - measured[CENTRE, None, :]))
    growth = np.abs(np.log(position[EXTENT, :, None] / measured[EXTENT, None, :]))
    size = size_px(states)
    near = (lengths >= 0.5 * size[:, None]) & (lengths <= (size * most_sizes)[:, None])
    return near & (growth[0] <= _LEAP_WIDTH_GROWTH) & (growth[1] <= _LEAP_HEIGHT_GROWTH)


def distances(states: Floats, measured: Floats) -> Floats:
    """Return how far each detection's centre is from each track's expected one, ``(tracks, detections)``, in pixels."""
    return np.hypot(*(states[POSITION][CENTRE, :, None] - measured[CENTRE, None, :]))


def mutually_nearest(away: Floats, *, few: int, ratio: float) -> NDArray[np.bool_]:
    """Return the pairs of which each is the other's only possible one, or clearly its nearest (Lowe's ratio test).

    ``away`` is ``(rows, columns)``, infinite where a pair is impossible. Clearly: at most ``ratio`` times as far as the
    next; raising it pairs more, and mistakes more. With more than ``few`` rows or columns only what is alone is paired.
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


def covered(found: Candidates, weak: int, shadow_overlap: float) -> bool:
    """Return whether a weak detection lies so much within a strong one of its group that it counts as a part of it."""
    group = found.group[weak]
    strong = zip(found.boxes[: found.strong], found.group, strict=False)
    return overlaps_any(found.boxes[weak], [box for box, own in strong if own == group], shadow_overlap)


def shadowed(track: Track, others: Iterable[Track], shadow_overlap: float) -> bool:
    """Return whether a tentative track lies so much within an established one in sight that it is a part of it."""
    rivals = (other for other in others if other.track_id > 0 and other.missed == 0 and other.group == track.group)
    return overlaps_any(track.seen, (other.seen for other in rivals), shadow_overlap)
