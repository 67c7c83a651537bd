"""The plate score: probability that a detection is a plate, given the detector's score and the reading.

A grille, a hazard triangle or a lit window can look like a plate from a distance, but has no characters. A detection
with a low score is therefore accepted if its characters are legible, and an illegible one only with a high score. The
weights are from a logistic regression on held-out frames and generated scenes
(``training/detector/choose_plate_score.py``).
"""

from __future__ import annotations

import math

from edge_agent.anpr.types import PlateReading

MIN_PLATE_SCORE = 0.7
"""Minimum plate score of a detection in a single image. On the held-out material this keeps 3 of 48 false positives
and drops 10 of 251 plates."""
MAX_CHARACTERS = 5.0
"""Maximum number of legible characters that count."""
_BIAS, _SCORE_WEIGHT, _CHARACTER_WEIGHT = -3.47, 3.49, 0.80
_MIN_SCORE = 0.001


def legible_characters(reading: PlateReading) -> float:
    """Return the number of characters read, each weighted by its confidence."""
    if reading.character_confidences:
        return math.fsum(reading.character_confidences)
    return len(reading.text) * reading.confidence ** (1 / len(reading.text)) if reading.text else 0.0


def plate_score(score: float, reading: PlateReading, *, evidence: float = 0.0) -> float:
    """Return the probability, 0..1, that a detection is a plate.

    ``score``: of the detector, 0..1. ``evidence``: log odds of further evidence (see ``plate_evidence``).
    """
    score = min(max(score, _MIN_SCORE), 1 - _MIN_SCORE)
    characters = min(legible_characters(reading), MAX_CHARACTERS)
    odds = _BIAS + _SCORE_WEIGHT * math.log(score / (1 - score)) + _CHARACTER_WEIGHT * characters + evidence
    return 1 / (1 + math.exp(-odds))
