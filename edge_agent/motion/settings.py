"""What a person may set about motion. The defaults suit a fixed camera, indoors or out, by day or by night."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from shared.geometry import Point, Ratio
from shared.settings import Settings, require_area


def _inside_picture(point: Point) -> Point:
    if not (0.0 <= point.x <= 1.0 and 0.0 <= point.y <= 1.0):
        raise ValueError("a point is [x, y] as shares of the picture's width and height, each 0 to 1")
    return point


Polygon = Annotated[
    tuple[Annotated[Point, AfterValidator(_inside_picture)], ...],
    Field(min_length=3, max_length=200),
    AfterValidator(require_area),
]
"""Corners in order, normalised to the picture; it closes by itself."""


class MotionSettings(Settings):
    """How motion is found. Every value has a default that needs no tuning."""

    working_width_px: int = Field(
        default=320,
        ge=64,
        le=1280,
        description="Longer side of the shrunken picture that motion is looked for in. Raising it finds smaller things "
        "and costs time in proportion to its square.",
    )
    threshold: float = Field(
        default=12.0,
        ge=3.0,
        le=120.0,
        description="Least difference from the background, in brightness levels of 255, that can be motion. Raising it "
        "misses faint objects; lowering it lets shadows and compression flicker in.",
    )
    noise_factor: float = Field(
        default=4.0,
        ge=1.0,
        le=20.0,
        description="A pixel must differ by this many times its own measured noise. Raising it quietens grainy "
        "pictures, water and leaves, and misses faint objects there.",
    )
    min_area_ratio: Ratio = Field(
        default=0.0003,
        description="Least share of the picture that one moving thing covers (0.0003 of 1280x720 is 17x17 pixels).",
    )
    learning_time_s: float = Field(
        default=10.0,
        ge=0.5,
        le=600.0,
        description="How long the background takes to follow a slow change. Raising it makes slow movers visible for "
        "longer and follows dusk more slowly.",
    )
    absorb_time_s: float = Field(
        default=12.0,
        ge=0.5,
        le=3600.0,
        description="How long something that has come to a stop still counts as moving before it becomes background.",
    )
    lighting_jump_ratio: float = Field(
        default=0.6,
        gt=0.05,
        le=1.0,
        description="When more than this share of the picture changes from one frame to the next, the light has "
        "changed, or the camera was turned: the background is learnt anew and no motion is reported.",
    )
    hold_s: float = Field(
        default=0.12,
        ge=0.0,
        le=10.0,
        description="How long motion stays active after the last moving pixel, so that an episode is not broken up.",
    )
    ignore: tuple[Polygon, ...] = Field(
        default=(),
        max_length=100,
        description="Areas in which nothing counts as motion (a road behind the fence, a screen, a waving tree), each "
        "a list of [x, y] points as shares of the picture's width and height.",
    )
