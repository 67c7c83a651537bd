"""From the reader network's grid of cells to characters in reading order. numpy only; training examines with it too.

Each of 8×48 cells over the crop says which character has its middle there, if any, how sure that is, and where and how
large the character is. Cells that speak of one character are merged, and the characters are put into lines.
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
"""Cells whose middles lie within so many of their mean widths and heights (or pixels) speak of one character. With 5
pixels a thin I or 1 was now and then seen twice: of 570 photographs that a reader had never seen the like of, 479 were
read, with 7 it is 484, and as many as before of everything else."""
OTHER_WIDTHS = 0.5
"""The same where they name different characters: an I stands closer to its neighbours than that."""
SMALL_PRINT = 0.8
"""Characters lower than this share of the usual height are small print."""
LINES_APART = 0.6
"""Characters whose middles are farther apart than this, in heights and across the text's slant, are two lines."""
_ENOUGH_TO_COMPARE = 4
_SLOPES = np.linspace(-0.12, 0.12, 9)
_MIDDLE_UNIT, _WIDTH_UNIT, _HEIGHT_UNIT = 16.0, 16.0, 32.0


@dataclass(frozen=True, slots=True)
class DetectedCharacter:
    """One character on the crop; pixels of the network's 192×64 input."""

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
    """Return the characters on a ``(8, 48, 41)`` grid, in reading order. A higher threshold drops faint characters."""
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
    left = np.ones(len(row), bool)
    found: list[DetectedCharacter] = []
    for best in np.argsort(-power):
        if not left[best]:
            continue
        if power[best] < threshold:
            break
        reach = np.where(named == named[best], SAME_WIDTHS, OTHER_WIDTHS) * (width + width[best]) / 2
        near_x = np.abs(x - x[best]) < np.maximum(reach, SAME_AT_LEAST_PX)
        near_y = np.abs(y - y[best]) < SAME_HEIGHTS * (height + height[best]) / 2
        same = left & near_x & near_y
        left &= ~same
        weight = power[same] ** 2
        weight = weight / weight.sum()
        distribution = np.asarray(weight @ votes[same], np.float32)
        winner = int(distribution.argmax())
        confidence = min(1.0, float(distribution[winner]))
        at_x, at_y, wide, tall = (float(value) for value in weight @ places[same])
        found.append(DetectedCharacter(ALPHABET[winner], confidence, at_x, at_y, wide, tall, distribution))
    return sort_in_reading_order(drop_small_print(found))


def drop_small_print(characters: list[DetectedCharacter]) -> list[DetectedCharacter]:
    """Leave out what is much smaller than the rest: the letter on a strip, stacked letters, a sticker's month."""
    if len(characters) < _ENOUGH_TO_COMPARE:
        return characters
    usual = median([character.height for character in characters])
    return [character for character in characters if character.height >= SMALL_PRINT * usual]


def sort_in_reading_order(characters: list[DetectedCharacter]) -> list[DetectedCharacter]:
    """Sort: the upper line first, each line from the left."""
    return [character for line in split_lines(characters) for character in line]


def split_lines(characters: list[DetectedCharacter]) -> list[list[DetectedCharacter]]:
    """Return one line or two, the upper first, each sorted from the left; nothing where there are no characters."""
    split = _line_break(characters) if len(characters) > 1 else None
    if split is None:
        return [_one_line(characters)] if characters else []
    slope, height = split
    upper = [c for c in characters if c.middle_y - slope * c.middle_x < height]
    lower = [c for c in characters if c.middle_y - slope * c.middle_x >= height]
    return [_one_line(upper), _one_line(lower)]


def _line_break(characters: list[DetectedCharacter]) -> tuple[float, float] | None:
    """Return slope and height of the line that parts two lines of text, or None where there is one line."""
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
