"""Fusion of the results of two readers for one line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.anpr.recognition.character_detection import ALPHABET, Floats
from edge_agent.anpr.recognition.fusion import fuse, pair_characters

SURE = 0.95


def character(char: str, sure: float = SURE, *, rather: str = "") -> Floats:
    """Return the probabilities of one character; ``rather`` gets 99 % of the remainder."""
    chances = np.full(len(ALPHABET), (1 - sure) * 0.01 / 34, np.float32)
    if rather:
        chances[ALPHABET.index(rather)] = (1 - sure) * 0.99
    chances[ALPHABET.index(char)] = sure
    return chances


def row(text: str, sure: float = SURE) -> list[Floats]:
    return [character(char, sure) for char in text]


def text(characters: list[Floats]) -> str:
    return "".join(ALPHABET[int(chances.argmax())] for chances in characters)


@given(st.text(ALPHABET, max_size=10), st.floats(0.5, 1.0), st.floats(0.5, 1.0))
def test_a_character_that_both_readers_detected_is_kept(seen: str, first: float, second: float) -> None:
    """This holds for any character and confidence."""
    assert text(fuse(row(seen, first), row(seen, second))) == seen


@given(st.lists(st.sampled_from(ALPHABET), max_size=9), st.lists(st.sampled_from(ALPHABET), max_size=9))
def test_every_character_is_in_exactly_one_pair(first: list[str], second: list[str]) -> None:
    """The order is kept."""
    one, other = row("".join(first)), row("".join(second))
    pairs = pair_characters(one, other)
    assert [id(a) for a, _ in pairs if a is not None] == [id(a) for a in one]
    assert [id(b) for _, b in pairs if b is not None] == [id(b) for b in other]


@given(st.text(ALPHABET, max_size=8), st.text(ALPHABET, max_size=8))
def test_probabilities_stay_probabilities(first: str, second: str) -> None:
    """Each probability is at least 0, and those of one character sum to at most 1."""
    for chances in fuse(row(first), row(second)):
        assert (chances >= 0).all()
        assert chances.sum() <= 1 + 1e-5


def test_the_more_certain_reader_decides() -> None:
    """It decides between B and 8; the other characters are kept."""
    uncertain = [character("A"), character("8", 0.6, rather="B"), character("C")]
    assert text(fuse(uncertain, row("ABC"))) == "ABC"


def test_a_contradiction_lowers_the_confidence() -> None:
    """Both readers are equally certain of different characters."""
    contradicting = fuse(
        [character("A"), character("8", 0.9, rather="B")], [character("A"), character("B", 0.9, rather="8")]
    )
    assert float(contradicting[0].max()) > 0.9
    assert float(contradicting[1].max()) < 0.6


@pytest.mark.parametrize(
    ("sure", "seen_by_second", "expected"),
    [(0.95, False, "AIC"), (0.95, True, "AIC"), (0.6, False, "AC"), (0.6, True, "AIC"), (0.3, True, "AC")],
)
def test_an_unmatched_character_is_kept_if_it_is_confident(sure: float, seen_by_second: bool, expected: str) -> None:
    """Its confidence is lowered; the first reader needs a higher one than the second."""
    more, fewer = [character("A"), character("I", sure), character("C")], row("AC")
    found = fuse(fewer, more) if seen_by_second else fuse(more, fewer)
    assert text(found) == expected
    if expected == "AIC":
        assert float(found[1].max()) < sure


@pytest.mark.parametrize("place", range(4))
def test_a_dropped_character_lowers_the_confidence_of_its_neighbour(place: int) -> None:
    """A line in which one reader detected an additional character is uncertain."""
    more = row("ABC")
    more.insert(place, character("I", 0.5))
    found = fuse(more, row("ABC"))
    assert text(found) == "ABC"
    doubted = [float(chances.max()) < 0.5 for chances in found]
    assert doubted.count(True) == 1
    assert doubted[min(place, 2)]


def test_an_empty_second_result_keeps_confident_characters() -> None:
    """The confident characters of the first reader remain."""
    assert text(fuse([*row("AB"), character("C", 0.4)], [])) == "AB"
