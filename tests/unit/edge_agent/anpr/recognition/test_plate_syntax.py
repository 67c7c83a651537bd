"""Disambiguation of similar letters and digits by the plate syntax of a region."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.anpr.recognition.character_detection import ALPHABET, Floats
from edge_agent.anpr.recognition.plate_syntax import disambiguate, row_shares


def seen(*characters: dict[str, float]) -> Floats:
    """Return the network's probabilities: the given ones for each character, and 0.0001 for all others."""
    rows = np.full((len(characters), len(ALPHABET)), 1e-4, np.float32)
    for row, chances in zip(rows, characters, strict=True):
        for char, chance in chances.items():
            row[ALPHABET.index(char)] = chance
    return rows


def sure(text: str) -> list[dict[str, float]]:
    return [{char: 0.95} for char in text]


def read(distributions: Floats, **regions: float) -> str:
    return "".join(ALPHABET[index] for index in disambiguate(distributions, regions)[0])


RATHER_DIGIT = {"O": 0.46, "0": 0.5}
RATHER_LETTER = {"O": 0.5, "0": 0.46}


@pytest.mark.parametrize(
    ("before", "doubtful", "after", "regions", "text"),
    [
        ("AB", RATHER_DIGIT, "1234", {"br": 1.0}, "ABO1234"),
        ("ABC", RATHER_LETTER, "234", {"br": 1.0}, "ABC0234"),
        ("ABC1", {"O": 0.7, "0": 0.26}, "23", {"br": 1.0}, "ABC1O23"),
        ("AB", RATHER_LETTER, "1XYZ", {"gb": 1.0}, "AB01XYZ"),
        ("12", RATHER_LETTER, "ABC", {"us": 0.9, "other": 0.1}, "120ABC"),
        ("ABC", RATHER_DIGIT, "EFG", {"other": 1.0}, "ABCOEFG"),
        ("123", RATHER_LETTER, "456", {"other": 1.0}, "1230456"),
    ],
)
def test_an_uncertain_character_follows_the_plate_syntax(
    before: str, doubtful: dict[str, float], after: str, regions: dict[str, float], text: str
) -> None:
    """Between O and zero the position decides."""
    assert read(seen(*sure(before), doubtful, *sure(after)), **regions) == text


@settings(max_examples=60, deadline=None)
@given(st.text(ALPHABET, min_size=1, max_size=9), st.sampled_from(["us", "eu", "gb", "br", "other"]))
def test_a_certain_character_is_kept(text: str, region: str) -> None:
    """A confident text is not changed to match a pattern."""
    assert read(seen(*sure(text)), **{region: 1.0}) == text


def test_an_o_is_rarer_than_a_zero_in_the_us() -> None:
    """With equal probabilities the result is zero in the US; elsewhere the pattern decides."""
    distributions = seen(*sure("AB"), RATHER_LETTER)
    assert read(distributions, us=1.0) == "AB0"
    assert read(distributions, eu=1.0) == "ABO"


def test_uncertainty_affects_only_its_character() -> None:
    """Its confidence is low, and no confidence exceeds the network's."""
    _, confidences = disambiguate(seen(*sure("AB"), RATHER_DIGIT, *sure("1234")), {"other": 1.0})
    assert confidences[2] < 0.8
    assert min(np.delete(confidences, 2)) > 0.9
    assert max(confidences) <= 0.96


def test_unknown_regions_and_lengths_have_no_patterns() -> None:
    """The region or the length is not in the table."""
    assert row_shares("other", 7) == {}
    assert row_shares("br", 4) == {}


@pytest.mark.parametrize("region", ["us", "eu", "gb", "br"])
def test_the_known_patterns_of_a_region_do_not_cover_all_plates(region: str) -> None:
    """They have 60 to 100 % of the probability."""
    total = sum(sum(row_shares(region, length).values()) for length in range(1, 12))
    assert 0.6 < total < 1.0
