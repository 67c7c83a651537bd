"""Renders one plate in front view, clean or worn: layout, text, background, characters, bolts and stickers.

All random choices come from the given generator, so a seed always gives the same plate.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from training.plates import decorate, ground, mounting, plate_texts
from training.plates.dies import Dies, draw_style
from training.plates.fonts import MASK_CAP_PX, pick_typeface
from training.plates.ink import paint_text, separator
from training.plates.layouts import BRAZIL, EUROPE, GENERIC, UNITED_KINGDOM, Colour, Layout
from training.plates.reshape import Face, Reshaped
from training.plates.states import STATES

TIGHT_SHARE = 0.4
"""Share of plates with a fixed pitch whose characters are nevertheless spaced by their widths."""
DIES_SHARE, ANY_FONT_SHARE, RESHAPED_SHARE = 0.3, 0.25, 0.6
"""Shares of alphabets: random dies; fonts of any kind (the rest are of the layout's group); deformed ones of both."""
REGION_SHARES = (("us", 0.42), ("europe", 0.26), ("gb", 0.10), ("br", 0.12), ("other", 0.10))
TABLES = {"europe": EUROPE, "gb": UNITED_KINGDOM, "br": BRAZIL, "other": GENERIC}


@dataclass(frozen=True, slots=True)
class GlyphBox:
    """The box of one character of the plate's text, in pixels of the plate's image."""

    char: str
    x0: float
    y0: float
    x1: float
    y1: float
    line: int


@dataclass(frozen=True, slots=True)
class RenderedPlate:
    """A plate's image and its text."""

    image: np.ndarray
    text: str
    region: str
    lines: int
    glyphs: tuple[GlyphBox, ...]
    """In reading order; their characters form ``text``."""


@dataclass(slots=True)
class _Line:
    """One line of characters between ``left`` and ``right``, with capitals from ``top`` to ``top + cap``."""

    text: str
    left: float
    right: float
    top: float
    cap: float
    pitch: float
    line: int = 0


@dataclass(frozen=True, slots=True)
class _Canvas:
    """A plate's image, and the alphabet and colour of its characters."""

    rng: np.random.Generator
    image: np.ndarray
    mask: np.ndarray
    """Of the characters, uint8; painted onto the image by ``paint_text``."""
    face: Face
    ink: Colour
    us: bool = False


def render_plate(rng: np.random.Generator) -> tuple[np.ndarray, str, str, int]:
    """Return a plate as (BGR image 100–340 px high, text of 0-9A-Z, region, number of lines)."""
    plate = render_detailed(rng)
    return plate.image, plate.text, plate.region, plate.lines


def render_detailed(rng: np.random.Generator, *, region: str | None = None, fonts: str | None = None) -> RenderedPlate:
    """Return a plate with the box of every character; ``region``, ``fonts``: None for random ones."""
    names, shares = zip(*REGION_SHARES, strict=True)
    region = region or str(rng.choice(names, p=shares))
    if region == "us":
        return _render_us(rng, fonts)
    table = TABLES[region]
    weights = np.array([layout.weight for layout in table])
    return _render_layout(rng, table[int(rng.choice(len(table), p=weights / weights.sum()))], fonts)


def _render_layout(rng: np.random.Generator, layout: Layout, fonts: str | None) -> RenderedPlate:
    scale = float(rng.uniform(1.0, 1.5)) * (1.0 if layout.size_mm[1] < 150 else 0.8)
    width, height = (round(side * scale * rng.uniform(0.96, 1.04)) for side in layout.size_mm)
    paper, ink = layout.schemes[rng.integers(len(layout.schemes))]
    pattern = layout.patterns[rng.integers(len(layout.patterns))]
    image = ground.plain(rng, width, height, paper)
    face = _face(rng, fonts or layout.fonts[rng.integers(len(layout.fonts))])

    area = [0.02 * width, 0.0, 0.98 * width, float(height)]
    mounting.border(rng, image, ink, share=0.7)
    if layout.band in ("left", "both"):
        area[0] = decorate.blue_strip(rng, image, layout.band_text, at_right=False, lines=pattern.count("/") + 1)
    if layout.band == "both":
        area[2] = decorate.blue_strip(rng, image, "", at_right=True, lines=pattern.count("/") + 1)
    if layout.band in ("top", "city"):
        area[1] = decorate.top_strip(rng, image, layout.band, layout.band_text, ink)

    texts = plate_texts.draw(rng, pattern).split("/")
    cap = layout.cap_mm * scale * rng.uniform(0.94, 1.06)
    free = (area[3] - area[1]) - cap * len(texts)
    if free < 0.12 * cap * len(texts):
        cap = 0.86 * (area[3] - area[1]) / len(texts)
        free = (area[3] - area[1]) - cap * len(texts)
    gap = free / (len(texts) + 1)
    lines = []
    for number, text in enumerate(texts):
        top = area[1] + gap * (number + 1) + cap * number + rng.uniform(-0.1, 0.1) * gap
        lines.append(_Line(text, area[0], area[2], top, cap, layout.pitch_mm * scale, number))
    canvas = _Canvas(rng, image, np.zeros(image.shape[:2], np.uint8), face, ink)
    glyphs = _set_lines(canvas, lines, emboss=float(rng.uniform(0.0, 1.0)))
    mounting.bolts(rng, image, share=0.5)
    return _finish(rng, image, glyphs, layout.region, len(texts))


def _render_us(rng: np.random.Generator, fonts: str | None) -> RenderedPlate:
    state = STATES[rng.integers(len(STATES))]
    motorcycle = rng.random() < 0.06
    width = round(rng.uniform(300, 460))
    height = round(width * (rng.uniform(0.55, 0.6) if motorcycle else rng.uniform(0.475, 0.52)))
    ink = state.inks[rng.integers(len(state.inks))]
    if rng.random() < 0.15:
        ink = tuple(int(v) for v in rng.integers(10, 120, 3))
    image = ground.scenic(rng, width, height, ink)
    text = (
        plate_texts.vanity(rng)
        if rng.random() < 0.3
        else plate_texts.draw(rng, str(rng.choice(state.patterns)), without_ioq=0.85)
    )

    cap = height * rng.uniform(0.38, 0.52)
    top = (height - cap) / 2 + height * rng.uniform(-0.05, 0.06)
    decorate.state_name(rng, image, state.name, state.slogans, ink, between=(top, top + cap))
    left, right = width * rng.uniform(0.015, 0.07), width * (1 - rng.uniform(0.015, 0.07))
    face = _face(rng, fonts or str(rng.choice(["us", "us", "us", "us", "us", "us", "eu", "uk", "display"])))
    canvas = _Canvas(rng, image, np.zeros(image.shape[:2], np.uint8), face, ink, us=True)
    kind = rng.random()
    if kind < 0.14:  # an emblem at one end, characters in the rest
        left, right = decorate.side_emblem(rng, image, left, right)
    elif kind < 0.29:
        left, right = _draw_stack(canvas, across=(left, right), down=(top, top + cap))
    line = _Line(text, left, right, top, cap, 0.0)
    emboss = float(rng.choice([0.0, 0.4, 0.7, 1.0, 1.4]))
    glyphs = _set_lines(canvas, [line], emboss=emboss)
    mounting.stickers(rng, image, [(g.x0, g.y0, g.x1, g.y1) for g in glyphs])
    mounting.bolts(rng, image, share=0.8)
    mounting.border(rng, image, ink, share=0.4)
    image, offset = mounting.frame(rng, image, keep=(top, top + cap))
    moved = [
        GlyphBox(g.char, g.x0 + offset[0], g.y0 + offset[1], g.x1 + offset[0], g.y1 + offset[1], 0) for g in glyphs
    ]
    return _finish(rng, image, moved, "us", 1)


def _draw_stack(canvas: _Canvas, *, across: tuple[float, float], down: tuple[float, float]) -> tuple[float, float]:
    """Draw small stacked letters at one end and return the range that remains for the characters.

    They denote the kind of plate; by convention they are not part of the number.
    """
    rng, (left, right) = canvas.rng, across
    span = canvas.image.shape[1] * rng.uniform(0.07, 0.12)
    at_right = rng.random() < 0.35
    x0 = right - span if at_right else left
    decorate.small_stack(rng, canvas.image, canvas.face, canvas.ink, (x0, x0 + span), down)
    pad = rng.uniform(0.005, 0.02) * canvas.image.shape[1]
    return (left, x0 - pad) if at_right else (x0 + span + pad, right)


def _face(rng: np.random.Generator, group: str) -> Face:
    """Return a random alphabet: dies, any plain font or one of the group, often deformed unless held out."""
    if group == "held_out":
        return pick_typeface(rng, group)
    lot = rng.random()
    face: Face
    if lot < DIES_SHARE:
        face = Dies(draw_style(rng, heavy=rng.random() < (0.6 if group in {"uk", "display"} else 0.25)))
    else:
        face = pick_typeface(rng, "any" if lot < DIES_SHARE + ANY_FONT_SHARE else group)
    return Reshaped(rng, face) if rng.random() < RESHAPED_SHARE else face


def _set_lines(canvas: _Canvas, lines: list[_Line], *, emboss: float) -> list[GlyphBox]:
    """Set the lines, paint them together and return the characters' boxes."""
    rng = canvas.rng
    boxes: list[GlyphBox] = []
    slim = float(rng.uniform(0.85, 1.15))
    natural = rng.random() < 0.5
    for line in lines:
        boxes += _set_line(canvas, line, slim, natural=natural)
    paint_text(rng, canvas.image, canvas.mask, canvas.ink, emboss=emboss, cap_px=lines[0].cap)
    return boxes


def _set_line(canvas: _Canvas, line: _Line, slim: float, *, natural: bool) -> list[GlyphBox]:
    """Set one line; ``slim``: width factor of the glyphs, ``natural``: whether cells have the glyphs' widths."""
    rng, face, us = canvas.rng, canvas.face, canvas.us
    zoom = line.cap / MASK_CAP_PX
    space = line.cap * float(rng.uniform(0.05, 0.16))
    tight = rng.random() < TIGHT_SHARE  # with some manufacturers a narrow I is close to its neighbours
    items: list[tuple[str, float]] = []
    for char in line.text:
        if char.isalnum():
            glyph = face.glyph(char)
            ink_width = glyph.mask.shape[1] * zoom * slim
            pitch = 0.0 if natural and tight else line.pitch
            cell = pitch or (ink_width + space if natural else max(ink_width, 0.42 * line.cap) + space)
            items.append((char, cell))
        else:
            size = {" ": (0.15, 0.45), "-": (0.3, 0.5), ".": (0.16, 0.4), "*": (0.35, 0.75)}[char]
            wide = us and rng.random() < 0.2
            items.append((char, line.cap * float(rng.uniform(*size)) * (float(rng.uniform(1.2, 2.4)) if wide else 1.0)))
    total = sum(width for _, width in items)
    room = line.right - line.left
    squeeze = min(1.0, room * 0.985 / total)
    if us and total < room and rng.random() < 0.75:  # most states use the full width
        squeeze = min(room * 0.97 / total, float(rng.uniform(1.0, 1.35)))
    x = line.left + (room - total * squeeze) * (0.5 + float(rng.uniform(-0.3, 0.3)))
    boxes: list[GlyphBox] = []
    for char, wide in items:
        width = wide * squeeze
        if char.isalnum():
            boxes.append(_stamp(canvas, char, (x, width), line, slim * min(1.12, squeeze)))
        elif char in "-.":
            separator(rng, canvas.mask, char, (x, width), (line.top, line.cap))
        elif char == "*":
            radius = min(width * 0.5, line.cap * 0.65)
            decorate.emblem(rng, canvas.image, x + width / 2, line.top + line.cap / 2, radius, canvas.ink)
        x += width
    return boxes


def _stamp(canvas: _Canvas, char: str, cell: tuple[float, float], line: _Line, slim: float) -> GlyphBox:
    """Draw a character into the mask, centred in its cell (left and width), and return its box."""
    mask, (x, cell_width), zoom = canvas.mask, cell, line.cap / MASK_CAP_PX
    glyph = canvas.face.glyph(char)
    width = max(2, round(min(glyph.mask.shape[1] * zoom * slim, cell_width * 0.97)))
    height = max(3, round(glyph.mask.shape[0] * zoom))
    picture = cv2.resize(glyph.mask, (width, height), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    left, top = round(x + (cell_width - width) / 2), round(line.top + glyph.top_px * zoom)
    left, top = max(0, min(left, mask.shape[1] - width)), max(0, min(top, mask.shape[0] - height))
    part = mask[top : top + height, left : left + width]
    np.maximum(part, picture[: part.shape[0], : part.shape[1]], out=part)
    return GlyphBox(char, left, top, left + width, top + height, line.line)


def _finish(
    rng: np.random.Generator, image: np.ndarray, glyphs: list[GlyphBox], region: str, lines: int
) -> RenderedPlate:
    image = mounting.wear(rng, image)
    return RenderedPlate(image, "".join(glyph.char for glyph in glyphs), region, lines, tuple(glyphs))
