"""Where in a frame to look for plates, so that every vehicle gets its turn and none is looked at for nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge_agent.anpr.settings import AnprSettings
from edge_agent.events.occurrences import Box, TrackedObject, box_area, iou
from edge_agent.types import Frame

LEAST_SIDE_PX = 48
"""On smaller things no plate is legible."""
LEAST_SIDE_GLYPHS = 10.0
"""A vehicle's longer side is at least so many times as long as its plate's characters are high: 12 for a motorcycle
from behind, 20 and more for a car."""
STILL_IOU = 0.92
ALL_OF_IT = 0.7
"""A region of so much of the picture is the picture."""
_SIDE_ROOM, _TOP_ROOM, _BOTTOM_ROOM = 0.08, 0.02, 0.1
_FRAME = 0
"""The whole picture's key; tracks count from 1."""


@dataclass(slots=True)
class _SearchState:
    looked_s: float
    interval_s: float
    at: Box


class SearchSchedule:
    """Remembers who was looked at and when."""

    def __init__(self, settings: AnprSettings, *, detects_vehicles: bool) -> None:
        """``detects_vehicles``: whether whatever finds objects can tell a vehicle from anything else."""
        self._settings = settings
        self._carriers = frozenset(settings.vehicle_classes)
        self._least_vehicle_px = max(LEAST_SIDE_PX, LEAST_SIDE_GLYPHS * settings.min_glyph_px)
        self._looked_at = frozenset[str]()
        if settings.search == "vehicles" or (settings.search == "auto" and detects_vehicles):
            self._looked_at = self._carriers | {"object"} if settings.search == "auto" else self._carriers
        self._frame_interval_s: float | None = {
            "auto": settings.frame_interval_s,
            "frame": settings.search_interval_s,
            "vehicles": None,
        }[settings.search]
        self._turns: dict[int, _SearchState] = {}

    def regions(
        self,
        frame: Frame,
        followed: Sequence[TrackedObject],
        *,
        done: Collection[int],
        moving: bool,
        following: bool = False,
    ) -> list[Box]:
        """Return the boxes to search in this frame, the most urgent first; they lie inside the picture.

        ``done`` are the tracks whose plates are known; ``moving`` whether anything moves at all; ``following`` whether
        a plate is being followed that is on no known vehicle.
        """
        whole = (0.0, 0.0, float(frame.width), float(frame.height))
        wanted = [
            (urgency, each.track_id, each.xyxy)
            for each in followed
            if each.class_name in self._looked_at and each.track_id not in done and self._large_enough(each)
            if (urgency := self._urgency(each.track_id, each.xyxy, frame.time_s)) >= 1.0
        ]
        if moving and (urgency := self._frame_urgency(frame.time_s, following=following)) >= 1.0:
            wanted.append((urgency, _FRAME, whole))
        wanted.sort(key=lambda item: (-item[0], -item[1]))
        return [self._take(key, box, whole, frame.time_s) for _, key, box in wanted[: self._settings.max_searches]]

    def forget(self, track_ids: Collection[int]) -> None:
        """Drop those that have gone: keep only these."""
        self._turns = {key: turn for key, turn in self._turns.items() if key == _FRAME or key in track_ids}

    def _large_enough(self, each: TrackedObject) -> bool:
        """Say whether its plate may be legible. What is not known to be a vehicle may be a part of one."""
        width_px, height_px = each.xyxy[2] - each.xyxy[0], each.xyxy[3] - each.xyxy[1]
        least_px = self._least_vehicle_px if each.class_name in self._carriers else LEAST_SIDE_PX
        return min(width_px, height_px) >= LEAST_SIDE_PX and max(width_px, height_px) >= least_px

    def _urgency(self, track_id: int, box: Box, now_s: float) -> float:
        turn = self._turns.get(track_id)
        if turn is None:
            return float("inf")
        interval_s = turn.interval_s if iou(turn.at, box) >= STILL_IOU else self._settings.search_interval_s
        return (now_s - turn.looked_s + 1e-6) / max(interval_s, 1e-3)

    def _frame_urgency(self, now_s: float, *, following: bool) -> float:
        interval_s, turn = self._frame_interval_s, self._turns.get(_FRAME)
        if interval_s is None:
            return 0.0
        if turn is None:
            return float("inf")
        if following:
            interval_s = min(interval_s, self._settings.search_interval_s)
        return (now_s - turn.looked_s + 1e-6) / max(interval_s, 1e-3)

    def _take(self, key: int, box: Box, whole: Box, now_s: float) -> Box:
        settings = self._settings
        turn = self._turns.get(key)
        interval_s = settings.search_interval_s
        if key != _FRAME and turn is not None and iou(turn.at, box) >= STILL_IOU:
            interval_s = min(max(2 * turn.interval_s, 0.1), settings.standing_interval_s)
        self._turns[key] = _SearchState(looked_s=now_s, interval_s=interval_s, at=box)
        region = _with_room(box, whole)
        return whole if box_area(region) >= ALL_OF_IT * box_area(whole) else region


def _with_room(box: Box, whole: Box) -> Box:
    width, height = box[2] - box[0], box[3] - box[1]
    return (
        max(box[0] - _SIDE_ROOM * width, 0.0),
        max(box[1] - _TOP_ROOM * height, 0.0),
        min(box[2] + _SIDE_ROOM * width, whole[2]),
        min(box[3] + _BOTTOM_ROOM * height, whole[3]),
    )
