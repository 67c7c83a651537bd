"""Joins what two readers saw of one line into one row of characters.

The rows are aligned as wholes. Of characters that both saw the probabilities are
multiplied: where one hesitates the other decides, and where they quarrel nobody is sure. A character that only one saw
stays where that one is sure enough; where it does not, its neighbour is doubted instead of it.
"""

from __future__ import annotations

import math

import numpy as np

from edge_agent.anpr.recognition.alignment import pairs
from edge_agent.anpr.recognition.character_detection import Floats

UNFORESEEN = 0.2
"""How often a reader may be wrong without a doubt: no certainty of one outweighs all that the other says."""
UNLIKE = 0.02
"""What two characters have in common at least: less tells nothing more."""
ALONE = 0.15
"""As much as leaving out a character costs: two that have less in common are rather two characters."""
SURE_ALONE = (0.8, 0.4)
"""How sure the first and the second reader must be of a character that the other did not see: decorations that the
first takes for one are surer than thin characters that only the second sees."""
ALONE_COUNTS = 0.7
"""What is left of its probability."""
LEFT_OUT_COUNTS = 0.3
"""What is left of a character's probability beside one that was left out. Of 23 lines that this happened to in held-out
plates 4 were read rightly, and the probabilities of what was left would have told 7."""


def fuse(first: list[Floats], second: list[Floats]) -> list[Floats]:
    """Return the characters of a line, each ``(36,)`` probabilities, from what two readers saw of it."""
    row: list[Floats] = []
    doubt = 1.0
    for one, other in pair_characters(first, second):
        if one is not None and other is not None:
            seen = fuse_pair(one, other)
        else:
            alone = one if one is not None else other
            if alone is None or float(alone.max()) < SURE_ALONE[one is None]:
                doubt *= LEFT_OUT_COUNTS
                continue
            seen = alone * np.float32(ALONE_COUNTS)
        row.append(seen * np.float32(doubt))
        doubt = 1.0
    if row:
        row[-1] = row[-1] * np.float32(doubt)
    return row


def fuse_pair(one: Floats, other: Floats) -> Floats:
    """Return the product of two sets of probabilities, each as wrong as UNFORESEEN allows.

    The readers err independently of each other, so what both say counts as the product of what each says.
    """
    masses = float(one.sum()), float(other.sum())
    guarded = [
        (1 - UNFORESEEN) * seen / mass + UNFORESEEN / len(seen) for seen, mass in zip((one, other), masses, strict=True)
    ]
    both = guarded[0] * guarded[1]
    return np.asarray(both * (np.sqrt(masses[0] * masses[1]) / both.sum()), np.float32)


def pair_characters(first: list[Floats], second: list[Floats]) -> list[tuple[Floats | None, Floats | None]]:
    """Return pairs of characters in reading order; None where only one of the readers saw one."""
    swaps = [[-math.log(max(float(np.sqrt(one * other).sum()), UNLIKE)) for one in first] for other in second]
    return [
        (None if column is None else first[column], None if row is None else second[row])
        for row, column in pairs(swaps, len(first), -math.log(ALONE))
    ]
