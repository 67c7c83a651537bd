"""The images of the benchmark, as ``shared/README.md`` describes them; any other folder of the same layout will do.

``FOLDER/anpr/us_plate_crops.csv`` names crops and what is on them; ``FOLDER/anpr/full_frames/{eu,us,br}.csv`` name
photographs with one labelled plate each. Nothing is ever trained on them, and nothing is chosen by them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_agent.boxes import Box
from edge_agent.types import Image
from shared.plates import normalize_plate

COUNTRIES = ("eu", "us", "br")


class AbsentError(Exception):
    """Something that a section needs is not there; the message says what."""


@dataclass(frozen=True, slots=True)
class LabelledPlate:
    """A picture file with one plate that somebody has read."""

    path: Path
    plate: str
    """Normalised"""
    xyxy: Box | None = None
    """Where it is; None where the picture is the plate"""

    def load(self) -> Image:
        image = cv2.imread(str(self.path))
        if image is None:
            raise AbsentError(f"{self.path} cannot be read")
        return np.asarray(image, np.uint8)


def crops(shared: Path) -> list[LabelledPlate]:
    """Return the cropped US plates."""
    folder = shared / "anpr" / "us_plate_crops"
    return [LabelledPlate(folder / row["file"], normalize_plate(row["plate"])) for row in _rows(folder)]


def photographs(shared: Path, country: str) -> list[LabelledPlate]:
    """Return the photographs of one country's set."""
    folder = shared / "anpr" / "full_frames" / country
    return [LabelledPlate(folder / row["file"], normalize_plate(row["plate"]), _box(row)) for row in _rows(folder)]


def few(pictures: list[LabelledPlate], count: int | None) -> list[LabelledPlate]:
    """Return ``count`` of them, evenly spread; all where it is None or there are no more."""
    if count is None or count >= len(pictures):
        return pictures
    return [pictures[round(place)] for place in np.linspace(0, len(pictures) - 1, count)]


def _rows(folder: Path) -> list[dict[str, str]]:
    table = folder.with_suffix(".csv")
    if not table.is_file():
        raise AbsentError(f"{table} is not there")
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _box(row: dict[str, str]) -> Box:
    x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height
