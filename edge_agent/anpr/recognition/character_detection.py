"""Decodes the output grid of the reader network into characters in reading order.

Uses numpy alone. Training evaluates with the same code. Each of 8×48 cells predicts which character, if any, has its
centre in it, with a confidence, position and size. Cells that predict the same character are merged, and the
characters are sorted into lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
INPUT_WIDTH, INPUT_HEIGHT = 192, 64
Floats = NDArray[np.float32]

SAME_WIDTHS, SAME_HEIGHTS, SAME_AT_LEAST_PX = 0.7, 0.7, 7.0
"""Cells are merged if their predicted centres are within this many mean widths and heights, or pixels. With 5 pixels a
thin I or 1 was sometimes detected twice: 479 of 570 photographs of an unseen kind were read, with 7 pixels 484, without
losses on other sets."""
OTHER_WIDTHS = 0.5
"""The same for cells that predict different characters: an I is closer to its neighbours."""
SMALL_PRINT = 0.8
"""Characters below this share of the median height are small print."""
LINES_APART = 0.6
"""Minimum distance of two lines, in character heights, perpendicular to the text's slope."""
_ENOUGH_TO_COMPARE = 4
_SLOPES = np.linspace(-0.12, 0.12, 9)
_MIDDLE_UNIT, _WIDTH_UNIT, _HEIGHT_UNIT = 16.0, 16.0, 32.0


@dataclass(frozen=True, slots=True)
class DetectedCharacter:
    """One character on the crop, in pixels of the network's 192×64 input."""

    char: str
    confidence: float
    middle_x: float
    middle_y: float
    width: float
    height: float
    distribution: Floats
    """``(36,)`` probabilities over ALPHABET"""


def softmax(logits: Floats) -> Floats:
    """Return probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def detect_characters(cells: Floats, *, threshold: float = 0.5) -> list[DetectedCharacter]:
    """Return the characters on a ``(8, 48, 41)`` grid in reading order. Raising ``threshold`` drops faint ones."""
    rows, columns = cells.shape[:2]
    probabilities = softmax(cells[..., :37])[..., 1:]
    strength = probabilities.sum(axis=-1)
    row, column = np.nonzero(strength > threshold * 0.5)
    if not len(row):
        return []
    power = strength[row, column]
    shape = cells[row, column, 37:]
    x = (column + 0.5) * (INPUT_WIDTH / columns) + shape[:, 0] * _MIDDLE_UNIT
    y = (row + 0.5) * (INPUT_HEIGHT / rows) + shape[:, 1] * _MIDDLE_UNIT
    width = np.exp(np.clip(shape[:, 2], -3, 2)) * _WIDTH_UNIT
    height = np.exp(np.clip(shape[:, 3], -3, 2)) * _HEIGHT_UNIT
    votes = probabilities[row, column]
    places = np.stack([x, y, width, height], axis=1)
    named = votes.argmax(axis=1)
    remaining = np.ones(len(row), bool)
    characters: list[DetectedCharacter] = []
    for best in np.argsort(-power):
        if not remaining[best]:
            continue
        if power[best] < threshold:
            break
        reach = np.where(named == named[best], SAME_WIDTHS, OTHER_WIDTHS) * (width + width[best]) / 2
        near_x = np.abs(x - x[best]) < np.maximum(reach, SAME_AT_LEAST_PX)
        near_y = np.abs(y - y[best]) < SAME_HEIGHTS * (height + height[best]) / 2
        same = remaining & near_x & near_y
        remaining &= ~same
        weight = power[same] ** 2
        weight = weight / weight.sum()
        distribution = np.asarray(weight @ votes[same], np.float32)
        winner = int(distribution.argmax())
        confidence = min(1.0, float(distribution[winner]))
        at_x, at_y, wide, tall = (float(value) for value in weight @ places[same])
        characters.append(DetectedCharacter(ALPHABET[winner], confidence, at_x, at_y, wide, tall, distribution))
    return sort_in_reading_order(drop_small_print(characters))


def drop_small_print(characters: list[DetectedCharacter]) -> list[DetectedCharacter]:
    """Drop characters that are much smaller than the others: country letters, stacked letters, stickers."""
    if len(characters) < _ENOUGH_TO_COMPARE:
        return characters
    usual = median([character.height for character in characters])
    return [character for character in characters if character.height >= SMALL_PRINT * usual]


def sort_in_reading_order(characters: list[DetectedCharacter]) -> list[DetectedCharacter]:
    """Sort: the upper line first, each line from the left."""
    return [character for line in split_lines(characters) for character in line]


def split_lines(characters: list[DetectedCharacter]) -> list[list[DetectedCharacter]]:
    """Return one or two lines, the upper first, each sorted from the left; an empty list without characters."""
    split = _line_break(characters) if len(characters) > 1 else None
    if split is None:
        return [_one_line(characters)] if characters else []
    slope, height = split
    upper = [c for c in characters if c.middle_y - slope * c.middle_x < height]
    lower = [c for c in characters if c.middle_y - slope * c.middle_x >= height]
    return [_one_line(upper), _one_line(lower)]


def _line_break(characters: list[DetectedCharacter]) -> tuple[float, float] | None:
    """Return slope and height of the boundary between two lines of text; None if there is one line."""
    x = np.array([c.middle_x for c in characters])
    y = np.array([c.middle_y for c in characters])
    tall = median([c.height for c in characters])
    levels = np.sort(y - _SLOPES[:, None] * x, axis=1)
    gaps = np.diff(levels, axis=1)
    tilt, place = np.unravel_index(int(gaps.argmax()), gaps.shape)
    gap = float(gaps[tilt, place])
    if gap < LINES_APART * tall:
        return None
    return float(_SLOPES[tilt]), float(levels[tilt, place]) + gap / 2


def _one_line(characters: list[DetectedCharacter]) -> list[DetectedCharacter]:
    return sorted(characters, key=lambda character: character.middle_x)
