"""Plate detection in regions of a frame: coordinates, truncated plates, duplicates and the time budget."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.anpr.detection.region_search import RegionSearch, detect_in_region
from edge_agent.anpr.frame_budget import FrameBudget
from edge_agent.anpr.types import PlateBox
from edge_agent.events.occurrences import Box
from edge_agent.types import ArrayPicture, Frame, Image
from tests.support.edge.builders import START

IMAGE: Image = np.zeros((100, 200, 3), np.uint8)
FRAME = Frame(number=1, timestamp=START, time_s=0.0, picture=ArrayPicture(IMAGE))
WHOLE: Box = (0.0, 0.0, 200.0, 100.0)


class FixedDetector:
    """A ``PlateDetector`` that returns the same plates for every image."""

    def __init__(self, *plates: PlateBox) -> None:
        self.plates = plates
        self.shapes: list[tuple[int, ...]] = []

    def find(self, image: Image) -> list[PlateBox]:
        self.shapes.append(image.shape)
        return list(self.plates)


def test_plates_are_returned_in_image_coordinates() -> None:
    """Box and corners are shifted by the region's origin; the score is kept."""
    corners = np.array([(2, 2), (12, 2), (12, 6), (2, 6)], np.float32)
    detector = FixedDetector(PlateBox(2, 2, 12, 6, 0.8, corners))
    (plate,) = detect_in_region(detector, IMAGE, (50.0, 20.0, 90.0, 60.0))
    assert (plate.xyxy, plate.score) == ((52, 22, 62, 26), 0.8)
    assert plate.corners is not None
    assert plate.corners.tolist() == [[52, 22], [62, 22], [62, 26], [52, 26]]
    assert detector.shapes == [(40, 40, 3)]


@pytest.mark.parametrize(("region", "count"), [((50.0, 20.0, 90.0, 60.0), 0), ((0.0, 20.0, 40.0, 60.0), 1), (WHOLE, 1)])
def test_plates_at_a_border_of_the_region_are_dropped(region: Box, count: int) -> None:
    """They may be truncated, unless the border is also the border of the image."""
    assert len(detect_in_region(FixedDetector(PlateBox(0, 10, 20, 15, 0.9)), IMAGE, region)) == count


def test_duplicates_and_low_scores_are_dropped() -> None:
    """Of overlapping plates the one with the highest score is kept."""
    plates = (PlateBox(10, 10, 30, 20, 0.5), PlateBox(11, 10, 31, 20, 0.7), PlateBox(60, 10, 80, 20, 0.3))
    search = RegionSearch(detector=FixedDetector(*plates), budget=FrameBudget(budget_ms=80), min_score=0.4)
    assert [plate.score for plate in search.search(FRAME, [WHOLE])] == [0.7]


@pytest.mark.parametrize(("plates", "searches"), [((PlateBox(10, 10, 30, 20, 0.9),), 1), ((), 3)])
def test_an_exhausted_budget_ends_the_search_after_a_detection(plates: tuple[PlateBox, ...], searches: int) -> None:
    """Without a detection the search continues, so that a slow machine reads plates too."""
    ticks = iter(range(100))
    budget = FrameBudget(budget_ms=1.0, clock=lambda: float(next(ticks)))
    budget.start()
    detector = FixedDetector(*plates)
    RegionSearch(detector=detector, budget=budget, min_score=0.4).search(FRAME, [WHOLE] * 3)
    assert len(detector.shapes) == searches
