"""Training lines: one line cut out of a plate's crop, which is augmented like the reader's crops.

The character positions by which lines are cut have small random errors, like those that the reader detects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from edge_agent.anpr.recognition.character_detection import (
    ALPHABET,
    INPUT_HEIGHT,
    INPUT_WIDTH,
    DetectedCharacter,
    split_lines,
)
from edge_agent.anpr.recognition.crops import crop_line, to_line_input
from training.reader.augment import Backgrounds, make_crop, make_real_crop
from training.reader.bank import BankedPlate, DrawnPlates, RealPlate, load_real, load_validation

RESCAN_EVERY = 4_000  # lines, after which new shards in the folder are loaded
UNPLACED = np.zeros(len(ALPHABET), np.float32)


@dataclass(frozen=True, slots=True)
class LineSample:
    """A line as input of the network."""

    image: np.ndarray
    """uint8 BGR ``(48, 192, 3)``"""
    classes: np.ndarray
    """index into ALPHABET"""


def cut_sample(rng: np.random.Generator | None, crop: np.ndarray, boxes: np.ndarray, classes: np.ndarray) -> LineSample:
    """Cut a random line out of a crop; ``boxes``: centre x, centre y, width, height of each character in its pixels.

    Without ``rng``, the longest line is cut exactly.
    """
    scale = np.array([INPUT_WIDTH / crop.shape[1], INPUT_HEIGHT / crop.shape[0]] * 2, np.float32)
    characters = [
        DetectedCharacter(ALPHABET[c], 1.0, *(float(value) for value in box), UNPLACED)
        for box, c in zip(boxes * scale, classes, strict=True)
    ]
    lines = split_lines(characters)
    if rng is None:
        line = max(lines, key=len)
        image = crop_line(crop, line)
    else:
        line = lines[rng.integers(len(lines))]
        off = [moved(rng, character) for character in line]
        image = crop_line(crop, off, margins=(float(rng.uniform(0.75, 1.6)), float(rng.uniform(0.65, 1.05))))
    return LineSample(image, np.array([ALPHABET.index(c.char) for c in line], np.int64))


def moved(rng: np.random.Generator, character: DetectedCharacter) -> DetectedCharacter:
    """Return the character with a small random error of position and size."""
    x, y = rng.normal(0, 0.06, 2)
    wide, tall = np.exp(rng.normal(0, 0.07, 2))
    return DetectedCharacter(
        character.char, 1.0, character.middle_x + float(x) * character.width,
        character.middle_y + float(y) * character.height * 0.7, character.width * float(wide),
        character.height * float(tall), character.distribution,
    )  # fmt: skip


def drawn(
    rng: np.random.Generator, plate: BankedPlate, backgrounds: Backgrounds, *, hardness: float, exactly: bool = False
) -> LineSample:
    """Return a line of a drawn plate, augmented."""
    crop, boxes = make_crop(rng, plate, backgrounds, hardness=hardness)
    return cut_sample(None if exactly else rng, crop, boxes, plate.classes)


def photographed(rng: np.random.Generator, plate: RealPlate, *, hardness: float) -> LineSample:
    """Return a line of a photographed plate, slightly augmented; ``hardness`` 0: unchanged and cut exactly."""
    crop, boxes = make_real_crop(rng, plate, hardness=hardness)
    return cut_sample(rng if hardness else None, crop, boxes, plate.classes)


class Lines(IterableDataset):
    """An endless stream of batches of newly augmented lines. Shards that are added to the bank meanwhile are loaded."""

    def __init__(self, bank: Path, frames: Path | None, batch: int, seed: int, *, real_share: float) -> None:
        self._bank, self._frames, self._batch, self._seed = bank, frames, batch, seed
        self._real_share = real_share

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng(self._seed)
        backgrounds = Backgrounds(self._frames, held_out=False)
        plates = DrawnPlates(self._bank)
        real = load_real(self._bank, held_out=False) if self._real_share else []
        made = 0
        while True:
            if made % RESCAN_EVERY < self._batch:
                plates.load_new_shards()
            made += self._batch
            samples = []
            for _ in range(self._batch):
                hardness = float(rng.uniform(0.05, 1.0))
                if real and rng.random() < self._real_share:
                    samples.append(photographed(rng, real[rng.integers(len(real))], hardness=hardness))
                else:
                    samples.append(drawn(rng, plates.any(rng), backgrounds, hardness=hardness))
            yield collate(samples)


def collate(samples: list[LineSample]) -> tuple[Tensor, Tensor, Tensor]:
    """Return images ``(B, 3, 48, 192)``, all targets concatenated (1 is the first of ALPHABET) and their lengths."""
    pictures = torch.from_numpy(np.stack([to_line_input(sample.image) for sample in samples])).permute(0, 3, 1, 2)
    return (
        pictures.contiguous(memory_format=torch.channels_last),
        torch.from_numpy(np.concatenate([sample.classes + 1 for sample in samples])),
        torch.tensor([len(sample.classes) for sample in samples]),
    )


def held_out(bank: Path, frames: Path | None, count: int) -> list[LineSample]:
    """Return lines of plates in fonts and over backgrounds that are not used in training."""
    rng = np.random.default_rng(4242)
    backgrounds = Backgrounds(frames, held_out=True)
    return [drawn(rng, plate, backgrounds, hardness=0.7, exactly=True) for plate in load_validation(bank)[:count]]
