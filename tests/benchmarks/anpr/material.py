"""The images of the benchmark, as described in ``shared/README.md``. Any folder with the same layout can be used.

``FOLDER/anpr/us_plate_crops.csv`` lists crops with their texts; ``FOLDER/anpr/full_frames/{eu,us,br}.csv`` list
photographs with one labelled plate each. They are used for evaluation only, not for training or tuning.
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
    """A section needs a file or a program that is missing. The message names it."""


@dataclass(frozen=True, slots=True)
class LabelledPlate:
    """An image file with one labelled plate."""

    path: Path
    plate: str
    """Text in normal form."""
    xyxy: Box | None = None
    """The plate's box in pixels; None if the image is a crop of the plate."""

    def load(self) -> Image:
        image = cv2.imread(str(self.path))
        if image is None:
            raise AbsentError(f"cannot read the image {self.path}")
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
    """Return ``count`` images, evenly spaced; all if it is None or at least their number."""
    if count is None or count >= len(pictures):
        return pictures
    return [pictures[round(place)] for place in np.linspace(0, len(pictures) - 1, count)]


def _rows(folder: Path) -> list[dict[str, str]]:
    table = folder.with_suffix(".csv")
    if not table.is_file():
        raise AbsentError(f"{table} does not exist")
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _box(row: dict[str, str]) -> Box:
    x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height
