"""Encodes characters as the reader network's output grid: the inverse of ``character_detection``."""

from __future__ import annotations

import numpy as np

from edge_agent.anpr.recognition.character_detection import ALPHABET, Floats

ROWS, COLUMNS = 8, 48
STEP_PX = (4.0, 8.0)
SURE = 12.0


def empty_grid() -> Floats:
    """Return a grid without characters."""
    cells = np.zeros((ROWS, COLUMNS, 41), np.float32)
    cells[..., 0] = SURE
    return cells


def write(
    cells: Floats, char: str, x: float, y: float, *, width: float = 18, height: float = 32, logit: float = SURE
) -> None:
    """Encode a character in the cells around its centre, in pixels of the 192×64 input."""
    for row in range(ROWS):
        for column in range(COLUMNS):
            dx, dy = x - (column + 0.5) * STEP_PX[0], y - (row + 0.5) * STEP_PX[1]
            if abs(dx) <= max(2.1, 0.22 * width) and abs(dy) <= max(4.1, 0.22 * height):
                cells[row, column] = 0
                cells[row, column, 1 + ALPHABET.index(char)] = logit
                cells[row, column, 37:] = dx / 16, dy / 16, np.log(width / 16), np.log(height / 32)


def line(
    text: str,
    *,
    y: float = 32,
    left: float = 16,
    pitch: float = 22,
    fall: float = 0.0,
    height: float = 32,
    into: Floats | None = None,
) -> Floats:
    """Return a grid with one line of text; ``fall`` is its slope, positive downwards."""
    cells = empty_grid() if into is None else into
    for index, char in enumerate(text):
        x = left + pitch * index
        write(cells, char, x, y + fall * (x - 96), width=0.8 * pitch, height=height)
    return cells
