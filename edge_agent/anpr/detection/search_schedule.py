"""Schedules in which regions of each frame plates are searched for, within a limit per frame."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from edge_agent.anpr.settings import AnprSettings
from edge_agent.boxes import Box, box_area, box_centre, box_iou
from edge_agent.events.occurrences import TrackedObject
from edge_agent.types import Frame

MIN_SIDE_PX = 48
"""Plates of smaller objects are not legible."""
MIN_SIDE_GLYPHS = 10.0
"""Minimum ratio of a vehicle's longer side to the height of its plate's characters: 12 for a motorcycle from behind,
20 and more for a car."""
STILL_IOU = 0.92
"""A vehicle whose box overlaps the one last searched by at least this IoU is stationary."""
WHOLE_FRAME_SHARE = 0.7
"""A region that covers at least this share of the frame is replaced by the whole frame."""
_SIDE_MARGIN, _TOP_MARGIN, _BOTTOM_MARGIN = 0.08, 0.02, 0.1
_FRAME = 0
"""Key of the whole frame; track ids start at 1."""


@dataclass(slots=True)
class _SearchState:
    searched_s: float
    interval_s: float
    box: Box


class SearchSchedule:
    """Remembers when each object was searched last, and which objects need no search."""

    def __init__(self, settings: AnprSettings, *, detects_vehicles: bool) -> None:
        """``detects_vehicles``: whether the object detector distinguishes vehicles from other objects."""
        self._settings = settings
        self._vehicle_classes = frozenset(settings.vehicle_classes)
        self._min_vehicle_px = max(MIN_SIDE_PX, MIN_SIDE_GLYPHS * settings.min_glyph_px)
        self._searched_classes = frozenset[str]()
        if settings.search == "vehicles" or (settings.search == "auto" and detects_vehicles):
            self._searched_classes = (
                self._vehicle_classes | {"object"} if settings.search == "auto" else self._vehicle_classes
            )
        self._frame_interval_s: float | None = {
            "auto": settings.frame_interval_s,
            "frame": settings.search_interval_s,
            "vehicles": None,
        }[settings.search]
        self._states: dict[int, _SearchState] = {}
        self._excluded_ids: set[int] = set()
        """Objects without a vehicle class whose plates are read."""

    def regions(
        self,
        frame: Frame,
        objects: Sequence[TrackedObject],
        *,
        done: Collection[int],
        moving: bool,
        tracking_plates: bool = False,
    ) -> list[Box]:
        """Return the boxes to search in this frame, most urgent first, clipped to the frame.

        ``done``: track ids whose plates are complete. ``moving``: whether anything moves in the frame.
        ``tracking_plates``: whether plates on no vehicle are tracked; the whole frame is then searched more often.
        """
        whole = (0.0, 0.0, float(frame.width), float(frame.height))
        due = [
            (urgency, each.track_id, each.xyxy)
            for each in objects
            if each.class_name in self._searched_classes
            and each.track_id not in done
            and each.track_id not in self._excluded_ids
            and self._is_large_enough(each)
            if (urgency := self._urgency(each.track_id, each.xyxy, frame.time_s)) >= 1.0
        ]
        if moving and (urgency := self._frame_urgency(frame.time_s, tracking_plates=tracking_plates)) >= 1.0:
            due.append((urgency, _FRAME, whole))
        due.sort(key=lambda item: (-item[0], -item[1]))
        return [self._start_search(key, box, whole, frame.time_s) for _, key, box in due[: self._settings.max_searches]]

    def exclude_read_objects(self, objects: Iterable[TrackedObject], read_plates: Sequence[Box]) -> None:
        """Exclude objects without a vehicle class that contain one of ``read_plates`` from further searches."""
        for each in objects:
            if each.class_name in self._vehicle_classes:
                continue
            if any(_contains_centre(each.xyxy, plate) for plate in read_plates):
                self._excluded_ids.add(each.track_id)

    def retain(self, track_ids: Collection[int]) -> None:
        """Drop the state of all objects but these."""
        self._states = {key: state for key, state in self._states.items() if key == _FRAME or key in track_ids}
        self._excluded_ids.intersection_update(track_ids)

    def _is_large_enough(self, each: TrackedObject) -> bool:
        """Return whether the plate may be legible. An object without a vehicle class may be a part of a vehicle."""
        width_px, height_px = each.xyxy[2] - each.xyxy[0], each.xyxy[3] - each.xyxy[1]
        min_px = self._min_vehicle_px if each.class_name in self._vehicle_classes else MIN_SIDE_PX
        return min(width_px, height_px) >= MIN_SIDE_PX and max(width_px, height_px) >= min_px

    def _urgency(self, track_id: int, box: Box, now_s: float) -> float:
        """Return the time since the last search in units of the interval; infinite before the first one."""
        state = self._states.get(track_id)
        if state is None:
            return float("inf")
        interval_s = state.interval_s if box_iou(state.box, box) >= STILL_IOU else self._settings.search_interval_s
        return (now_s - state.searched_s + 1e-6) / max(interval_s, 1e-3)

    def _frame_urgency(self, now_s: float, *, tracking_plates: bool) -> float:
        interval_s, state = self._frame_interval_s, self._states.get(_FRAME)
        if interval_s is None:
            return 0.0
        if state is None:
            return float("inf")
        if tracking_plates:
            interval_s = min(interval_s, self._settings.search_interval_s)
        return (now_s - state.searched_s + 1e-6) / max(interval_s, 1e-3)

    def _start_search(self, key: int, box: Box, whole: Box, now_s: float) -> Box:
        """Record a search and return its region. The interval of a stationary vehicle doubles with each search."""
        settings = self._settings
        state = self._states.get(key)
        interval_s = settings.search_interval_s
        if key != _FRAME and state is not None and box_iou(state.box, box) >= STILL_IOU:
            interval_s = min(max(2 * state.interval_s, 0.1), settings.standing_interval_s)
        self._states[key] = _SearchState(searched_s=now_s, interval_s=interval_s, box=box)
        region = _add_margins(box, whole)
        return whole if box_area(region) >= WHOLE_FRAME_SHARE * box_area(whole) else region


def _add_margins(box: Box, whole: Box) -> Box:
    width, height = box[2] - box[0], box[3] - box[1]
    return (
        max(box[0] - _SIDE_MARGIN * width, 0.0),
        max(box[1] - _TOP_MARGIN * height, 0.0),
        min(box[2] + _SIDE_MARGIN * width, whole[2]),
        min(box[3] + _BOTTOM_MARGIN * height, whole[3]),
    )


def _contains_centre(box: Box, plate: Box) -> bool:
    x, y = box_centre(plate)
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
