"""Fuses the results of two readers for one line of characters.

The two sequences are aligned. The probabilities of matched characters are multiplied, so the more certain reader
decides and a contradiction lowers the confidence. A character that only one reader detected is kept if its confidence
is high enough; otherwise it is dropped, and the confidence of the next character is lowered.
"""

from __future__ import annotations

import math

import numpy as np

from edge_agent.anpr.recognition.alignment import pairs
from edge_agent.anpr.recognition.character_detection import Floats

CONFIDENT_ERROR_RATE = 0.2
"""Assumed rate of confident errors of a reader. It limits how much one reader can outweigh the other."""
MIN_SIMILARITY = 0.02
"""Lower limit of the similarity of two characters."""
GAP_SIMILARITY = 0.15
"""Similarity equivalent to the cost of a gap: characters that are less similar are not matched."""
MIN_UNMATCHED_CONFIDENCE = (0.8, 0.4)
"""Minimum confidence of an unmatched character of the first and the second reader. It is higher for the first, which
sometimes detects decorations as characters; the second detects thin characters that the first misses."""
UNMATCHED_FACTOR = 0.7
"""Factor for the probability of an unmatched character."""
NEXT_TO_DROPPED_FACTOR = 0.3
"""Factor for the probability of the character next to a dropped one. Of 23 held-out lines with a dropped character, 4
were read correctly; without the factor, 7 would have been confident enough to be reported."""


def fuse(first: list[Floats], second: list[Floats]) -> list[Floats]:
    """Return the fused characters of a line, each ``(36,)`` probabilities."""
    row: list[Floats] = []
    doubt = 1.0
    for one, other in pair_characters(first, second):
        if one is not None and other is not None:
            fused = fuse_pair(one, other)
        else:
            alone = one if one is not None else other
            if alone is None or float(alone.max()) < MIN_UNMATCHED_CONFIDENCE[one is None]:
                doubt *= NEXT_TO_DROPPED_FACTOR
                continue
            fused = alone * np.float32(UNMATCHED_FACTOR)
        row.append(fused * np.float32(doubt))
        doubt = 1.0
    if row:
        row[-1] = row[-1] * np.float32(doubt)
    return row


def fuse_pair(one: Floats, other: Floats) -> Floats:
    """Return the normalised product of two ``(36,)`` distributions, each smoothed by CONFIDENT_ERROR_RATE.

    The product assumes that the errors of the readers are independent.
    """
    masses = float(one.sum()), float(other.sum())
    guarded = [
        (1 - CONFIDENT_ERROR_RATE) * seen / mass + CONFIDENT_ERROR_RATE / len(seen)
        for seen, mass in zip((one, other), masses, strict=True)
    ]
    both = guarded[0] * guarded[1]
    return np.asarray(both * (np.sqrt(masses[0] * masses[1]) / both.sum()), np.float32)


def pair_characters(first: list[Floats], second: list[Floats]) -> list[tuple[Floats | None, Floats | None]]:
    """Return matched characters in reading order; None where one of the readers has none."""
    swaps = [[-math.log(max(float(np.sqrt(one * other).sum()), MIN_SIMILARITY)) for one in first] for other in second]
    return [
        (None if column is None else first[column], None if row is None else second[row])
        for row, column in pairs(swaps, len(first), -math.log(GAP_SIMILARITY))
    ]
