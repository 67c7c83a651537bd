"""Random texts of plates: by a pattern, or of vanity plates."""

from __future__ import annotations

import numpy as np

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
_VOWELS = "AEIOU"
_CONSONANTS = "BCDFGHJKLMNPRSTVWXYZ"
_NO_I_O_Q = "ABCDEFGHJKLMNPRSTUVWXYZ"
_HARD_LETTERS, _HARD_DIGITS = "IIIOQJBWM", "1110087"
_HARD_SOURCES = {"L": _HARD_LETTERS, "D": _HARD_DIGITS, "X": _HARD_LETTERS + _HARD_DIGITS}
HARD_SHARE = 0.3
"""Share of plates with one to three characters that are hard to read, among those with any letter. With uniformly
drawn letters, a reader mistook an I at either end (IF 82 EVA, TR 95 XMI) for the edge of the plate."""


def draw(rng: np.random.Generator, pattern: str, *, without_ioq: float = 0.4) -> str:
    """Fill a pattern (see ``layouts``), keeping separators and ``/``; ``without_ioq``: share without I, O and Q."""
    letters = LETTERS if rng.random() >= without_ioq else _NO_I_O_Q
    places = [number for number, char in enumerate(pattern) if char in "LDX"]
    hard = set[int]()
    if letters == LETTERS and places and rng.random() < HARD_SHARE:
        ends = [places[0], places[-1]] if rng.random() < 0.5 else places
        hard = set(rng.choice(ends, int(rng.integers(1, 4))).tolist())
    out: list[str] = []
    literal = False
    for place, char in enumerate(pattern):
        if char in "{}":
            literal = char == "{"
        elif literal or char not in "LDX":
            out.append(char)
        else:
            table = _HARD_SOURCES if place in hard else {"L": letters, "D": DIGITS, "X": LETTERS + DIGITS}
            source = table[char]
            out.append(source[rng.integers(len(source))])
    return "".join(out)


def vanity(rng: np.random.Generator) -> str:
    """Return a text as on vanity plates: near-words, words with digits, initials and years; 1 to 8 characters."""
    kind = rng.random()
    if kind < 0.2:
        return draw(
            rng,
            str(
                rng.choice(
                    [
                        "LLL DD",
                        "LL DDDD",
                        "L DDD",
                        "DDDD",
                        "D",
                        "DDD",
                        "LDL",
                        "LL-DD",
                        "LLLLLL",
                        "DLLL",
                        "DD",
                        "LL DD LL",
                    ]
                )
            ),
        )
    if kind < 0.35:
        return draw(
            rng, str(rng.choice(["XXXXXX", "XXXXXXX", "XXXXX", "XXXX", "XXX XXX", "XXX", "XX XXXX", "XXX-XXX"]))
        )
    length = int(rng.choice([3, 4, 5, 6, 7, 8], p=[0.05, 0.12, 0.2, 0.28, 0.29, 0.06]))
    word: list[str] = []
    vowel = rng.random() < 0.35
    while len(word) < length:
        source = _VOWELS if vowel else _CONSONANTS
        word.append(source[rng.integers(len(source))])
        if rng.random() < 0.15 and len(word) < length:
            word.append(word[-1])
        vowel = not vowel if rng.random() < 0.8 else vowel
    if rng.random() < 0.3:
        word[int(rng.integers(length))] = DIGITS[rng.integers(10)]
    if rng.random() < 0.2:
        word[-1] = DIGITS[rng.integers(10)]
    text = "".join(word)
    if rng.random() < 0.25 and length > 3:
        cut = int(rng.integers(1, length))
        text = text[:cut] + str(rng.choice([" ", "-", " ", "*", "."])) + text[cut:]
    return text
