"""Lettering on a van, telephone numbers and bus numbers are not reported as plates."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.anpr.aggregation.formats import PlateRules
from edge_agent.anpr.aggregation.plate_evidence import TOO_HIGH, evidence, measure_edges, position_evidence
from edge_agent.anpr.detection.plate_score import MIN_PLATE_SCORE, plate_score
from edge_agent.anpr.engines import models_available
from edge_agent.anpr.picture_reader import PictureReader
from edge_agent.anpr.settings import PlateRuleSettings
from edge_agent.anpr.types import PlateBox, PlateReading
from edge_agent.types import Image
from tests.support.anpr.lettering import Lettering, van_with

SHIPPED = pytest.mark.skipif(not models_available(), reason="this build has no plate models")
PLATE = PlateBox(200.0, 120.0, 320.0, 148.0, 0.6)
SURE = (0.95,) * 7


def board(*, border: bool, text: str = "B 142 ZO", ground: int = 215, ink: int = 25) -> Image:
    """Return a surface with this text, with or without the edges of a plate around it."""
    image = np.full((280, 520, 3), ground if not border else 105, np.uint8)
    if border:
        cv2.rectangle(image, (200, 120), (320, 148), (ground,) * 3, -1)
    cv2.putText(image, text, (206, 143), cv2.FONT_HERSHEY_DUPLEX, 0.75, (ink,) * 3, 2, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.8), np.uint8)


def is_accepted(image: Image, text: str, region: str | None, *, score: float = 0.6) -> bool:
    """Return whether the plate score of a detection at ``PLATE`` reaches the minimum for a single image."""
    reading = PlateReading(text, 0.8, SURE[: len(text)], region)
    plate = replace(PLATE, score=score)
    return plate_score(score, reading, evidence=evidence(image, plate, reading, PlateRules())) >= MIN_PLATE_SCORE


@SHIPPED
@pytest.mark.parametrize(
    "lettering",
    [
        Lettering("BACKEREI", 18, 1, (150, 60, 20), (245, 245, 245)),
        Lettering("POLIZEI", 18, 0),
        Lettering("POLIZEI", 24, 1, (40, 40, 170), (240, 240, 240)),
        Lettering("EXPRESS", 18, 0, (40, 40, 170), (240, 240, 240)),
        Lettering("142 ZOO", 18, 0, (150, 60, 20), (245, 245, 245)),
        Lettering("080012345", 28),
        Lettering("NEUWAGEN 24", 28),
    ],
)
def test_edge_43_read_plates_ignores_lettering(lettering: Lettering) -> None:
    """The shipped models report no plate on the side of a van."""
    reader = PictureReader.open("vedette", threads=1, crops=False)
    assert reader.read(van_with(lettering)) == ()


@SHIPPED
def test_edge_43_all_lists_low_confidence_plates() -> None:
    """``--all`` includes detections with a low plate score."""
    reader = PictureReader.open("vedette", threads=1, crops=False, min_plate_score=0.0)
    [found] = reader.read(van_with(Lettering("POLIZEI", 24, 1, (40, 40, 170), (240, 240, 240))))
    assert found.text == "POLIZEI"


def test_edge_43_a_plate_has_edges_and_lettering_has_none() -> None:
    """The same characters are drawn on a plate and on bodywork, dark on light and light on dark."""
    for ground, ink in ((215, 25), (30, 230)):
        with_edge, _ = measure_edges(board(border=True, ground=ground, ink=ink), PLATE)
        without, light_share = measure_edges(board(border=False, ground=ground, ink=ink), PLATE)
        assert with_edge > 2 * without
        assert (light_share > 0.5) == (ground > ink)
    assert is_accepted(board(border=True), "B142ZO", "eu")
    assert not is_accepted(board(border=False), "BACKEREI", "us")
    assert not is_accepted(board(border=False), "142ZOO", None)
    assert not is_accepted(board(border=False, ground=30, ink=230), "142ZOO", None)


def test_edge_43_a_small_plate_in_its_regions_format_needs_no_strong_edge() -> None:
    """Distant plates have weak edges; their text and appearance agree, unlike those of lettering."""
    faint = board(border=False)
    assert is_accepted(faint, "B121PHO", "eu")
    assert not is_accepted(faint, "B121PHO", None)


@pytest.mark.parametrize(
    ("text", "appearance", "plausible"),
    [
        ("BACKEREI", "us", False),
        ("BACKEREI", "gb", False),
        ("AUTOMULLER", "us", False),
        ("080012345", "us", False),
        ("MYCAR", "us", True),
        ("SUNSHIN", "us", True),
        ("MYCAR", "eu", False),
        ("MYCAR", None, False),
        ("GOAB123", "eu", True),
        ("8ABC123", "us", True),
    ],
)
def test_edge_43_letters_alone_need_a_us_plate(text: str, appearance: str | None, plausible: bool) -> None:
    """Up to seven letters alone are accepted, as on US vanity plates, and digits alone in a format of the region."""
    assert PlateRules().plausible(text, appearance=appearance) == plausible


def test_edge_43_a_configured_us_region_allows_letters_alone() -> None:
    """Seven letters are plausible for any appearance; eight are not."""
    rules = PlateRules(PlateRuleSettings(regions=["us"]))
    assert rules.plausible("SUNSHIN")
    assert not rules.plausible("SUNSHINE")


@given(st.floats(0, 0.34), st.sampled_from(["car", "truck", "bus", "van"]))
def test_edge_43_a_high_position_counts_against_a_plate(share: float, class_name: str) -> None:
    """Motorcycles are exempt, and so are vehicles that are truncated at the top."""
    vehicle = (100.0, 100.0, 500.0, 400.0)
    y = 100 + share * 300
    plate = (250.0, y - 10, 350.0, y + 10)
    assert position_evidence(plate, vehicle, class_name) == TOO_HIGH
    assert position_evidence(plate, vehicle, "motorcycle") == 0.0
    assert position_evidence(plate, (100.0, 0.0, 500.0, 400.0), class_name) == 0.0
    assert position_evidence((250.0, 300.0, 350.0, 325.0), vehicle, class_name) == 0.0
