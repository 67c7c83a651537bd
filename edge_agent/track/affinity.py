"""How well each detection fits each track, from 0 (not at all) to 1: the grounds on which they are paired."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.track.candidates import Candidates
from edge_agent.track.motion_model import CENTRE, EXTENT, POSITION, VARIANCE, Floats, size_px
from edge_agent.track.overlap import buffered_similarity
from edge_agent.track.settings import TrackSettings
from edge_agent.track.table import TrackTable, centred

_OTHER_CLASS = 0.9
"""What a detection of another class of the same group is worth beside one of the track's own class."""
_MISSED = 0.7
_FADING_PER_S = 1.0


def similarity(table: TrackTable, found: Candidates, settings: TrackSettings) -> Floats:
    """Return the buffered overlap of each track's expected box with each detection, ``(tracks, detections)``.

    It is discounted by how far the detection lies from the expected place in view of how surely that place is known
    (DeepSORT's gate, Wojke et al., 2017, made soft): right after a detection a track is held to its path, after some
    seconds out of sight it may have strayed. Vertically the nearest of top, middle and bottom counts, since somebody
    who sits down or is half hidden keeps one of them.
    """
    states = table.states
    expected = table.boxes()
    fit = buffered_similarity(expected, found.boxes, settings.buffer_ratio)
    middle = states[POSITION, CENTRE]
    away = np.abs(expected[:, :, None] - found.boxes[:, None, :])
    across, down = np.abs(middle[:, :, None] - ((found.boxes[:2] + found.boxes[2:]) * 0.5)[:, None, :])
    np.minimum(down, np.minimum(away[1], away[3]), out=down)
    slack = -2.0 * ((settings.stray_ratio * size_px(states)) ** 2 + 4.0 * states[VARIANCE, CENTRE])
    across *= across
    across /= slack[0, :, None]
    down *= down
    down /= slack[1, :, None]
    across += down
    fit *= np.exp(across, out=across)
    fit *= _compatible(table, found)
    return fit


def precedence(table: TrackTable) -> Floats:
    """Return how much each track's claim weighs, 1 where the last update saw it and less the longer it is out of sight.

    Where two tracks meet and one detection is found, it is most likely of the one that was visible just before
    (the idea of DeepSORT's matching cascade).
    """
    return np.where(table.missed > 1, _MISSED, 1.0) / (1.0 + _FADING_PER_S * table.unseen_s)


def reachable(
    table: TrackTable, rows: NDArray[np.intp], found: Candidates, columns: NDArray[np.intp], settings: TrackSettings
) -> Floats:
    """Return how plausible it is that a track came to where a detection is, whether or not they overlap.

    Judged by distance, in standard deviations of the track's place and in sizes, and by change of width and height;
    zero beyond any of the limits in the settings.
    """
    states = table.states[:, :, rows]
    measured = centred(found.boxes[:, columns])
    away = np.abs(states[POSITION, CENTRE][:, :, None] - measured[CENTRE][:, None, :])
    spread = np.sqrt(states[VARIANCE, CENTRE])[:, :, None]
    sigmas = np.hypot(*(away / spread)) / settings.reach_sigmas
    lengths = np.hypot(*away) / (size_px(states) * settings.reach_ratio)[:, None]
    growth = np.abs(np.log(states[POSITION, EXTENT][:, :, None] / measured[EXTENT][:, None, :])).max(axis=0)
    worst = np.maximum(np.maximum(sigmas, lengths), growth / np.log(settings.size_change))
    plausible = np.maximum(1.0 - worst, 0.0)
    plausible *= table.group[rows][:, None] == found.group[columns]
    return plausible


def _compatible(table: TrackTable, found: Candidates) -> Floats | float:
    same_class = table.class_id[:, None] == found.class_id
    if same_class.all():
        return 1.0
    return np.where(same_class, 1.0, (table.group[:, None] == found.group) * _OTHER_CLASS)
