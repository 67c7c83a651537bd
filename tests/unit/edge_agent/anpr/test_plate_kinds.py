"""Plates from field reports: colours, two lines, umlauts, truncated plates, repetitions."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edge_agent.anpr.engines import models_available
from edge_agent.anpr.picture_reader import PictureReader
from edge_agent.anpr.recognition.fast_plate_ocr_reader import FastPlateOcrReader
from edge_agent.camera.synthetic.plates import Bgr, PlateStyle, draw_plate
from edge_agent.types import Image
from tests.unit.edge_agent.anpr.test_stage import FixedReader, car_at, plate_at, scene

SHIPPED = pytest.mark.skipif(not models_available(), reason="this build has no plate models")


def car_with(plate: Image, *, width: int = 150, body: Bgr = (150, 60, 20)) -> Image:
    """Return an image of a car from behind with this plate."""
    image = np.full((480, 720, 3), (120, 122, 124), np.uint8)
    image[330:] = (80, 80, 82)
    cv2.rectangle(image, (150, 90), (570, 390), body, -1)
    cv2.rectangle(image, (190, 110), (530, 210), (60, 54, 48), -1)
    for x in (160, 480):
        cv2.rectangle(image, (x, 240), (x + 80, 280), (40, 40, 190), -1)
        cv2.rectangle(image, (x, 380), (x + 70, 430), (25, 25, 25), -1)
    height = round(plate.shape[0] * width / plate.shape[1])
    image[310 : 310 + height, 360 - width // 2 : 360 - width // 2 + width] = cv2.resize(
        plate, (width, height), interpolation=cv2.INTER_AREA
    )
    noise = np.random.default_rng(3).normal(0, 2.5, image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 0.7) + noise, 0, 255).astype(np.uint8)


def one_line(**colours: Bgr) -> PlateStyle:
    return PlateStyle("", 520, 110, 80, **colours)


@SHIPPED
@pytest.mark.parametrize(
    ("style", "text"),
    [
        (one_line(), "KR 7M 482"),
        (one_line(background=(28, 26, 25), ink=(235, 235, 235)), "KLM 482"),
        (one_line(background=(40, 35, 180), ink=(240, 240, 240)), "HT 739 CX"),
        (one_line(background=(60, 205, 250)), "NPR 8364"),
        (one_line(band=(150, 60, 10), caption="RO"), "B 254 XRN"),
    ],
    ids=["polish", "white on black", "red", "yellow", "romanian"],
)
def test_edge_42_plates_of_all_colours_are_read(style: PlateStyle, text: str) -> None:
    """Each plate is detected on a car, accepted by the plate score, and read exactly."""
    reader = PictureReader.open("vedette", threads=1, crops=False)
    found = reader.read(car_with(draw_plate(text, style)))
    assert [plate.text for plate in found] == [text.replace(" ", "")]


@SHIPPED
def test_edge_42_a_plate_with_two_lines_is_read_upper_line_first() -> None:
    """Motorcycles have such plates."""
    plate = np.full((200, 260, 3), 240, np.uint8)
    cv2.rectangle(plate, (3, 3), (256, 196), (20, 20, 20), 4)
    for text, y in (("KR 7", 88), ("M482", 178)):
        cv2.putText(plate, text, (34, y), cv2.FONT_HERSHEY_SIMPLEX, 2.4, (20, 20, 20), 8, cv2.LINE_AA)
    reader = PictureReader.open("vedette", threads=1, crops=False)
    assert [found.text for found in reader.read(car_with(plate, width=90))] == ["KR7M482"]


@pytest.mark.parametrize(
    ("read", "text"), [("GÖAB123", "GOAB123"), ("MÜXY7", "MUXY7"), ("京A12345", "京A12345"), ("Æ12", "AE12")]
)
def test_edge_41_readers_with_other_alphabets_agree_on_the_normal_form(read: str, text: str) -> None:
    """Ö becomes O, as with the shipped reader; other letters and the confidences are kept."""
    recognizer = SimpleNamespace(run=lambda *_, **__: ([read], np.full((1, len(read)), 0.9)))
    reading = FastPlateOcrReader(recognizer).read(np.zeros((20, 80, 3), np.uint8))
    assert reading.text == text
    assert len(reading.character_confidences) == len(text)


def test_edge_44_a_truncated_plate_is_not_read() -> None:
    """It is read when it is completely visible, and emitted once."""
    reader = FixedReader("AB123CD")
    entering = scene(reader, detects_vehicles=False, search="frame")
    for step in range(8):
        entering.show([(1, (0.0, 200.0, 30.0 + 6 * step, 222.0))])
    assert reader.reads == 0
    for step in range(14):
        entering.show([(1, plate_at(8.0 + 12 * step, 200))])
    for _ in range(40):
        entering.show([])
    assert reader.reads > 0
    assert [found.candidates[0].text for found in entering.emitted] == ["AB123CD"]


def test_edge_44_the_same_plate_twice_within_half_a_minute_is_one_event() -> None:
    """The same text within ``repeat_s`` is a repetition; afterwards it is a new event."""
    passing = scene(FixedReader("AB123CD"))

    def pass_by(track: int) -> None:
        for step in range(14):
            passing.show([(1, plate_at(160 + 5 * step, 210))], [(track, car_at(100 + 5 * step, 100))])

    pass_by(7)
    for _ in range(100):
        passing.show([])
    pass_by(8)
    assert len(passing.emitted) == 1
    for _ in range(320):
        passing.show([])
    pass_by(9)
    for _ in range(40):
        passing.show([])
    assert [found.track_id for found in passing.emitted] == [7, 9]
