"""Evidence for a plate besides the detector's score and its characters: its edges, its text and its position.

A plate is a board with a step of brightness along each of its sides. Lettering painted on a van has no such edges, its
text rarely has the format of a plate, and it is often higher on the vehicle. The weights are log odds that are added to
those of ``plate_score``. They were chosen on lettering, telephone numbers and bus numbers drawn onto vehicles
(``tests/support/anpr/lettering.py``), and on the training frames of the detector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.anpr.aggregation.formats import GROUPS, PlateRules, matching_regions
from edge_agent.anpr.recognition.rectify import rectify_plate
from edge_agent.anpr.types import PlateBox, PlateReading
from edge_agent.boxes import Box, box_centre
from edge_agent.types import Image

USUAL_EDGE = 0.17
"""Edge strength that nearly all plates reach and most lettering does not. Raising it rejects more faint plates."""
EDGE_WEIGHT, MAX_EDGE_PENALTY = 6.0, 6.0
"""Weight of a weak edge, and its maximum penalty in log odds."""
MAX_EDGE_PENALTY_BY_REGION: Mapping[str, float] = MappingProxyType({"us": 3.5, "eu": 0.5, "gb": 0.5, "br": 0.5})
"""Maximum penalty by region, for a text in a format of the region that the plate looks like: small and blurred
plates have weak edges. It is higher for the US, whose many formats match lettering too."""
UNKNOWN_FORMAT, NO_DIGIT, IMPLAUSIBLE = -1.0, -1.5, -2.0
"""Log odds of a text without a known format (a US vanity plate, or half of a plate), of letters alone, and of an
implausible text."""
DARK_UNKNOWN_REGION = -0.5
"""Log odds of light characters on a dark background, as on bus displays, without a recognised region."""
DARK_SHARE = 0.4
"""A background is dark if less than this share of the plate is light."""
TOO_HIGH = -3.0
TOO_HIGH_SHARE = 0.35
"""Plates are not mounted in this upper share of a vehicle, except on motorcycles."""
_MARGINS = (0.16, 0.45)
_WORKING_HEIGHT_PX = 24.0
_REACH_PX = (8, 10)
"""Search distance for a side from its detected position, vertically and horizontally, at the working height."""
_STEADY = 25
"""Percentile along a side: the step must be present along three quarters of it."""
_NOISE = 8.0

Grey = NDArray[np.float32]


def evidence(image: Image, plate: PlateBox, reading: PlateReading, rules: PlateRules) -> float:
    """Return log odds, 0 or less, from the plate's edges and its text."""
    edge, light_share = measure_edges(image, plate)
    formats = matching_regions(reading.text)
    region = reading.region or ""
    max_penalty = MAX_EDGE_PENALTY_BY_REGION[region] if formats & GROUPS.get(region, frozenset()) else MAX_EDGE_PENALTY
    odds = max(min(EDGE_WEIGHT * math.log(max(edge, 0.01) / USUAL_EDGE), 0.0), -max_penalty)
    if len(reading.text) >= rules.min_length:  # a shorter text is incomplete and gives no evidence
        odds += 0.0 if formats else UNKNOWN_FORMAT
        odds += NO_DIGIT if reading.text.isalpha() else 0.0
        odds += 0.0 if rules.plausible(reading.text, appearance=reading.region) else IMPLAUSIBLE
    if light_share < DARK_SHARE and reading.region is None:
        odds += DARK_UNKNOWN_REGION
    return odds


def position_evidence(plate: Box, vehicle: Box, class_name: str) -> float:
    """Return log odds, 0 or less, from a plate's position on its vehicle; boxes are xyxy in pixels."""
    cut_above = vehicle[1] <= 0.01 * (vehicle[3] - vehicle[1])
    if cut_above or "motor" in class_name:
        return 0.0
    share = (box_centre(plate)[1] - vehicle[1]) / max(vehicle[3] - vehicle[1], 1.0)
    return TOO_HIGH if share < TOO_HIGH_SHARE else 0.0


def measure_edges(image: Image, plate: PlateBox) -> tuple[float, float]:
    """Return the edge strength relative to the plate's contrast, and the share of light pixels, 0..1."""
    crop = rectify_plate(image, plate, margin_ratio=_MARGINS, max_height_px=48)
    grey = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.float32)
    zoom = _WORKING_HEIGHT_PX * (1 + 2 * _MARGINS[1]) / grey.shape[0]
    size = max(8, round(grey.shape[1] * zoom)), max(8, round(grey.shape[0] * zoom))
    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    grey = np.asarray(cv2.GaussianBlur(grey, (3, 3), 0), np.float32)
    height, width = grey.shape
    left, top = width * _MARGINS[0] / (1 + 2 * _MARGINS[0]), height * _MARGINS[1] / (1 + 2 * _MARGINS[1])
    right, bottom = width - left, height - top
    inside = grey[int(top) + 4 : int(bottom) - 4, int(left) + 4 : int(right) - 4]
    if not inside.size:
        return USUAL_EDGE, 1.0
    low, high = np.percentile(inside, (5, 95))
    down, across = grey[2:] - grey[:-2], (grey[:, 2:] - grey[:, :-2]).T
    columns, rows = slice(int(left) + 2, int(right) - 2), slice(int(top) + 1, int(bottom) - 1)
    sides = [_step(down[:, columns], round(at) - 1, _REACH_PX[0]) for at in (top, bottom)]
    sides += [_step(across[:, rows], round(at) - 1, _REACH_PX[1]) for at in (left, right)]
    light = float((inside > (low + high) / 2).mean()) if high - low > _NOISE else 1.0
    return float(np.mean(sides)) / float(high - low + _NOISE), light


def _step(steps: Grey, at: int, reach: int) -> float:
    """Return the strongest step of brightness that is consistent along a line within ``reach`` pixels of ``at``."""
    near = steps[max(at - reach, 0) : at + reach + 1]
    if not near.size:
        return 0.0
    low, high = np.percentile(near, (_STEADY, 100 - _STEADY), axis=1)
    return max(float(low.max()), float(-high.min()), 0.0)
