"""Letters and digits that look alike, settled by the serials of a region."""

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
def test_a_doubtful_character_follows_the_serial(
    before: str, doubtful: dict[str, float], after: str, regions: dict[str, float], text: str
) -> None:
    """Between an O and a zero the place decides, where the network itself hardly can."""
    assert read(seen(*sure(before), doubtful, *sure(after)), **regions) == text


@settings(max_examples=60, deadline=None)
@given(st.text(ALPHABET, min_size=1, max_size=9), st.sampled_from(["us", "eu", "gb", "br", "other"]))
def test_what_the_network_is_sure_of_stands(text: str, region: str) -> None:
    """However odd the row, a text that was seen clearly is not bent to fit a serial."""
    assert read(seen(*sure(text)), **{region: 1.0}) == text


def test_an_o_is_rarer_than_a_zero_where_serials_go_without() -> None:
    """In the United States an even doubt is a zero, elsewhere what stands around it decides."""
    distributions = seen(*sure("AB"), EITHER_WAY)
    assert read(distributions, us=1.0) == "AB0"
    assert read(distributions, eu=1.0) == "ABO"


def test_doubt_shows_in_that_character_alone() -> None:
    """The confidence is low where kinds compete, high elsewhere, and never above what the network gave."""
    _, confidences = disambiguate(seen(*sure("AB"), EITHER, *sure("1234")), {"other": 1.0})
    assert confidences[2] < 0.8
    assert min(np.delete(confidences, 2)) > 0.9
    assert max(confidences) <= 0.96


def test_unknown_regions_and_lengths_know_no_rows() -> None:
    """No rows for a region that is not in the table, nor for a length it does not have."""
    assert row_shares("other", 7) == {}
    assert row_shares("br", 4) == {}


@pytest.mark.parametrize("region", ["us", "eu", "gb", "br"])
def test_shares_leave_room_for_free_texts(region: str) -> None:
    """The known rows of a region together are common, but never everything."""
    total = sum(sum(row_shares(region, length).values()) for length in range(1, 12))
    assert 0.6 < total < 1.0
