"""Fit the plate score: the probability of a plate given the detector's score and the characters read.

Held-out frames and generated scenes with held-out fonts are searched and read. The weights of
``edge_agent/anpr/detection/plate_score.py`` are those of a logistic regression with two inputs: the log odds of the
score, and the number of characters read, each weighted by its confidence, at most five. Many plates in the frames have
no label: ``--sheet`` writes a numbered image of all detections without a label, and ``--plates 3,17`` names those that
are plates and are excluded from the fit.

Usage::

    .venv/bin/python -m training.detector.choose_plate_score --frames ../shared/anpr/train_romania --cache DIR \\
        --bank-held-out DIR/plates-val.npz [--sheet FILE.png] [--plates NUMBERS]

The weights in use were fitted with detector 3, reader 2026.11.4, line reader 2026.11.2 and
``--plates 0,2,3,4,6,8,21,22,25,26,27,28,29,30,31,33,35,36,37,41,42,45,49,50,53,65,67,74,77,92,93``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_agent.anpr.detection.plate_detector import PlateSearch, open_plate_detector
from edge_agent.anpr.detection.plate_score import MAX_CHARACTERS, MIN_PLATE_SCORE, legible_characters
from edge_agent.anpr.recognition.reader import open_reader
from edge_agent.anpr.recognition.rectify import rectify_plate
from edge_agent.anpr.types import PlateReading
from edge_agent.boxes import box_iou
from edge_agent.types import Image
from training.detector.choose_threshold import photographs
from training.detector.frames import load_frames
from training.detector.plate_bank import load_bank
from training.detector.scenes import SceneMaker

MIN_SCORE = 0.45
"""Minimum score of collected detections, below the detector's threshold, so that the fit includes uncertain ones."""
FOUND_IOU = 0.5
RIDGE = 0.05
_CELL = (200, 92)


@dataclass(frozen=True, slots=True)
class ReadDetection:
    """A detection with its reading."""

    score: float
    reading: PlateReading
    plate: bool
    crop: Image


def read_detections(pictures: list[tuple[Image, NDArray[np.float32]]]) -> list[ReadDetection]:
    """Detect and read the plates of every image; the boxes are the ground truth."""
    detector, reader = open_plate_detector(search=PlateSearch(threshold=MIN_SCORE)), open_reader()
    detections: list[ReadDetection] = []
    for image, boxes in pictures:
        for found in detector.find(image):
            box = (found.left, found.top, found.right, found.bottom)
            plate = any(box_iou(box, tuple(label.tolist())) >= FOUND_IOU for label in boxes)
            crop = rectify_plate(image, found)
            detections.append(ReadDetection(found.score, reader.read(crop), plate, crop))
    return detections


def fit(detections: list[ReadDetection]) -> NDArray[np.float64]:
    """Return the bias, the weight of the score's log odds and the weight of a character."""
    score = np.clip([each.score for each in detections], 0.001, 0.999)
    characters = [min(legible_characters(each.reading), MAX_CHARACTERS) for each in detections]
    inputs = np.stack([np.ones(len(detections)), np.log(score / (1 - score)), characters], axis=1)
    is_plate = np.array([each.plate for each in detections], float)
    weights = np.zeros(3)
    for _ in range(60):
        probabilities = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs * (probabilities * (1 - probabilities))[:, None]).T @ inputs + RIDGE * np.eye(3)
        weights += np.linalg.solve(curvature, inputs.T @ (is_plate - probabilities) - RIDGE * weights)
    probabilities = 1 / (1 + np.exp(-inputs @ weights))
    shown = score >= PlateSearch().threshold
    for least in (0.3, 0.5, MIN_PLATE_SCORE, 0.8, 0.9):
        kept = shown & (probabilities >= least)
        print(f"plate score {least:.1f} and above: {(kept & (is_plate > 0)).sum()} of {is_plate.sum():.0f} plates, "
              f"{(kept & (is_plate == 0)).sum()} others of {(shown & (is_plate == 0)).sum()}")  # fmt: skip
    return weights


def sheet(detections: list[ReadDetection]) -> Image:
    """Return an image of numbered detections."""
    width, height = _CELL
    columns = 8
    page = np.full((height * -(-len(detections) // columns), width * columns, 3), 60, np.uint8)
    for number, each in enumerate(detections):
        cell = page[number // columns * height :][:height, number % columns * width :][:, :width]
        scale = min((width - 4) / each.crop.shape[1], (height - 32) / each.crop.shape[0])
        crop = cv2.resize(each.crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        cell[: crop.shape[0], : crop.shape[1]] = crop
        text = f"{number}  {each.score:.2f}  {each.reading.text}"
        cv2.putText(cell, text, (2, height - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("frames", "cache", "bank-held-out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200, help="generated scenes")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--plates", default="", help="comma-separated numbers on the sheet that are unlabelled plates")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    held_out = load_frames(arguments.frames, validation=True, cache=arguments.cache / "frames.npy")
    maker = SceneMaker(frames=held_out, plates=load_bank(arguments.bank_held_out), rng=np.random.default_rng(1234))
    real = [
        (np.asarray(cv2.imread(str(arguments.frames / name)), np.uint8), boxes)
        for name, boxes in zip(held_out.names, held_out.boxes, strict=True)
    ]
    made = [
        (np.asarray(cv2.cvtColor(example.image, cv2.COLOR_GRAY2BGR), np.uint8), example.boxes)
        for example in photographs(maker, arguments.count)
    ]
    detections = read_detections(real + made)
    others = [each for each in detections if not each.plate]
    if arguments.sheet:
        cv2.imwrite(str(arguments.sheet), sheet(others))
    unlabelled_numbers = {int(number) for number in arguments.plates.split(",") if number}
    unlabelled = [others[number] for number in unlabelled_numbers]
    weights = fit([each for each in detections if not any(each is other for other in unlabelled)])
    print("bias, log-odds of the score, a character:", weights.round(2))


if __name__ == "__main__":
    main()
