"""Random typefaces: 36 character skeletons, drawn with a pen of constant width, like the dies of plate manufacturers.

No open font has the alphabets that are pressed into plates. They differ in more than weight and width: bowls are round
or nearly square, a 4 is open or closed, the apex of an M is short or reaches the baseline, a 1 has a foot or none, a 0
may equal the O. All of these are random here, so that the reader learns what the alphabets have in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge_agent.anpr.recognition.character_detection import ALPHABET
from training.plates.fonts import MASK_CAP_PX, Glyph

FINE = 3
"""The skeletons are drawn enlarged by this factor, then averaged."""
_STEPS = 24
Path = np.ndarray
"""``(N, 2)`` points of the pen's centre, in a box from (0, 0), top left, to (1, 1)."""


@dataclass(frozen=True, slots=True)
class Style:
    """Parameters that all characters of one set of dies have in common."""

    width: float
    """Width of an H, in heights of a capital."""
    pen: float
    """Stroke width, in heights of a capital."""
    power: float
    """Exponent of the superellipses of bowls: 2 is round, 5 nearly square."""
    waist: float
    """Position of the middle bars from the top, as a fraction of the height."""
    flat: bool
    """Whether strokes have flat ends at the top and the bottom."""
    fixed: bool
    """Whether every character, including I, has the same width."""
    zero: float
    """Width of the 0 as a fraction of the O's; 1: the same die."""
    mark: str
    """Mark in the 0: none, a slash or a dot."""
    one: int
    eye: int
    four: int
    six: int
    three: int
    jay: int
    em: float
    double_u: float
    apex: float
    leg: float
    tail: int
    hook: float
    """Curvature of the ends of C, G, S, 2, 3, 5, 6 and 9, in degrees."""


def draw_style(rng: np.random.Generator, *, heavy: bool) -> Style:
    """Return a random style; ``heavy``: stroke widths of British plates, otherwise of North American ones."""
    pen = float(rng.uniform(0.13, 0.21) if heavy else rng.uniform(0.085, 0.15))
    return Style(
        width=float(rng.uniform(max(0.4, 3.2 * pen), 0.7)),
        pen=pen,
        power=float(rng.choice([2.0, 2.4, 3.0, 4.0, 5.5])),
        waist=float(rng.uniform(0.44, 0.56)),
        flat=bool(rng.random() < 0.5),
        fixed=bool(rng.random() < 0.3),
        zero=float(rng.choice([1.0, 1.0, 0.92, 0.85, 0.75])),
        mark=str(rng.choice(["", "", "", "", "", "", "", "", "/", "."])),
        one=int(rng.integers(4)),
        eye=int(rng.choice([0, 0, 0, 1])),
        four=int(rng.choice([0, 0, 0, 1, 2])),
        six=int(rng.integers(3)),
        three=int(rng.choice([0, 0, 0, 1])),
        jay=int(rng.choice([0, 0, 0, 1])),
        em=float(rng.choice([1.0, 0.75, 0.6, 0.45])),
        double_u=float(rng.choice([0.0, 0.3, 0.45, 0.6])),
        apex=float(rng.choice([0.0, 0.0, 0.0, 0.15, 0.3])),
        leg=float(rng.uniform(0.3, 0.65)),
        tail=int(rng.integers(3)),
        hook=float(rng.uniform(15, 60)),
    )


class Dies:
    """The plate alphabet of one style; has the interface of ``Typeface``."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._glyphs: dict[str, Glyph] = {}

    def glyph(self, char: str) -> Glyph:
        """Return the mask of one character."""
        if char not in self._glyphs:
            if char not in ALPHABET:
                raise ValueError(f"no die for {char!r}; dies exist for {ALPHABET}")
            mask = _struck(skeleton(char, self._style), self._room(char), self._style)
            columns = np.flatnonzero(mask.max(0) > 40)
            first, last = int(columns[0]), int(columns[-1]) + 1
            advance = mask.shape[1] + 0.12 * MASK_CAP_PX
            self._glyphs[char] = Glyph(np.ascontiguousarray(mask[:, first:last]), 0, float(first), advance)
        return self._glyphs[char]

    def _room(self, char: str) -> float:
        """Return the width of a character's box in heights of a capital."""
        style = self._style
        if style.fixed:
            return style.width
        if (char == "I" and not style.eye) or (char == "1" and not style.one):
            return style.pen * 1.02
        if char in "1I":
            return max(style.width * 0.6, 2.2 * style.pen)
        wide = {"M": 1.25, "W": 1.4, "L": 0.85, "J": 0.85, "E": 0.88, "F": 0.86, "T": 0.95}.get(char, 1.0)
        return style.width * (wide * style.zero if char == "0" else wide)


