"""Evaluate the plate reader: exact readings of real crops, with a 95 % interval, and the processor time per crop.

    .venv/bin/python -m training.evaluate_reader [--shared ../shared] [--model PATH] [--errors] [--folder CROPS]

The images are a test set: no model is trained or tuned on them.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.recognition.reader import open_reader
from edge_agent.anpr.types import PlateReader
from shared.plates import normalize_plate
from training.intervals import wilson


@dataclass(frozen=True, slots=True)
class Example:
    """A crop and its text."""

    name: str
    crop: np.ndarray
    plate: str


def us_crops(shared: Path) -> list[Example]:
    """Return the cropped US plates."""
    folder = shared / "anpr" / "us_plate_crops"
    return [Example(row["file"], _image(folder / row["file"]), row["plate"]) for row in _rows(folder)]


def placed_crops(shared: Path, country: str, *, margin: float = 0.0) -> list[Example]:
    """Return crops of the labelled boxes of photographs; ``margin``: on each side, as a fraction of the box's size."""
    folder = shared / "anpr" / "full_frames" / country
    examples = []
    for row in _rows(folder):
        image = _image(folder / row["file"])
        x, y, w, h = (float(row[key]) for key in ("x", "y", "width", "height"))
        left, top = max(0, round(x - margin * w)), max(0, round(y - margin * h))
        right, bottom = round(x + w + margin * w), round(y + h + margin * h)
        examples.append(Example(row["file"], image[top:bottom, left:right], row["plate"]))
    return examples


def generated_crops(folder: Path) -> list[Example]:
    """Return crops written by ``training.reader.make_crops``."""
    return [Example(path.name, _image(path), path.stem.partition("-")[2]) for path in sorted(folder.glob("*.png"))]


def evaluate(reader: PlateReader, examples: list[Example], *, name: str, show_errors: bool) -> None:
    """Read every crop and print how many were read exactly."""
    right, times_ms = 0, []
    for example in examples:
        begun_s = time.thread_time()
        reading = reader.read(example.crop)
        times_ms.append((time.thread_time() - begun_s) * 1000)
        expected = normalize_plate(example.plate)
        right += reading.text == expected
        if show_errors and reading.text != expected:
            print(f"  {example.name}: {expected} read as {reading.text} ({reading.confidence:.2f})")
    low, high = wilson(right, len(examples))
    print(
        f"{name:28s} {right}/{len(examples)} exact = {100 * right / len(examples):.1f} % "
        f"(95 %: {100 * low:.1f} to {100 * high:.1f}), {float(np.median(times_ms)):.1f} ms per crop"
    )


def _rows(folder: Path) -> list[dict[str, str]]:
    with folder.with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _image(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    if image is None:
        raise FileNotFoundError(path)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", type=Path, default=None)
    parser.add_argument("--folder", type=Path, default=None, help="crops of make_crops instead of the test set")
    parser.add_argument("--errors", action="store_true", help="list wrong readings")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    reader = open_reader(options.model)
    reader.read(np.zeros((40, 160, 3), np.uint8))
    if options.folder:
        evaluate(reader, generated_crops(options.folder), name=options.folder.name, show_errors=options.errors)
        return
    evaluate(reader, us_crops(options.shared), name="us_plate_crops", show_errors=options.errors)
    for country in ("eu", "us", "br"):
        examples = placed_crops(options.shared, country)
        evaluate(reader, examples, name=f"full_frames/{country}, placed", show_errors=options.errors)


if __name__ == "__main__":
    main()
