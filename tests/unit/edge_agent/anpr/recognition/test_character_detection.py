"""Decoding of the network's grid: merging of cells, and reading order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.anpr.recognition.character_detection import (
    ALPHABET,
    DetectedCharacter,
    detect_characters,
    softmax,
    sort_in_reading_order,
)
from tests.support.anpr.character_grids import SURE, empty_grid, line, write


def text_of(characters: list[DetectedCharacter]) -> str:
    return "".join(character.char for character in characters)


@settings(max_examples=40, deadline=None)
@given(st.text(ALPHABET, min_size=1, max_size=8), st.floats(-0.1, 0.1), st.floats(24, 40))
def test_one_line_is_read_from_left_to_right(text: str, fall: float, y: float) -> None:
    """Each character of a level or sloping line is read once."""
    assert text_of(detect_characters(line(text, fall=fall, y=y))) == text


@settings(max_examples=40, deadline=None)
@given(st.text(ALPHABET, min_size=2, max_size=4), st.text(ALPHABET, min_size=2, max_size=5), st.floats(-0.05, 0.05))
def test_two_lines_are_read_upper_line_first(upper: str, lower: str, fall: float) -> None:
    """Two lines become one text, upper line first, even on a slanted plate."""
    cells = line(upper, y=17, left=40, pitch=30, fall=fall, height=24)
    line(lower, y=47, left=30, pitch=30, fall=fall, height=24, into=cells)
    assert text_of(detect_characters(cells)) == upper + lower


def test_stacked_letters_are_dropped() -> None:
    """Small stacked letters are neither a part of the number nor a line."""
    cells = line("1234", left=60, pitch=30)
    write(cells, "B", 21, 41, width=14, height=15)
    write(cells, "A", 20, 23, width=14, height=15)
    assert text_of(detect_characters(cells)) == "1234"


def test_an_empty_grid_has_no_characters() -> None:
    """A crop without characters gives an empty list."""
    assert detect_characters(empty_grid()) == []


def test_faint_characters_are_dropped() -> None:
    """They are below the threshold; a lower threshold keeps them."""
    cells = line("AB", left=40, pitch=30)
    cells[:, 30] = 0
    cells[3, 30, 1:37] = -9
    cells[3, 30, 1 + ALPHABET.index("C")] = -0.7
    cells[[0, 1, 2, 4, 5, 6, 7], 30, 0] = SURE
    assert text_of(detect_characters(cells, threshold=0.4)) == "AB"
    assert text_of(detect_characters(cells, threshold=0.2)) == "ABC"


def test_contradicting_cells_lower_the_confidence() -> None:
    """One of several cells predicts 8, the others B: the result is B with a lower confidence."""
    cells = line("B", left=98, pitch=30)
    sure = detect_characters(cells)[0]
    rows, columns = np.nonzero(cells[..., 0] == 0)
    cells[rows[0], columns[0], 1 + ALPHABET.index("8")] = SURE + 3
    doubtful = detect_characters(cells)[0]
    assert (sure.char, doubtful.char) == ("B", "B")
    assert sure.confidence > 0.99
    assert 0.4 < doubtful.confidence < 0.9
    assert doubtful.distribution[ALPHABET.index("8")] == pytest.approx(1 - doubtful.confidence, abs=0.01)


def test_position_and_size_are_in_input_pixels() -> None:
    """The decoded values equal the encoded ones."""
    cells = empty_grid()
    write(cells, "K", 101.5, 29.0, width=17, height=30)
    found = detect_characters(cells)[0]
    assert (found.middle_x, found.middle_y) == pytest.approx((101.5, 29.0), abs=0.01)
    assert (found.width, found.height) == pytest.approx((17, 30), rel=0.01)


def test_sorting_one_character_returns_it() -> None:
    """A list of one character is unchanged."""
    character = DetectedCharacter("A", 0.9, 10, 10, 5, 10, np.zeros(36, np.float32))
    assert sort_in_reading_order([character]) == [character]


def test_softmax_of_large_logits_is_finite() -> None:
    """Probabilities sum to one for logits of any size."""
    probabilities = softmax(np.array([[1000.0, 999.0, -1000.0]], np.float32))
    assert probabilities.sum() == pytest.approx(1.0)
    assert probabilities[0, 0] == pytest.approx(0.731, abs=1e-3)


def test_small_print_is_dropped() -> None:
    """The letter on a blue strip is much smaller than the number."""
    cells = line("AB123", left=50, pitch=26, height=40)
    write(cells, "D", 10, 48, width=8, height=14)
    assert text_of(detect_characters(cells)) == "AB123"


def test_small_characters_of_a_short_text_are_kept() -> None:
    """Three characters are too few for a comparison."""
    cells = line("AB", left=60, pitch=30, height=40)
    write(cells, "D", 20, 44, width=10, height=18)
    assert text_of(detect_characters(cells)) == "DAB"


def test_a_narrow_letter_next_to_a_wide_one_is_kept() -> None:
    """TR 95 XMI: I and M are closer than two letters of M's width."""
    cells = line("TR95X", left=20, pitch=22)
    write(cells, "M", 140, 32, width=24)
    write(cells, "I", 151, 32, width=12)
    assert "".join(character.char for character in detect_characters(cells)) == "TR95XMI"


@pytest.mark.parametrize(("apart_px", "read"), [(6, "AIB"), (10, "AIIB")])
def test_a_thin_letter_detected_twice_is_one_letter(apart_px: float, read: str) -> None:
    """B 305 CIL: two detections of I six pixels apart are merged; two I's are farther apart."""
    cells = line("A", left=118)
    line("B", left=182, into=cells)
    write(cells, "I", 150, 32, width=5)
    write(cells, "I", 150 + apart_px, 32, width=5)
    assert text_of(detect_characters(cells)) == read