def _struck(paths: list[Path], room: float, style: Style) -> np.ndarray:
    """Draw the paths with the style's pen; uint8, ``MASK_CAP_PX`` high."""
    tall, wide, pen = MASK_CAP_PX * FINE, max(3, round(room * MASK_CAP_PX * FINE)), style.pen * MASK_CAP_PX * FINE
    canvas = np.zeros((tall, wide), np.uint8)
    inner = np.array([max(wide - pen, 1.0), tall - pen])
    for path in paths:
        points = path * inner + pen / 2
        if style.flat and len(path) == 2 and path[0, 0] == path[1, 0]:  # a vertical stroke extends to the edge
            points[:, 1] += np.where(np.isclose(path[:, 1], 0), -pen, 0) + np.where(np.isclose(path[:, 1], 1), pen, 0)
        points = np.round(points * 16).astype(np.int32)
        cv2.polylines(canvas, [points], False, 255, max(1, round(pen)), cv2.LINE_AA, 4)
    return cv2.resize(canvas, (max(2, round(wide / FINE)), MASK_CAP_PX), interpolation=cv2.INTER_AREA)


def _bowl(  # noqa: PLR0917 -- a box, two angles and an exponent
    left: float, top: float, right: float, bottom: float, start: float, end: float, power: float
) -> Path:
    """Return a part of a superellipse (Lamé curve) in a box; angles in degrees, 0 to the right, 90 down.

    The seven numbers are positional, because ``skeleton`` is a table of such calls.
    """
    angles = np.radians(np.linspace(start, end, _STEPS))
    cosine, sine = np.cos(angles), np.sin(angles)
    x = (left + right) / 2 + (right - left) / 2 * np.sign(cosine) * np.abs(cosine) ** (2 / power)
    y = (top + bottom) / 2 + (bottom - top) / 2 * np.sign(sine) * np.abs(sine) ** (2 / power)
    return np.stack([x, y], 1)


def _line(*points: tuple[float, float]) -> Path:
    return np.array(points, np.float64)


def _side(top: float, bottom: float, straight: float, power: float) -> Path:
    """Return the bowl of a D, B or P, which begins and ends at the vertical stroke."""
    curve = _bowl(2 * straight - 1, top, 1, bottom, -90, 90, power)
    return np.vstack([[[0, top]], curve, [[0, bottom]]])


