"""A parked car is reported once, in changing light and with passing cars, by the whole pipeline."""

from __future__ import annotations

import numpy as np

from tests.support.edge.pipeline_harness import Image, grainy, street, watch
from tests.unit.edge_agent.pipeline.test_static_scenes import brighter

PARKS_AT, FRAMES = 40, 420


def with_car(picture: Image, x: float, *, y: int, shade: int) -> Image:
    """Return the picture with a two-tone car whose left side is at ``x``."""
    painted = picture.copy()
    left, right = max(0, round(x)), max(0, round(x) + 110)
    painted[y + 18 : y + 52, left:right] = shade
    painted[y : y + 18, max(0, round(x) + 22) : max(0, round(x) + 88)] = (90, 60, 40)
    return painted


def parking_lot(*, passers: int, light: float) -> list[Image]:
    """Return frames in which a car parks, others drive past in front of it, and the light changes."""
    scene = street(480, 270)
    shown: list[Image] = []
    for index in range(FRAMES):
        picture = with_car(scene, min(-120 + index * 8.0, -120 + PARKS_AT * 8.0), y=70, shade=225)
        for number in range(passers):
            begun = 120 + 130 * number
            if begun <= index < begun + 75:
                picture = with_car(picture, -120 + (index - begun) * 9.0, y=190, shade=25)
        shown.append(grainy(brighter(picture, 1.0 + light * np.sin(index / 35)), index))
    return shown


def test_edge_22_a_parked_car_is_reported_once_in_changing_light() -> None:
    """In about 40 s, the brightness rises and falls by a fifth; the car enters once and leaves at the end."""
    seen = watch(parking_lot(passers=0, light=0.2))
    assert len(seen.ids("entered")) == 1
    assert len(seen.ids("left")) == 1


def test_edge_22_passing_cars_do_not_repeat_the_report_of_a_parked_car() -> None:
    """Two cars drive past: three cars have entered, each with its own id."""
    seen = watch(parking_lot(passers=2, light=0.1))
    assert len(seen.ids("entered")) == len(set(seen.ids("entered"))) == 3
