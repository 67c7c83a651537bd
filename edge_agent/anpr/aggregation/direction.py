"""Estimates the direction of a vehicle from the movement and the size of its plate and its box."""

from __future__ import annotations

import math

from edge_agent.anpr.aggregation.scale_trend import ScaleTrend
from edge_agent.anpr.settings import DirectionSettings
from edge_agent.boxes import Box, box_area, box_centre

MIN_GROWTH = 1.15
"""Minimum change factor of a plate's width and height for an approaching or receding vehicle."""
MIN_VEHICLE_GROWTH = 1.25
"""The same for vehicle boxes, which are less stable."""
CUT_RATIO = 0.04
"""A vehicle whose box ends within this share of the frame's width or height from its border may be truncated: boxes of
partly visible vehicles end 1-3 % before the border. Raising it makes fewer boxes count."""
MIN_STEP = 0.04
"""Minimum movement of a plate across the line, as a fraction of the frame's shorter side."""


class DirectionEstimator:
    """Stores the first and the latest boxes of a plate and its vehicle, and the trends of their sizes."""

    def __init__(self, settings: DirectionSettings) -> None:
        self._settings = settings
        self._plates: list[Box] = []
        self._vehicles: list[Box] = []
        self._plate_scale = ScaleTrend(min_growth=MIN_GROWTH, min_step=0.25)
        self._vehicle_scale = ScaleTrend(min_growth=MIN_VEHICLE_GROWTH, min_step=0.25)

    def add_plate_box(self, box: Box) -> None:
        """Add the plate's box in a frame."""
        _keep_ends(self._plates, box)
        self._plate_scale.add(box)

    def add_vehicle_box(self, box: Box, *, width: int, height: int) -> None:
        """Add the vehicle's box; boxes truncated by the frame's border are ignored."""
        margin_px = 0.005 * max(width, height)
        if box[0] > margin_px and box[1] > margin_px and box[2] < width - margin_px and box[3] < height - margin_px:
            _keep_ends(self._vehicles, box)
        x_px, y_px = CUT_RATIO * width, CUT_RATIO * height
        if box[0] > x_px and box[1] > y_px and box[2] < width - x_px and box[3] < height - y_px:
            self._vehicle_scale.add(box)

    @property
    def plate_moved(self) -> bool:
        """Whether the plate has changed its position or size, unlike a sign on a wall."""
        return _moved(self._plates, step_ratio=0.5)

    @property
    def vehicle_moved(self) -> bool:
        """Whether the vehicle has changed its position or size; False if there is no vehicle."""
        return _moved(self._vehicles, step_ratio=0.25)

    def prepend(self, other: DirectionEstimator) -> None:
        """Insert the boxes of an earlier track before those of this one."""
        for mine, theirs in ((self._plates, other._plates), (self._vehicles, other._vehicles)):
            if theirs:
                mine[:] = [theirs[0], *(mine[-1:] or theirs[1:])]
        self._plate_scale.prepend(other._plate_scale)
        self._vehicle_scale.prepend(other._vehicle_scale)

    @property
    def first_plate(self) -> Box | None:
        """The first box of the plate; None before the first one."""
        return self._plates[0] if self._plates else None

    def is_known(self, *, width: int, height: int) -> bool:
        """Return whether the direction is determined, or disabled in the settings."""
        return self._settings.by == "none" or self.label(width=width, height=height) is not None

    def label(self, *, width: int, height: int) -> str | None:
        """Return the configured value for the direction; None if it is uncertain."""
        settings = self._settings
        if settings.by == "size":
            return self._by_size()
        return self._by_line(width, height) if settings.by == "line" else None

    def _by_size(self) -> str | None:
        plate, vehicle = self._plate_scale.change(), self._vehicle_scale.change()
        if plate * vehicle < 0:
            return None
        change = plate or vehicle
        if change == 0:
            return None
        return self._settings.approaching if change > 0 else self._settings.receding

    def _by_line(self, width: int, height: int) -> str | None:
        boxes = self._plates if len(self._plates) > 1 else self._vehicles
        if len(boxes) < 2:
            return None
        (x0, y0), (x1, y1) = self._settings.start, self._settings.end
        along = ((x1 - x0) * width, (y1 - y0) * height)
        before, after = box_centre(boxes[0]), box_centre(boxes[-1])
        step = (after[0] - before[0], after[1] - before[1])
        # Image y grows downwards, so a positive cross product is a step to the right of the line.
        across_px = (along[0] * step[1] - along[1] * step[0]) / math.hypot(*along)
        if abs(across_px) < MIN_STEP * min(width, height):
            return None
        return self._settings.to_right if across_px > 0 else self._settings.to_left


def _keep_ends(boxes: list[Box], box: Box) -> None:
    """Append a box and keep only the first and the latest."""
    del boxes[1:]
    boxes.append(box)


def _moved(boxes: list[Box], *, step_ratio: float) -> bool:
    if len(boxes) < 2:
        return False
    first, last = boxes[0], boxes[-1]
    width_px = max(first[2] - first[0], last[2] - last[0], 1.0)
    far = math.dist(box_centre(first), box_centre(last)) > step_ratio * width_px
    return far or abs(math.log(_growth(first, last))) > math.log(MIN_GROWTH)


def _growth(first: Box, last: Box) -> float:
    """Return the ratio of the sizes (square root of the area)."""
    return math.sqrt(max(box_area(last), 1.0) / max(box_area(first), 1.0))