def skeleton(char: str, s: Style) -> list[Path]:  # noqa: PLR0911, PLR0912, PLR0915 -- a table of characters
    """Return the strokes of one character."""
    w, p, upright = s.waist, s.power, _line((0, 0), (0, 1))
    six_top = 0.36 if s.six else w * 0.8
    match char:
        case "A":
            at = 0.5 - s.apex, 0.5 + s.apex
            bar = 0.68
            reach = bar * at[0]
            return [
                _line((0, 1), (at[0], 0), (at[1], 0), (1, 1)),
                _line((at[0] - reach + 0.03, bar), (1 - at[0] + reach - 0.03, bar)),
            ]
        case "B":
            return [upright, _side(0, w, 0.55, p), _side(w, 1, 0.5, p)]
        case "C":
            return [_bowl(0, 0, 1, 1, -s.hook, -360 + s.hook, p)]
        case "D":
            return [upright, _side(0, 1, 0.4, p)]
        case "E":
            return [_line((1, 0), (0, 0), (0, 1), (1, 1)), _line((0, w), (0.85, w))]
        case "F":
            return [_line((1, 0), (0, 0), (0, 1)), _line((0, w), (0.8, w))]
        case "G":
            return [
                _bowl(0, 0, 1, 1, -s.hook, -360, p),
                _line((1, 0.5), (1, 0.55), (0.55, 0.55)),
                *([_line((1, 0.5), (1, 1))] if s.tail == 1 else []),
            ]
        case "H":
            return [upright, _line((1, 0), (1, 1)), _line((0, w), (1, w))]
        case "I":
            serifs = [_line((0, 0), (1, 0)), _line((0, 1), (1, 1))]
            return [_line((0.5, 0), (0.5, 1)), *(serifs if s.eye else [])]
        case "J":
            bend = _bowl(0, 0.4, 1, 1, 0, 180 - (s.hook - 15) / 2, p)
            return [np.vstack([[[1, 0]], bend]), *([_line((0.3, 0), (1, 0))] if s.jay else [])]
        case "K":
            foot = 0.62 if s.leg > 0.5 else 0.55
            return [upright, _line((1, 0), (0, foot)), _line((0.33, foot - 0.2), (1, 1))]
        case "L":
            return [_line((0, 0), (0, 1), (1, 1))]
        case "M":
            return [upright, _line((1, 0), (1, 1)), _line((0, 0), (0.5, s.em), (1, 0))]
        case "N":
            return [upright, _line((1, 0), (1, 1)), _line((0, 0), (1, 1))]
        case "O":
            return [_bowl(0, 0, 1, 1, 0, 360, p)]
        case "P":
            return [upright, _side(0, min(0.62, w + 0.06), 0.5, p)]
        case "Q":
            tails = (_line((0.55, 0.65), (1, 1)), _line((0.7, 0.8), (1, 1)), _line((0.5, 0.75), (0.9, 1)))
            return [_bowl(0, 0, 1, 1, 0, 360, p), tails[s.tail]]
        case "R":
            return [upright, _side(0, min(0.58, w + 0.04), 0.5, p), _line((s.leg, min(0.58, w + 0.04)), (1, 1))]
        case "S":
            return [np.vstack([_bowl(0, 0, 1, w, -s.hook, -270, p), _bowl(0, w, 1, 1, -90, 180 - s.hook, p)])]
        case "T":
            return [_line((0, 0), (1, 0)), _line((0.5, 0), (0.5, 1))]
        case "U":
            return [np.vstack([[[1, 0]], _bowl(0, 0.3, 1, 1, 0, 180, p), [[0, 0]]])]
        case "V":
            return [_line((0, 0), (0.5, 1), (1, 0))]
        case "W":
            return [_line((0, 0), (0.27, 1), (0.5, s.double_u), (0.73, 1), (1, 0))]
        case "X":
            return [_line((0, 0), (1, 1)), _line((1, 0), (0, 1))]
        case "Y":
            return [_line((0, 0), (0.5, w), (1, 0)), _line((0.5, w), (0.5, 1))]
        case "Z":
            return [_line((0, 0), (1, 0), (0, 1), (1, 1))]
        case "0":
            marks = {"/": [_line((0.75, 0.25), (0.25, 0.75))], ".": [_line((0.5, 0.47), (0.5, 0.53))], "": []}
            return [_bowl(0, 0, 1, 1, 0, 360, p), *marks[s.mark]]
        case "1":
            stem = 0.5 if s.one in (0, 2) else 0.75
            flag = [_line((stem, 0), (0.05, 0.2 + 0.1 * s.leg))] if s.one else []
            return [_line((stem, 0), (stem, 1)), *flag, *([_line((0, 1), (1, 1))] if s.one == 2 else [])]
        case "2":
            bowl = _bowl(0, 0, 1, 0.58, -180 + s.hook / 4, 35, min(p, 3))
            return [np.vstack([bowl, [[0, 1], [1, 1]]])]
        case "3":
            if s.three:
                return [np.vstack([[[0, 0], [1, 0], [0.45, 0.4]], _bowl(0, 0.4, 1, 1, -90, 180 - s.hook, p)])]
            upper = _bowl(0.02, 0, 0.97, w, -180 + s.hook, 90, p)
            return [np.vstack([upper, [[0.4, w]]]), np.vstack([[[0.4, w]], _bowl(0, w, 1, 1, -90, 180 - s.hook, p)])]
        case "4":
            if s.four == 1:
                return [_line((0.1, 0), (0, 0.66), (1, 0.66)), _line((0.75, 0.3), (0.75, 1))]
            stem = 0.75 if s.four == 0 else 1.0
            return [_line((stem, 1), (stem, 0), (0, 0.7), (1, 0.7))]
        case "5":
            return [
                np.vstack([[[0.95, 0], [0.12, 0], [0.04, 0.46]], _bowl(0, 0.37, 1, 1, -140, 180 - s.hook, min(p, 3.5))])
            ]
        case "6" | "9":
            ring = _bowl(0, six_top, 1, 1, 0, 360, p)
            if s.six == 2:  # a slanting stem
                stem = np.vstack([[[0.7, 0]], _bowl(0, six_top, 1, 1, 200, 150, p)])
            else:
                stem = np.vstack([_bowl(0, 0, 1, 1.1, -s.hook, -180, p), [[0, 0.7]]])
            return [ring, stem] if char == "6" else [1 - ring, 1 - stem]
        case "7":
            bend = [(0.45, 0.55)] if s.six == 1 else []
            return [_line((0, 0), (1, 0), *bend, (0.33, 1))]
        case _:  # 8
            return [_bowl(0.04, 0, 0.96, w, 0, 360, p), _bowl(0, w, 1, 1, 0, 360, p)]
