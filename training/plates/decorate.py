# ruff: noqa: PLR0917 -- drawing functions take an image, a position and a size
"""Draws the parts of a plate other than its number: emblems, strips, names, small letters."""

from __future__ import annotations

import cv2
import numpy as np

from edge_agent.anpr.recognition.character_detection import ALPHABET
from training.plates.fonts import MASK_CAP_PX, pick_typeface, small_text, symbol
from training.plates.ground import blob, jitter
from training.plates.ink import blend
from training.plates.layouts import Colour
from training.plates.reshape import Face
from training.plates.states import STACKS


def emblem(rng: np.random.Generator, image: np.ndarray, x: float, y: float, radius: float, ink: Colour) -> None:
    """Draw a decoration between groups, such as a seal, arms, a fruit, a flower, a state outline or a star."""
    if rng.random() < 0.12:
        return
    colours = [
        jitter(rng, ink),
        rng.uniform(0, 255, 3),
        rng.uniform(0, 255, 3),
        np.array([20, 120, 240.0]),
        np.array([60, 140, 40.0]),
    ]
    first, second = (tuple(float(v) for v in colours[rng.integers(len(colours))]) for _ in range(2))
    y += float(rng.normal(0, 0.15)) * radius
    mask = symbol(rng) if rng.random() < 0.45 else None
    if mask is not None:
        if rng.random() < 0.4:
            blob(rng, image, x, y, radius * 1.1, second)
        zoom = 2 * radius / max(mask.shape)
        mask = cv2.resize(mask, None, fx=max(zoom, 0.04), fy=max(zoom, 0.04), interpolation=cv2.INTER_AREA)
        blend(image, mask, np.array(first), x - mask.shape[1] / 2, y - mask.shape[0] / 2)
        if rng.random() < 0.3:
            label = small_text(rng, _letters(rng, int(rng.integers(2, 7))), radius * 0.4)
            blend(image, label, np.array(second), x - label.shape[1] / 2, y + radius * float(rng.uniform(-0.4, 0.9)))
        return
    kind = rng.integers(6)
    if kind == 0:
        cv2.circle(image, (round(x), round(y)), max(2, round(radius)), first, -1, cv2.LINE_AA)
        blob(rng, image, x, y, radius * 0.8, second)
    elif kind == 1:
        for angle in np.linspace(0, 2 * np.pi, int(rng.integers(5, 9)))[:-1]:
            centre = (round(x + 0.5 * radius * np.cos(angle)), round(y + 0.5 * radius * np.sin(angle)))
            cv2.circle(image, centre, max(1, round(radius * 0.35)), first, -1, cv2.LINE_AA)
        cv2.circle(image, (round(x), round(y)), max(1, round(radius * 0.25)), second, -1, cv2.LINE_AA)
    elif kind == 2:
        _star(image, x, y, radius, first)
    elif kind == 3:  # round inspection stickers above each other
        for part in (-0.55, 0.55):
            cv2.circle(image, (round(x), round(y + part * radius)), max(2, round(radius * 0.5)), first, -1, cv2.LINE_AA)
            blob(rng, image, x, y + part * radius, radius * 0.4, second)
    else:
        for _ in range(int(rng.integers(1, 4))):
            blob(rng, image, x, y, radius * float(rng.uniform(0.6, 1.2)), first if rng.random() < 0.7 else second)


def _star(image: np.ndarray, x: float, y: float, radius: float, colour: tuple[float, ...]) -> None:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    reach = np.where(np.arange(10) % 2 == 0, radius, radius * 0.42)
    outline = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], 1).astype(np.int32)
    cv2.fillPoly(image, [outline], colour, cv2.LINE_AA)


def blue_strip(rng: np.random.Generator, image: np.ndarray, code: str, *, at_right: bool, lines: int) -> float:
    """Draw the EU (or GB, UA) strip; return where the free area begins, or ends if the strip is on the right."""
    height, width = image.shape[:2]
    share = float(rng.uniform(0.065, 0.105)) * (1.0 if lines == 1 else 1.6)
    span = round(min(share * width, 0.45 * height))
    colour = jitter(rng, [(150, 60, 10), (190, 90, 20), (110, 40, 15), (170, 120, 90)][rng.integers(4)], 15)
    x0 = width - span if at_right else 0
    image[:, x0 : x0 + span] = colour
    middle, radius = height * float(rng.uniform(0.22, 0.38)), span * float(rng.uniform(0.22, 0.36))
    star = max(1, round(span * float(rng.uniform(0.03, 0.08))))
    yellow = jitter(rng, (60, 210, 240), 15)
    stars = 0 if at_right or rng.random() < 0.1 else 12
    for angle in np.arange(stars) * np.pi / 6:
        centre = (round(x0 + span / 2 + radius * np.cos(angle)), round(middle + radius * np.sin(angle)))
        cv2.circle(image, centre, star, tuple(float(v) for v in yellow), -1, cv2.LINE_AA)
    label = code or str(rng.integers(10, 99))
    high = height * float(rng.uniform(0.15, 0.34)) / (1 if lines == 1 else 1.6)
    if len(label) == 1 and rng.random() < 0.7:  # a single letter has a plain typeface
        mask = pick_typeface(rng, ("eu", "us", "uk")[rng.integers(3)]).glyph(label).mask
    else:
        mask = small_text(rng, label, high)
    wide = min(span * 0.88, mask.shape[1] * high / mask.shape[0] * float(rng.uniform(0.8, 1.1)))
    mask = cv2.resize(mask, (max(2, round(wide)), max(3, round(high))), interpolation=cv2.INTER_AREA)
    y = min(height * float(rng.uniform(0.55, 0.75)), height - high - 2)
    blend(image, mask, jitter(rng, (240, 240, 240), 12), x0 + (span - mask.shape[1]) / 2, y)
    return float(x0 if at_right else span)


