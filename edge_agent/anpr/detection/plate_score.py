"""How likely it is that what was found is a plate at all, once the detector and the reader have both looked.

A grille, a hazard triangle or a lit window can look like a plate from afar, but there are no characters on it. So the
detector's score and the characters that the reader saw count together: a doubtful find with a row of clear characters
is a plate, an illegible one must look like nothing else. The weights are a logistic regression over what is found on
held-out frames and generated scenes (``training/detector/choose_plate_score.py``).
"""

from __future__ import annotations

import math

from edge_agent.anpr.types import PlateReading

MIN_PLATE_SCORE = 0.7
"""What is believed less is not listed, unless everything was asked for. On the held-out material that leaves 3 of the
48 false finds, and drops 10 of 251 plates."""
MOST_CHARACTERS = 5.0
"""More characters than these make nothing any more believable."""
_BIAS, _SCORE_WEIGHT, _CHARACTER_WEIGHT = -3.47, 3.49, 0.80
_LEAST_SCORE = 0.001


def legible_characters(reading: PlateReading) -> float:
    """Return how many characters were read, each counting as much as it is sure."""
    if reading.character_confidences:
        return math.fsum(reading.character_confidences)
    return len(reading.text) * reading.confidence ** (1 / len(reading.text)) if reading.text else 0.0


def plate_score(score: float, reading: PlateReading, *, evidence: float = 0.0) -> float:
    """Return the probability, 0..1, that what the detector gave ``score`` and the reader read so is a plate.

    ``evidence``: log odds of everything else that speaks for it (see ``plate_evidence``).
    """
    score = min(max(score, _LEAST_SCORE), 1 - _LEAST_SCORE)
    characters = min(legible_characters(reading), MOST_CHARACTERS)
    odds = _BIAS + _SCORE_WEIGHT * math.log(score / (1 - score)) + _CHARACTER_WEIGHT * characters + evidence
    return 1 / (1 + math.exp(-odds))
