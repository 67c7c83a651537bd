"""Settings of motion detection. The defaults suit fixed cameras, indoors and outdoors, by day and by night."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from shared.geometry import Point, Ratio
from shared.settings import Settings, require_area


def _inside_picture(point: Point) -> Point:
    if not (0.0 <= point.x <= 1.0 and 0.0 <= point.y <= 1.0):
        raise ValueError("a point is [x, y] as fractions of the image's width and height, each from 0 to 1")
    return point


Polygon = Annotated[
    tuple[Annotated[Point, AfterValidator(_inside_picture)], ...],
    Field(min_length=3, max_length=200),
    AfterValidator(require_area),
]
"""Normalised corners in order; the polygon is closed automatically."""


class MotionSettings(Settings):
    """Thresholds and durations of motion detection. The defaults normally need no tuning."""

    working_width_px: int = Field(
        default=320,
        ge=64,
        le=1280,
        description="Longer side of the downscaled image in which motion is detected, in pixels. Raising it detects "
        "smaller objects; the CPU time grows with its square.",
    )
    threshold: float = Field(
        default=12.0,
        ge=3.0,
        le=120.0,
        description="Minimum difference from the background, in brightness levels (0 to 255), of a moving pixel. "
        "Raising it misses low-contrast objects; lowering it lets shadows and compression artefacts "
        "through.",
    )
    noise_factor: float = Field(
        default=4.0,
        ge=1.0,
        le=20.0,
        description="Minimum difference from the background as a multiple of the pixel's measured noise. Raising it "
        "suppresses grain, water and foliage, and misses low-contrast objects there.",
    )
    min_area_ratio: Ratio = Field(
        default=0.0003,
        description="Minimum area of a moving object, as a fraction of the image (0.0003 of 1280x720 is 17x17 "
        "pixels). Raising it ignores small or distant objects.",
    )
    learning_time_s: float = Field(
        default=10.0,
        ge=0.5,
        le=600.0,
        description="Time constant of the background model, in seconds. Raising it keeps slow objects visible for "
        "longer and adapts more slowly to gradual changes such as dusk.",
    )
    absorb_time_s: float = Field(
        default=12.0,
        ge=0.5,
        le=3600.0,
        description="Seconds after which a stopped object becomes background. Raising it reports motion for longer "
        "after an object stops.",
    )
    lighting_jump_ratio: float = Field(
        default=0.6,
        gt=0.05,
        le=1.0,
        description="Fraction of the image that may change from one frame to the next. Larger changes are treated as "
        "a change of light or of view: the background is relearned and no motion is reported. Raising it "
        "reports motion for larger changes.",
    )
    hold_s: float = Field(
        default=0.12,
        ge=0.0,
        le=10.0,
        description="Seconds for which motion stays active after the last moving pixel. Raising it joins movements "
        "that are interrupted briefly.",
    )
    ignore: tuple[Polygon, ...] = Field(
        default=(),
        max_length=100,
        description="Polygons in which motion is ignored (a road behind the fence, a screen, a tree), each a list of "
        "[x, y] points as fractions of the image's width and height.",
    )
