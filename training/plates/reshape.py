"""Deforms a typeface: moves the middle bars, changes stroke widths in one direction, rounds corners."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from training.plates.fonts import MASK_CAP_PX, Glyph

_EDGE = 14


class Face(Protocol):
    """An alphabet: of a font, of random dies, or either of them deformed."""

    def glyph(self, char: str) -> Glyph:
        """Return the mask of one character."""
        ...


class Reshaped:
    """A deformed typeface. The random parameters are the same for all of its characters."""

    def __init__(self, rng: np.random.Generator, face: Face) -> None:
        self._face = face
        self._waist = float(rng.normal(0, 0.035)) * MASK_CAP_PX
        self._slant = float(rng.normal(0, 0.04)) if rng.random() < 0.3 else 0.0
        self._waves = rng.normal(0, 0.012, (2, 4, 3)).astype(np.float32) * MASK_CAP_PX
        swell = rng.random()
        self._swell = 0 if swell < 0.4 else 1 if swell < 0.75 else -1
        self._pen = (int(rng.integers(1, 7)), int(rng.integers(1, 5)))
        self._round = float(rng.uniform(1.5, 6.0)) if rng.random() < 0.5 else 0.0
        self._glyphs: dict[str, Glyph] = {}

    def glyph(self, char: str) -> Glyph:
        """Return the mask of one character."""
        if char not in self._glyphs:
            self._glyphs[char] = self._deform(self._face.glyph(char))
        return self._glyphs[char]

    def _deform(self, glyph: Glyph) -> Glyph:
        mask = cv2.copyMakeBorder(glyph.mask, _EDGE, _EDGE, _EDGE, _EDGE, cv2.BORDER_CONSTANT, value=0)
        height, width = mask.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        waves = [cv2.resize(wave, (width, height), interpolation=cv2.INTER_CUBIC) for wave in self._waves]
        inner = np.clip((y - _EDGE) / max(height - 2 * _EDGE, 1), 0, 1)
        from_x = x + waves[0] + self._slant * (y - height / 2)
        from_y = y + waves[1] + self._waist * np.sin(np.pi * inner)
        mask = cv2.remap(mask, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR)
        kernel = np.ones((self._pen[1], self._pen[0]), np.uint8)
        if self._swell:
            swollen = cv2.dilate(mask, kernel) if self._swell > 0 else cv2.erode(mask, kernel)
            # Discarded if a thin stroke would vanish or the counters of a heavy character would close.
            if 0.5 < np.count_nonzero(swollen > 128) / max(1, np.count_nonzero(mask > 128)) < 1.3:
                mask = swollen
        if self._round:
            soft = cv2.GaussianBlur(mask, (0, 0), self._round).astype(np.float32)
            mask = np.clip((soft - 110) * 5 + 128, 0, 255).astype(np.uint8)
        rows, columns = np.flatnonzero(mask.max(1) > 30), np.flatnonzero(mask.max(0) > 30)
        if not len(rows):
            return glyph
        top, left = int(rows[0]), int(columns[0])
        cut = np.ascontiguousarray(mask[top : rows[-1] + 1, left : columns[-1] + 1])
        moved_px = left - _EDGE
        return Glyph(
            cut,
            glyph.top_px + top - _EDGE,
            glyph.left_px + moved_px,
            glyph.advance_px + cut.shape[1] - glyph.mask.shape[1],
        )