def top_strip(rng: np.random.Generator, image: np.ndarray, kind: str, label: str, ink: Colour) -> float:
    """Draw a Mercosul strip or a line with the town's name, and return the y at which the free area begins."""
    height, width = image.shape[:2]
    deep = height * float(rng.uniform(0.2, 0.25))
    if kind == "top":
        image[: round(deep)] = jitter(rng, (150, 50, 10), 15)
        colour: Colour = (240, 240, 240)
    else:
        label = f"{_letters(rng, 2)} {_letters(rng, int(rng.integers(5, 14)))}"
        colour = ink
        deep *= 0.9
    mask = small_text(rng, label, deep * 0.6)
    blend(image, mask, colour, (width - mask.shape[1]) / 2, (deep - mask.shape[0]) / 2 + 0.02 * height)
    return deep * (1.0 if kind == "top" else 0.85)


def _letters(rng: np.random.Generator, count: int) -> str:
    return "".join(ALPHABET[10 + rng.integers(26)] for _ in range(count))


def state_name(
    rng: np.random.Generator,
    image: np.ndarray,
    name: str,
    slogans: tuple[str, ...],
    ink: Colour,
    *,
    between: tuple[float, float],
) -> None:
    """Draw the state's name and slogan above and below the characters, sometimes in reverse order."""
    height, width = image.shape[:2]
    slogan = str(rng.choice(slogans))
    above, below = (name, slogan) if rng.random() < 0.85 else (slogan, name)
    colours = [
        jitter(rng, ink),
        jitter(rng, ink),
        rng.uniform(0, 200, 3),
        np.array([40, 30, 190.0]),
        np.array([240, 240, 240.0]),
    ]
    for text, top, bottom, share in ((above, 0.0, between[0], 0.95), (below, between[1], float(height), 0.85)):
        if not text or rng.random() > share:
            continue
        room = bottom - top
        mask = small_text(rng, text, room * float(rng.uniform(0.45, 0.85)))
        if rng.random() < 0.3:
            mask = cv2.resize(mask, None, fx=float(rng.uniform(0.8, 1.5)), fy=1.0)
        widest = width * 0.8
        if mask.shape[1] > widest:
            zoom = widest / mask.shape[1]
            mask = cv2.resize(mask, None, fx=zoom, fy=max(zoom, 0.7), interpolation=cv2.INTER_AREA)
        if mask.shape[0] > room * 0.92:
            mask = cv2.resize(
                mask, None, fx=room * 0.92 / mask.shape[0], fy=room * 0.92 / mask.shape[0], interpolation=cv2.INTER_AREA
            )
        x = (width - mask.shape[1]) * float(np.clip(rng.normal(0.5, 0.12), 0.05, 0.95))
        blend(
            image,
            mask,
            colours[rng.integers(len(colours))],
            x,
            top + (room - mask.shape[0]) * float(rng.uniform(0.25, 0.75)),
        )


def side_emblem(rng: np.random.Generator, image: np.ndarray, left: float, right: float) -> tuple[float, float]:
    """Draw a picture at one end and return the range that remains for the characters."""
    height = image.shape[0]
    span = (right - left) * float(rng.uniform(0.14, 0.26))
    at_right = rng.random() < 0.3
    x = (right - span / 2) if at_right else (left + span / 2)
    for _ in range(int(rng.integers(1, 4))):
        emblem(rng, image, x, height / 2, span * 0.48, (60, 60, 60))
    return (left, right - span) if at_right else (left + span, right)


def small_stack(
    rng: np.random.Generator,
    image: np.ndarray,
    face: Face,
    ink: Colour,
    across: tuple[float, float],
    down: tuple[float, float],
) -> None:
    """Draw one to four small stacked letters that denote the kind of plate and are not part of its text."""
    word = (
        str(rng.choice(STACKS))
        if rng.random() < 0.4
        else _letters(rng, int(rng.choice([1, 2, 3, 4], p=[0.15, 0.5, 0.2, 0.15])))
    )
    room = down[1] - down[0]
    high = min(room * float(rng.uniform(0.4, 0.62)), room * 1.08 / len(word)) * float(rng.uniform(0.75, 0.95))
    step = (room - high) / max(1, len(word) - 1)
    colour = jitter(rng, ink) if rng.random() < 0.8 else rng.uniform(0, 160, 3)
    start = down[0] if len(word) > 1 else down[0] + (room - high) * float(rng.uniform(0, 1))
    for number, char in enumerate(word):
        glyph = face.glyph(char).mask
        wide = min((across[1] - across[0]) * 0.9, glyph.shape[1] * high / MASK_CAP_PX * float(rng.uniform(0.9, 1.4)))
        mask = cv2.resize(glyph, (max(2, round(wide)), max(3, round(high))), interpolation=cv2.INTER_AREA)
        blend(image, mask, colour, (across[0] + across[1] - mask.shape[1]) / 2, start + step * number)
