"""The vote over many readings of one plate."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.anpr.aggregation.vote import MAX_CANDIDATES, MAX_READINGS, PlateVote
from edge_agent.anpr.recognition.alignment import align, distance
from edge_agent.anpr.types import PlateReading

TEXTS = st.text(alphabet=string.ascii_uppercase + string.digits, min_size=1, max_size=10)
CERTAINTIES = st.floats(0.0, 1.0)


def reading(text: str, *certainties: float) -> PlateReading:
    sure = certainties if len(certainties) == len(text) else (certainties or (0.9,)) * len(text)
    confidence = 1.0
    for value in sure:
        confidence *= value
    return PlateReading(text, confidence, tuple(sure))


@st.composite
def readings(draw: st.DrawFn) -> PlateReading:
    text = draw(TEXTS)
    return reading(text, *draw(st.lists(CERTAINTIES, min_size=len(text), max_size=len(text))))


def voted(*weighted_readings: PlateReading | tuple[PlateReading, float]) -> PlateVote:
    vote = PlateVote()
    for each in weighted_readings:
        vote.add(*each[:1], weight=each[1]) if isinstance(each, tuple) else vote.add(each)
    return vote


def test_empty_and_weightless_readings_do_not_count() -> None:
    """No reading, an empty one and one of zero weight give an empty result."""
    result = voted(reading(""), (reading("AB123"), 0.0)).result()
    assert (result.text, result.confidence, result.candidates, result.reads) == ("", 0.0, (), 0)


def test_the_confidence_of_one_reading_is_kept() -> None:
    """It is the product of the characters' confidences."""
    result = voted(reading("AB12", 0.9, 0.8, 0.95, 0.7)).result()
    assert result.text == "AB12"
    assert result.confidence == pytest.approx(0.9 * 0.8 * 0.95 * 0.7, rel=1e-3)
    assert result.character_confidences == pytest.approx((0.9, 0.8, 0.95, 0.7), rel=1e-3)


def test_a_text_is_combined_from_readings_with_different_errors() -> None:
    """Every reading has a different error; each character has a majority."""
    result = voted(*(reading(text) for text in ("XB123CD", "AX123CD", "AB1X3CD", "AB123CX", "AB12XCD"))).result()
    assert result.text == "AB123CD"
    assert result.confidence > 0.9


@pytest.mark.parametrize("others", [("B123CD", "AB123C"), ("AB1123CD", "IAB123CD"), ("AB123CDI", "AB23CD", "B123C")])
def test_missing_and_superfluous_characters_are_outvoted(others: tuple[str, ...]) -> None:
    """Readings of other lengths are aligned at any position of the missing or superfluous character."""
    right = [reading("AB123CD")] * (len(others) + 1)
    assert voted(*right, *(reading(text) for text in others)).result().text == "AB123CD"


def test_a_more_confident_reading_counts_more() -> None:
    """One confident character in a good crop outweighs two uncertain ones."""
    doubtful = reading("AB1238", 0.9, 0.9, 0.9, 0.9, 0.9, 0.35)
    sure = reading("AB123B", 0.9, 0.9, 0.9, 0.9, 0.9, 0.97)
    assert voted((doubtful, 0.3), (doubtful, 0.3), (sure, 1.0)).result().text == "AB123B"
    assert voted((doubtful, 1.0), (sure, 0.1)).result().text == "AB1238"


def test_a_reading_without_character_confidences_is_accepted() -> None:
    """Its overall confidence is distributed over the characters."""
    result = voted(PlateReading("AB12", 0.6561)).result()
    assert result.confidence == pytest.approx(0.6561, rel=1e-3)


def test_repeated_readings_raise_the_confidence_below_certainty() -> None:
    """The errors of one vehicle's readings are correlated."""
    confidences = [voted(*[reading("AB123CD", 0.8)] * count).result().confidence for count in (1, 2, 4, 8, 30)]
    assert confidences == sorted(confidences)
    assert confidences[0] < 0.25 < 0.9 < confidences[3] < confidences[4] < 1.0


