"""Augments clean plates with the effects of cameras and inexact crops, in the reader's input size.

A sample is a plate warped into a small crop over some background (corners off by up to ±14 %, loose or tight), at a
glyph height between 9 and 48 pixels, lit, shaded, blurred, made noisy, compressed, and stretched to the reader's input.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.recognition.character_detection import INPUT_HEIGHT, INPUT_WIDTH
from edge_agent.anpr.recognition.crops import resize_to_input
from training.reader.bank import BankedPlate, RealPlate


@dataclass(frozen=True, slots=True)
class Sample:
    """A crop as input of the reader."""

    image: np.ndarray
    """uint8 RGB ``(64, 192, 3)``"""
    boxes: np.ndarray
    """``(N, 4)`` centre x, centre y, width, height of each character in input pixels"""
    classes: np.ndarray
    region: int


class Backgrounds:
    """Patches of real street scenes (the Romanian frames, MIT), or of noise without them."""

    def __init__(self, folder: Path | None, *, held_out: bool) -> None:
        files = sorted(folder.glob("*.jpg")) if folder else []
        chosen = [path for number, path in enumerate(files) if (number % 10 == 0) == held_out]
        self._frames = [
            cv2.resize(cv2.imread(str(path)), (480, 270), interpolation=cv2.INTER_AREA) for path in chosen[:300]
        ]

    def draw(self, rng: np.random.Generator, width: int, height: int) -> np.ndarray:
        """Return a BGR patch of this size."""
        if not self._frames or rng.random() < 0.3:
            coarse = rng.uniform(0, 255, (int(rng.integers(1, 6)), int(rng.integers(1, 6)), 3)).astype(np.float32)
            patch = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
            return (patch * rng.uniform(0.2, 1) + rng.uniform(0, 50)).clip(0, 255).astype(np.uint8)
        frame = self._frames[rng.integers(len(self._frames))]
        wide = int(rng.integers(30, 240))
        high = int(rng.integers(20, 135))
        x, y = int(rng.integers(0, 480 - wide)), int(rng.integers(0, 270 - high))
        return cv2.resize(frame[y : y + high, x : x + wide], (width, height), interpolation=cv2.INTER_LINEAR)


def make_sample(
    rng: np.random.Generator, plate: BankedPlate, backgrounds: Backgrounds, *, hardness: float = 1.0
) -> Sample:
    """Return an augmented crop in the reader's input size; ``hardness``: 0 nearly clean, 1 full range."""
    crop, boxes = make_crop(rng, plate, backgrounds, hardness=hardness)
    return _sample(crop, boxes, plate)


def make_real_sample(rng: np.random.Generator, plate: RealPlate, *, hardness: float) -> Sample:
    """Return a photographed plate, re-cropped and slightly augmented; ``hardness`` 0: unchanged crop of its label."""
    crop, boxes = make_real_crop(rng, plate, hardness=hardness)
    return _sample(crop, boxes, plate)


