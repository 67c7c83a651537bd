"""The colour of a vehicle in daylight."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge_agent.anpr.aggregation.color import vehicle_color
from edge_agent.boxes import Box
from edge_agent.camera.synthetic.gate import SyntheticGate
from edge_agent.events.occurrences import as_box
from edge_agent.types import Image

CAR: Box = (200, 100, 400, 260)


def street(paint: tuple[int, int, int], *, light: float = 1.0, windows: int = 40) -> Image:
    """Paint a sky, a road and a car with windows, tyres and a plate."""
    image = np.full((360, 640, 3), (105, 108, 110), np.uint8)
    image[:90] = (240, 215, 190)
    image[90:130, :200] = (70, 120, 60)
    left, top, right, bottom = (int(value) for value in CAR)
    image[top:bottom, left:right] = paint
    image[top + 8 : top + 8 + windows, left + 20 : right - 20] = (50, 45, 40)
    image[bottom - 22 :, left : left + 40] = (25, 25, 25)
    image[bottom - 22 :, right - 40 : right] = (25, 25, 25)
    image[bottom - 50 : bottom - 32, 260:340] = (245, 245, 245)
    noise = np.random.default_rng(3).normal(0, 4, image.shape)
    return np.asarray(np.clip(image * light + noise, 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("paint", "name"),
    [
        ((238, 240, 240), "white"), ((185, 187, 186), "silver"), ((110, 112, 112), "grey"), ((30, 30, 32), "black"),
        ((45, 40, 180), "red"), ((30, 110, 235), "orange"), ((40, 200, 235), "yellow"), ((70, 130, 50), "green"),
        ((160, 90, 35), "blue"), ((120, 40, 110), "purple"), ((35, 60, 95), "brown"),
    ],
)  # fmt: skip
def test_common_paints_are_named(paint: tuple[int, int, int], name: str) -> None:
    """The image is in sunlight; windows, tyres and a plate are in the box."""
    assert vehicle_color(street(paint), CAR, plate=(260, 210, 340, 228)) == name


def test_at_night_there_is_no_colour() -> None:
    """The colour would be that of the street lamps, or black."""
    assert vehicle_color(street((160, 90, 35), light=0.3), CAR) is None


def test_infrared_images_have_no_colour() -> None:
    """A grey image gives no information on paint."""
    grey = cv2.cvtColor(street((45, 40, 180)), cv2.COLOR_BGR2GRAY)
    assert vehicle_color(np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8), CAR) is None


def test_a_vehicle_of_two_colours_has_no_colour() -> None:
    """Half red and half white: neither is returned."""
    image = street((45, 40, 180))
    image[100:260, 300:400] = (238, 240, 240)
    assert vehicle_color(image, CAR) is None


@pytest.mark.parametrize("box", [(200, 100, 230, 130), (630, 340, 700, 420), (-300, -300, -100, -100)])
def test_small_and_truncated_vehicles_have_no_colour(box: Box) -> None:
    """The vehicle is distant, or mostly outside the frame."""
    assert vehicle_color(street((45, 40, 180)), box) is None


ADMISSIBLE = {
    (58, 46, 178): {"red"}, (196, 198, 202): {"silver", "white"}, (150, 92, 38): {"blue"},
    (64, 62, 60): {"grey", "black"}, (232, 234, 236): {"white", "silver"}, (74, 120, 58): {"green"},
    (48, 150, 214): {"orange", "yellow"}, (110, 104, 98): {"grey"}, (120, 52, 40): {"blue"},
}  # fmt: skip
"""Accepted colour names of each paint of the synthetic gate."""


def test_the_colours_of_the_synthetic_gate_are_not_wrong() -> None:
    """Sides and bonnet are shaded; most colours are returned, and none is wrong."""
    gate = SyntheticGate(fps=4)
    paints = {vehicle.track: vehicle.paint for vehicle in gate.trips}
    colours: dict[int, set[str]] = {}
    for index in range(0, gate.frame_count, 3):
        for truth in gate.truth(index):
            if truth.glyph_height_px < 10 or truth.class_name == "motorcycle":
                continue
            plate = None
            if truth.plate_quad is not None:
                plate = (*truth.plate_quad.min(axis=0).tolist(), *truth.plate_quad.max(axis=0).tolist())
            name = vehicle_color(gate.render(index), as_box(truth.xyxy), plate=plate)
            if name is not None:
                colours.setdefault(truth.track, set()).add(name)
    assert {
        (track, name) for track, names in colours.items() for name in names if name not in ADMISSIBLE[paints[track]]
    } == set()
    assert len(colours) >= 4