def test_a_tie_has_a_low_confidence() -> None:
    """Half of the readings have B and half 8: the other text is the second candidate."""
    result = voted(*[reading("AB1"), reading("A81")] * 4).result()
    assert {result.candidates[0].text, result.candidates[1].text} == {"AB1", "A81"}
    assert result.confidence < 0.6
    assert result.lead < 0.05


def test_the_number_of_stored_readings_is_limited() -> None:
    """The count of readings is not limited."""
    vote = voted(*[(reading("AB123"), 0.2)] * (2 * MAX_READINGS), *[(reading("CD456"), 0.9)] * MAX_READINGS)
    assert vote.result().text == "CD456"
    assert vote.result().reads == 3 * MAX_READINGS


def test_merged_votes_equal_one_vote() -> None:
    """The result is the same as if one track had all readings."""
    first, second = voted(reading("AB123"), reading("A8123")), voted(reading("AB123"), reading("AB128"))
    first.merge(second)
    assert first.result().text == "AB123"
    assert first.result().reads == 4


@given(st.lists(st.tuples(readings(), st.floats(0.05, 1.0)), min_size=1, max_size=12))
def test_confidences_are_probabilities(weighted_readings: list[tuple[PlateReading, float]]) -> None:
    """Candidates are ordered, distinct, include the text, and sum to at most one, for any readings."""
    result = voted(*weighted_readings).result()
    texts = [candidate.text for candidate in result.candidates]
    confidences = [candidate.confidence for candidate in result.candidates]
    assert len(set(texts)) == len(texts) <= MAX_CANDIDATES
    assert sum(confidences) <= 1.0 + 1e-9
    assert all(0.0 <= confidence <= 1.0 for confidence in confidences)
    assert confidences[1:] == sorted(confidences[1:], reverse=True)
    if result.text:
        assert texts[0] == result.text
        assert confidences[0] == result.confidence
    assert len(result.character_confidences) == len(result.text)


@given(TEXTS, readings(), st.integers(3, 8), st.integers(0, 8))
def test_one_wrong_reading_changes_nothing(text: str, bad: PlateReading, good: int, place: int) -> None:
    """Three equal readings and one arbitrary reading, at any position, give the text of the three."""
    right = [reading(text, 0.85)] * good
    assert voted(*right[:place], bad, *right[place:]).result().text == text


@given(st.lists(st.tuples(readings(), st.floats(0.05, 1.0)), min_size=1, max_size=8))
def test_a_prefix_that_all_readings_share_is_kept(weighted_readings: list[tuple[PlateReading, float]]) -> None:
    """If every reading begins with the same confident characters, so does the result."""
    prefixed = [
        (PlateReading("QQQQ" + each.text, 0.5, (0.97,) * 4 + each.character_confidences), weight)
        for each, weight in weighted_readings
        if "Q" not in each.text
    ]
    if prefixed:
        assert voted(*prefixed).result().text.startswith("QQQQ")


@given(TEXTS, TEXTS)
def test_an_alignment_places_every_character_once_and_in_order(text: str, reference: str) -> None:
    """No character is lost, repeated or moved; the cost is symmetric."""
    alignment = align(text, reference)
    assert len(alignment.matched) == len(reference)
    assert len(alignment.inserted) == len(reference) + 1
    order: list[int] = []
    for slot, inserted in enumerate(alignment.inserted):
        order += inserted
        if slot < len(reference) and (index := alignment.matched[slot]) is not None:
            order.append(index)
    assert order == list(range(len(text)))
    assert distance(text, reference) == pytest.approx(distance(reference, text))


@given(TEXTS, TEXTS, TEXTS)
def test_distance_is_a_metric(one: str, two: str, three: str) -> None:
    """It is zero only for equal texts, and the triangle inequality holds."""
    assert (distance(one, two) == 0) == (one == two)
    assert distance(one, three) <= distance(one, two) + distance(two, three) + 1e-9


def test_similar_characters_are_nearer() -> None:
    """B for 8 costs less than B for X."""
    assert distance("AB1", "A81") < distance("AB1", "AX1") <= 1.0
