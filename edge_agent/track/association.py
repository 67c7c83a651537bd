"""Matches detections with tracks: by overlap, then by plausible distance, then for objects that are very fast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge_agent.boxes import box_iou, overlaps_any
from edge_agent.track.affinity import (
    AFTERWARDS,
    OTHER_CLASS,
    covered,
    distances,
    leapable,
    mutually_nearest,
    precedence,
    reachable,
    similarity,
)
from edge_agent.track.assignment import Offer, assign
from edge_agent.track.candidates import Candidates
from edge_agent.track.classes import ClassGroups
from edge_agent.track.motion_model import CENTRE, POSITION, corners
from edge_agent.track.settings import TrackSettings
from edge_agent.track.table import Pairs, TrackTable

_MAX_LEAP_S, _MAX_LEAP_SIZES = 0.5, 6.0
"""Maximum duration of a leap, and its maximum length in object sizes."""
_LEAP_FEW, _LEAP_RATIO = 3, 0.75
"""Among at most this many tracks or detections, a leap to the nearest one is accepted if the distance is at most this
fraction of the distance to any other."""
_CLAIM_SIZES = 0.7
"""A detection closer than this to a confirmed track, in sizes of that track, is never the end of a leap."""
_SAME_BOX_IOU = 0.65
"""Minimum IoU of two boxes of the same object when the detector gives it different classes."""


class Associator:
    """Decides which detection continues which track. Holds no state between frames."""

    def __init__(self, settings: TrackSettings, *, labels: Sequence[str]) -> None:
        self._settings = settings
        self._same_box_groups = ClassGroups(labels=labels, confusable=settings.same_box_classes)

    def match(self, table: TrackTable, candidates: Candidates) -> tuple[Pairs, Pairs]:
        """Return the pairs that continue a track's path, and the leaps, which restart a track's path."""
        pairs = assign(self._overlap_offers(table, candidates))
        pairs += self._recoveries(table, candidates, pairs)
        return pairs, self._leaps(table, candidates, pairs)

    def _overlap_offers(self, table: TrackTable, candidates: Candidates) -> list[Offer]:
        """Return the overlapping pairs with their gains.

        Confirmed tracks with strong detections rank first, then confirmed tracks with weak ones, then tentative tracks.
        One assignment covers all ranks, as the gain of a lower rank is negligible against that of a higher one.
        """
        settings, tracks, strong = self._settings, table.tracks, candidates.strong
        weak = len(candidates) - strong
        min_fit = [settings.min_similarity] * strong + [settings.min_weak_similarity] * weak
        rank = [1.0] * strong + [AFTERWARDS] * weak
        claim = [precedence(track) for track in tracks]
        fits = similarity(table.states, candidates.centred, settings).ravel()
        likely = (fits > min(settings.min_similarity, settings.min_weak_similarity)).nonzero()[0]
        offers: list[Offer] = []
        for place, fit in zip(likely.tolist(), fits.take(likely).tolist(), strict=True):
            row, column = divmod(place, strong + weak)
            worth = fit
            if candidates.class_id[column] != tracks[row].class_id:
                worth *= OTHER_CLASS if candidates.group[column] == tracks[row].group else 0.0
            gain = (worth - min_fit[column]) * rank[column] * claim[row]
            if gain > 0.0 and (column < strong or tracks[row].track_id):
                offers.append((row, column, gain))
        if weak == 0:
            return offers
        weak_columns = {column for _, column, _ in offers if column >= strong}
        parts = {column for column in weak_columns if covered(candidates, column, settings.shadow_overlap)}
        return [offer for offer in offers if offer[1] not in parts]

    def _recoveries(self, table: TrackTable, candidates: Candidates, pairs: Pairs) -> Pairs:
        """Match the remaining strong detections with the remaining tracks, without requiring overlap by IoU.

        Confirmed tracks that were detected in the previous update and whose predicted box largely covers the detection,
        or the reverse, rank first: a pair of headlights becomes a car, a person stands up behind a table. Tracks that
        may have moved to the detection rank second. A detection of another class group continues a track only with the
        same box and if the detector confuses the two classes; the class of the track is then decided by its votes.
        """
        spare = unmatched((column for _, column in pairs), candidates.strong)
        free = unmatched((row for row, _ in pairs), len(table)) if spare else []
        if not free:
            return []
        states, measured = table.states.take(free, axis=2), candidates.centred.take(spare, axis=1)
        fit = similarity(states, measured, self._settings)
        hidden = np.array([table.tracks[row].hidden for row in free])
        reach = reachable(states, measured, self._settings, hidden=hidden)
        predicted = corners(states[POSITION]).tolist()
        offers: list[Offer] = []
        for place, row in enumerate(free):
            track = table.tracks[row]
            just_detected = track.missed == 1
            for other, column in enumerate(spare):
                box = candidates.boxes[column]
                if candidates.group[column] != track.group:
                    groups = self._same_box_groups.of((track.class_id, candidates.class_id[column]))
                    same = just_detected and groups[0] == groups[1]
                    if same and box_iou(predicted[place], box) >= _SAME_BOX_IOU:
                        offers.append((row, column, float(fit[place, other]) * OTHER_CLASS))
                    continue
                gain = float(reach[place, other]) * AFTERWARDS
                confirmed = track.track_id > 0
                if (
                    confirmed
                    and just_detected
                    and overlaps_any(predicted[place], (box,), self._settings.shadow_overlap)
                ):
                    gain = float(fit[place, other])
                if gain > 0.0:
                    offers.append((row, column, gain))
        return assign(offers)

    def _leaps(self, table: TrackTable, candidates: Candidates, pairs: Pairs) -> Pairs:
        """Match tracks whose only detection was in the previous update with distant strong detections.

        Only unambiguous pairs are returned: neither has another possible partner or, among a few, each is clearly the
        nearest of the other. An object that crosses the image in half a second is usually the only one that does, while
        flickering detections have many possible partners.
        """
        settings, tracks = self._settings, table.tracks
        spare = unmatched((column for _, column in pairs), candidates.strong)
        matched = {row for row, _ in pairs}
        fresh = [
            row
            for row, track in enumerate(tracks)
            if track.hits == 1 and track.missed == 1 and 0.0 < track.unseen_s <= _MAX_LEAP_S and row not in matched
        ]
        if not fresh or not spare or settings.leap_speed == 0.0:
            return []
        states, measured = table.states.take(fresh, axis=2), candidates.centred.take(spare, axis=1)
        max_sizes = np.array([min(settings.leap_speed * tracks[row].unseen_s, _MAX_LEAP_SIZES) for row in fresh])
        possible = leapable(states, measured, max_sizes)
        possible &= np.array([tracks[row].group for row in fresh])[:, None] == np.array(
            [candidates.group[column] for column in spare]
        )
        possible &= ~_is_claimed(table, candidates, spare)
        away = distances(states, measured)
        clear = possible & mutually_nearest(np.where(possible, away, np.inf), few=_LEAP_FEW, ratio=_LEAP_RATIO)
        return [(fresh[place], spare[other]) for place, other in np.argwhere(clear).tolist()]


def _is_claimed(table: TrackTable, candidates: Candidates, columns: Sequence[int]) -> NDArray[np.bool_]:
    """Return which detections are so close to a confirmed track that they are more likely a part of it."""
    confirmed = [row for row, track in enumerate(table.tracks) if track.track_id]
    position = table.states[POSITION].take(confirmed, axis=1)
    away = position[CENTRE, :, None] - candidates.centred[CENTRE].take(columns, axis=1)[:, None, :]
    return (np.hypot(*away) <= _CLAIM_SIZES * np.sqrt(position[2] * position[3])[:, None]).any(axis=0)


def unmatched(matched: Iterable[int], count: int) -> list[int]:
    """Return the indices below ``count`` that are not in ``matched``, ascending."""
    return sorted(set(range(count)).difference(matched))
