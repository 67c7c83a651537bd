"""Disambiguation of similar letters and digits by the plate syntax of a region."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.anpr.recognition.character_detection import ALPHABET, Floats
from edge_agent.anpr.recognition.plate_syntax import disambiguate, row_shares


def seen(*characters: dict[str, float]) -> Floats:
    """What the network thinks of each character: chances by name, a trifle for all others."""
    rows = np.full((len(characters), len(ALPHABET)), 1e-4, np.float32)
    for row, chances in zip(rows, characters, strict=True):
        for char, chance in chances.items():
            row[ALPHABET.index(char)] = chance
    return rows


def sure(text: str) -> list[dict[str, float]]:
    return [{char: 0.95} for char in text]


def read(distributions: Floats, **regions: float) -> str:
    return "".join(ALPHABET[index] for index in disambiguate(distributions, regions)[0])


EITHER = {"O": 0.46, "0": 0.5}
EITHER_WAY = {"O": 0.5, "0": 0.46}


@pytest.mark.parametrize(
    ("before", "doubtful", "after", "regions", "text"),
    [
        ("AB", EITHER, "1234", {"br": 1.0}, "ABO1234"),
        ("ABC", EITHER_WAY, "234", {"br": 1.0}, "ABC0234"),
        ("ABC1", {"O": 0.7, "0": 0.26}, "23", {"br": 1.0}, "ABC1O23"),
        ("AB", EITHER_WAY, "1XYZ", {"gb": 1.0}, "AB01XYZ"),
        ("12", EITHER_WAY, "ABC", {"us": 0.9, "other": 0.1}, "120ABC"),
        ("ABC", EITHER, "EFG", {"other": 1.0}, "ABCOEFG"),
        ("123", EITHER_WAY, "456", {"other": 1.0}, "1230456"),
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
    """A clearly read text is not changed to fit a pattern."""
    assert read(seen(*sure(text)), **{region: 1.0}) == text


def test_an_o_is_rarer_than_a_zero_in_the_us() -> None:
    """With equal probabilities the result is zero in the US; elsewhere the pattern decides."""
    distributions = seen(*sure("AB"), EITHER_WAY)
    assert read(distributions, us=1.0) == "AB0"
    assert read(distributions, eu=1.0) == "ABO"


def test_uncertainty_affects_only_its_character() -> None:
    """Its confidence is low, and no confidence exceeds the network's."""
    _, confidences = disambiguate(seen(*sure("AB"), EITHER, *sure("1234")), {"other": 1.0})
    assert confidences[2] < 0.8
    assert min(np.delete(confidences, 2)) > 0.9
    assert max(confidences) <= 0.96


def test_unknown_regions_and_lengths_have_no_patterns() -> None:
    """For a region or a length that is not in the table."""
    assert row_shares("other", 7) == {}
    assert row_shares("br", 4) == {}


@pytest.mark.parametrize("region", ["us", "eu", "gb", "br"])
def test_shares_leave_room_for_free_texts(region: str) -> None:
    """The known rows of a region together are common, but never everything."""
    total = sum(sum(row_shares(region, length).values()) for length in range(1, 12))
    assert 0.6 < total < 1.0
