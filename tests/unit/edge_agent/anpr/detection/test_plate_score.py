"""The plate score, computed from the detector's score and the reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.anpr.detection.plate_score import MIN_PLATE_SCORE, legible_characters, plate_score
from edge_agent.anpr.types import PlateReading

CERTAINTIES = st.lists(st.floats(0, 1), max_size=16)


def reading(certainties: list[float]) -> PlateReading:
    return PlateReading("A" * len(certainties), 0.5, tuple(certainties))


@given(st.floats(0, 1), CERTAINTIES, st.floats(0, 1))
def test_the_plate_score_is_monotonic(score: float, certainties: list[float], more: float) -> None:
    """A higher detection score or another character never lowers it; it is a probability."""
    before = plate_score(score, reading(certainties))
    assert 0 <= before <= 1
    assert plate_score(min(1.0, score + more), reading(certainties)) >= before
    assert plate_score(score, reading([*certainties, more])) >= before


def test_detection_score_and_characters_compensate_for_each_other() -> None:
    """Legible characters compensate for a low score, a high score for illegible ones."""
    clear, nothing = reading([0.95] * 7), PlateReading("", 0.0)
    assert plate_score(0.56, clear) > MIN_PLATE_SCORE > plate_score(0.68, nothing)
    assert plate_score(0.87, nothing) > MIN_PLATE_SCORE
    assert plate_score(0.3, clear) < MIN_PLATE_SCORE


def test_a_reading_without_character_confidences_counts_by_its_confidence() -> None:
    """Its characters are assumed to be equally certain; an empty text has none."""
    assert legible_characters(PlateReading("ABC", 0.729)) == pytest.approx(2.7)
    assert legible_characters(PlateReading("", 0.0)) == 0.0
    assert legible_characters(PlateReading("AB", 0.2, (0.5, 0.4))) == pytest.approx(0.9)
