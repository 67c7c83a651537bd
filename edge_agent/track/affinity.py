"""How well each detection fits each track, from 0 (not at all) to 1: the grounds on which they are paired."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.candidates import Candidates
from edge_agent.track.motion_model import CENTRE, EXTENT, POSITION, VARIANCE, Floats, size_px, squared_size
from edge_agent.track.overlap import areas, shared_areas
from edge_agent.track.settings import TrackSettings
from edge_agent.track.table import TrackTable

_OTHER_CLASS = 0.9
"""What a detection of another class of the same group is worth beside one of the track's own class."""
AFTERWARDS = 1e-3
"""Factor that makes a pairing yield to any of the first rank."""
_MISSED = 0.7
_FADING_PER_S = 1.0


def similarity(table: TrackTable, found: Candidates, settings: TrackSettings) -> Floats:
    """Return how well each track's expected box fits each detection, ``(tracks, detections)``.

    The overlap of the two boxes, made wider by ``buffer_ratio`` of their size on each side so that boxes which just
    miss each other still compare (C-BIoU: Yang et al., 2023), times the overlap of their vertical extents alone,
    because heads and feet tell people in a crowd apart better than their sides do (Hybrid-SORT: Yang et al., 2024).

    It is discounted by how far the detection lies from the expected place in view of how surely that place is known
    (DeepSORT's gate, Wojke et al., 2017, made soft): right after a detection a track is held to its path, after some
    seconds out of sight it may have strayed. Vertically the nearest of top, middle and bottom counts, since somebody
    who sits down or is half hidden keeps one of them.
    """
    states = table.states
    wider = 1.0 + 2.0 * settings.buffer_ratio
    # Centres are doubled so that they compare with whole widths and heights; one subtraction then serves for overlap
    # and distance alike: two intervals share half their summed lengths less the greater of their centres' distance
    # and half their lengths' difference.
    scale = _doubled_centre(wider)
    ours, theirs = states[POSITION] * scale, found.centred * scale
    apart = np.abs(ours[:, :, None] - theirs[:, None, :])
    lengths = ours[EXTENT, :, None] + theirs[EXTENT, None, :]
    shared = lengths - np.maximum(apart[CENTRE], apart[EXTENT])
    np.maximum(shared, 0.0, out=shared)
    lengths -= 0.5 * shared
    width, height = shared
    fit = width * height
    either = (4.0 * ours[2] * ours[3])[:, None] + 4.0 * theirs[2] * theirs[3]
    either -= fit
    either *= 2.0 * lengths[1]
    fit *= height
    fit /= either
    fit *= _nearness(states, apart, wider, settings.stray_ratio)
    if not table.of_one_class(found.class_id):
        fit *= _compatible(table, found)
    return fit


@cache
def _doubled_centre(wider: float) -> Floats:
    scale = np.array([[2.0], [2.0], [wider], [wider]])
    scale.flags.writeable = False
    return scale


def _nearness(states: Floats, apart: Floats, wider: float, stray_ratio: float) -> Floats:
    """Return the discount for distance; overwrites ``apart``, the absolute differences that ``similarity`` made."""
    across, down = apart[CENTRE]
    edges = apart[3] / -wider
    edges += down
    np.minimum(down, np.abs(edges, out=edges), out=down)
    # Doubled centres have four times the variance, which is in turn taken for two standard deviations.
    variance = states[VARIANCE, CENTRE] * 16.0
    variance += squared_size(states) * (4.0 * stray_ratio**2)
    weight = (-0.5 / variance)[:, :, None]
    both = apart[CENTRE]
    both *= both
    both *= weight
    across += down
    return np.exp(across, out=across)


def precedence(table: TrackTable) -> Floats:
    """Return how much each track's claim weighs, 1 where the last update saw it and less the longer it is out of sight.

    Where two tracks meet and one detection is found, it is most likely of the one that was visible just before
    (the idea of DeepSORT's matching cascade). Tentative tracks come after all others: to
    give somebody known a new number is the worse mistake.
    """
    claim = 1.0 / (1.0 + _FADING_PER_S * table.unseen_s)
    overlooked = table.missed > 1
    if overlooked.any():
        claim[overlooked] *= _MISSED
    if not table.track_id.all():
        claim[table.track_id == 0] *= AFTERWARDS
    return claim


def reachable(
    table: TrackTable, rows: NDArray[np.intp], found: Candidates, columns: NDArray[np.intp], settings: TrackSettings
) -> Floats:
    """Return how plausible it is that a track came to where a detection is, whether or not they overlap.

    Judged by distance, in standard deviations of the track's place and in sizes, and by change of width and height;
    zero beyond any of the limits in the settings.
    """
    states = table.states[:, :, rows]
    measured = found.centred[:, columns]
    away = np.abs(states[POSITION, CENTRE][:, :, None] - measured[CENTRE][:, None, :])
    spread = np.sqrt(states[VARIANCE, CENTRE])[:, :, None]
    sigmas = np.hypot(*(away / spread)) / settings.reach_sigmas
    lengths = np.hypot(*away) / (size_px(states) * settings.reach_ratio)[:, None]
    growth = np.abs(np.log(states[POSITION, EXTENT][:, :, None] / measured[EXTENT][:, None, :])).max(axis=0)
    worst = np.maximum(np.maximum(sigmas, lengths), growth / np.log(settings.size_change))
    plausible = np.maximum(1.0 - worst, 0.0)
    plausible *= table.group[rows][:, None] == found.group[columns]
    return plausible


def covered(found: Candidates, shadow_overlap: float) -> NDArray[np.bool_]:
    """Return which weak detections lie so much within a strong one of their group that they count as parts of it."""
    boxes, strong_boxes = found.boxes[:, found.strong :], found.boxes[:, : found.strong]
    share = shared_areas(boxes, strong_boxes)
    share /= np.minimum(areas(boxes)[:, None], areas(strong_boxes))
    share *= found.group[found.strong :, None] == found.group[: found.strong]
    return share.max(axis=1, initial=0.0) >= shadow_overlap


def _compatible(table: TrackTable, found: Candidates) -> Floats:
    same_group = table.group[:, None] == found.group
    return np.where(table.class_id[:, None] == found.class_id, 1.0, same_group * _OTHER_CLASS)