def make_real_crop(rng: np.random.Generator, plate: RealPlate, *, hardness: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a photographed plate as a BGR crop, and the boxes of its characters in pixels of the crop."""
    picture = cv2.imdecode(np.frombuffer(plate.png, np.uint8), cv2.IMREAD_COLOR)
    (x0, y0), (width, height) = plate.box[:2], plate.box[2:] - plate.box[:2]
    boxes = plate.boxes - np.tile(plate.box[:2], 2)
    if hardness <= 0:
        left, top = max(0, round(x0)), max(0, round(y0))
        crop = picture[top : round(plate.box[3]), left : round(plate.box[2])]
        return crop, _moved(boxes, np.eye(3))
    zoom = float(rng.uniform(0.6, 1.3))
    crop_w, crop_h = max(24, round(width * zoom)), max(12, round(height * zoom))
    matrix = _placement(rng, boxes, (width, height), (crop_w, crop_h), hardness)
    from_picture = matrix @ np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]])
    crop = cv2.warpPerspective(
        picture, from_picture, (crop_w, crop_h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return _augment(rng, crop, hardness * 0.5), _moved(boxes, matrix)


def _sample(crop: np.ndarray, boxes: np.ndarray, plate: BankedPlate | RealPlate) -> Sample:
    """Stretch a crop and the boxes of its characters to the reader's input."""
    height, width = crop.shape[:2]
    image = resize_to_input(crop, INPUT_WIDTH, INPUT_HEIGHT)
    boxes = boxes * np.array([INPUT_WIDTH / width, INPUT_HEIGHT / height] * 2, np.float32)
    return Sample(image, boxes, plate.classes, plate.region)


def make_crop(
    rng: np.random.Generator, plate: BankedPlate, backgrounds: Backgrounds, *, hardness: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return an augmented BGR crop, and the boxes of its characters in pixels of the crop."""
    clean = cv2.imdecode(np.frombuffer(plate.jpeg, np.uint8), cv2.IMREAD_COLOR)
    width, height = plate.size
    glyph_px = float(np.median(plate.boxes[:, 3] - plate.boxes[:, 1]))
    low = 9.0 + 20.0 * (1 - hardness)
    target_px = float(np.exp(rng.uniform(np.log(low), np.log(48.0))))
    zoom = min(1.3, target_px / glyph_px)
    if zoom < 0.75:
        clean = cv2.resize(clean, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    crop_w, crop_h = max(24, round(width * zoom)), max(12, round(height * zoom))
    matrix = _placement(rng, plate.boxes, (width, height), (crop_w, crop_h), hardness)
    to_plate = np.diag([width / clean.shape[1], height / clean.shape[0], 1.0])
    crop = backgrounds.draw(rng, crop_w, crop_h)
    cv2.warpPerspective(
        clean, matrix @ to_plate, (crop_w, crop_h), dst=crop, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_TRANSPARENT
    )
    return _augment(rng, crop, hardness), _moved(plate.boxes, matrix)


def _placement(
    rng: np.random.Generator, characters: np.ndarray, size: tuple[int, int], crop: tuple[int, int], hardness: float
) -> np.ndarray:
    """Return the matrix from the plate to the crop: margins and an error for each corner. No character is truncated."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    source = corners * np.array(size, np.float32)
    kind = rng.random()
    margin = 0.0 if kind < 0.35 else float(rng.uniform(-0.04, 0.1)) if kind < 0.8 else float(rng.uniform(0.05, 0.22))
    spread = float(rng.choice([0.01, 0.04, 0.08, 0.14])) * (0.3 + 0.7 * hardness)
    for _ in range(4):
        inner = corners * (1 - 2 * margin) + margin
        shift = rng.uniform(-0.5, 0.5, 2) * spread
        target = inner + rng.uniform(-spread, spread, (4, 2)) * np.array([0.6, 1.0]) + shift
        if rng.random() < 0.3:
            target[:, 1] += (target[:, 0] - 0.5) * rng.uniform(-1, 1) * spread * 2
        target = (target * np.array(crop)).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        boxes = _moved(characters, matrix)
        half = boxes[:, 2:] / 2
        low, high = (boxes[:, :2] - half).min(0), (boxes[:, :2] + half).max(0)
        if (low > -0.02 * np.array(crop)).all() and (high < 1.02 * np.array(crop)).all():
            return matrix
        spread, margin = spread * 0.5, max(0.0, margin * 0.5)
    return cv2.getPerspectiveTransform(source, corners * np.array(crop, np.float32))


def _moved(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return centre x, centre y, width, height of the transformed boxes."""
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    moved = cv2.perspectiveTransform(corners.reshape(1, -1, 2).astype(np.float32), matrix).reshape(-1, 4, 2)
    width = (moved[:, 1, 0] + moved[:, 2, 0] - moved[:, 0, 0] - moved[:, 3, 0]) / 2
    height = (moved[:, 2, 1] + moved[:, 3, 1] - moved[:, 0, 1] - moved[:, 1, 1]) / 2
    return np.concatenate([moved.mean(1), np.stack([width, height], 1)], 1).astype(np.float32)


def _augment(rng: np.random.Generator, crop: np.ndarray, hardness: float) -> np.ndarray:
    light = crop.astype(np.float32)
    height, width = crop.shape[:2]
    if rng.random() < 0.35:
        light = _uneven(rng, light)
    if rng.random() < 0.6:
        contrast = float(rng.uniform(1 - 0.8 * hardness, 1.25))
        light = (light - 128) * contrast + 128 + float(rng.normal(0, 35)) * hardness
    if rng.random() < 0.3:
        light = 255 * (light.clip(0, 255) / 255) ** float(np.exp(rng.normal(0, 0.45)))
    kind = rng.random()
    if kind < 0.18:  # night, infra-red
        grey = light @ np.array([0.114, 0.587, 0.299], np.float32)
        light = np.repeat(grey[..., None], 3, 2)
    elif kind < 0.33:  # colour cast
        light *= rng.uniform(0.75, 1.2, 3).astype(np.float32)
    elif kind < 0.43:  # lit by brake lights or sodium lamps, or with infra-red light on the sensor
        light *= np.exp(rng.normal(0, 0.5, 3)).clip(0.2, 1.8).astype(np.float32)
    crop = light.clip(0, 255).astype(np.uint8)
    glyph = 0.5 * height
    blur = rng.random()
    if blur < 0.45:
        crop = cv2.GaussianBlur(crop, (0, 0), max(0.2, glyph * float(rng.uniform(0.005, 0.055)) * hardness))
    elif blur < 0.6:
        crop = _motion(rng, crop, max(2.0, glyph * float(rng.uniform(0.05, 0.28)) * hardness))
    if rng.random() < 0.1:
        sharp = crop.astype(np.float32)
        crop = (sharp + (sharp - cv2.GaussianBlur(sharp, (0, 0), 1.2)) * 1.5).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        deviation = float(rng.exponential(7)) * hardness
        grain = rng.standard_normal((height, width, 1 if rng.random() < 0.5 else 3), dtype=np.float32)
        crop = (crop + deviation * grain).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.55:
        quality = int(rng.integers(round(90 - 65 * hardness), 95))
        crop = cv2.imdecode(cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return crop


def _uneven(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """Add a shadow edge, a gradient or a patch of glare."""
    height, width = light.shape[:2]
    x, y = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    angle = float(rng.uniform(0, 2 * np.pi))
    along = x * np.cos(angle) + y * np.sin(angle) + float(rng.uniform(-0.6, 0.6))
    kind = rng.random()
    if kind < 0.45:
        soft = float(rng.uniform(8, 60))
        gain = 1 - float(rng.uniform(0.2, 0.65)) / (1 + np.exp(-soft * along).clip(0, 1e6))
        return light * gain[..., None]
    if kind < 0.75:
        return light * (1 + float(rng.uniform(-0.4, 0.4)) * along)[..., None]
    centre = rng.uniform(-1, 1, 2)
    spot = np.exp(-(((x - centre[0]) * 1.5) ** 2 + (y - centre[1]) ** 2) / float(rng.uniform(0.05, 0.6)))
    return light + spot[..., None] * float(rng.uniform(30, 140))


def _motion(rng: np.random.Generator, crop: np.ndarray, length: float) -> np.ndarray:
    size = max(3, int(np.ceil(length)) | 1)
    kernel = np.zeros((size, size), np.float32)
    angle = float(rng.normal(0, 0.5)) if rng.random() < 0.7 else float(rng.uniform(0, np.pi))
    middle = size // 2
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    start, end = (tuple(round(float(middle + sign * v)) for v in reach) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0, 1)
    return cv2.filter2D(crop, -1, kernel / max(1.0, float(kernel.sum())))
