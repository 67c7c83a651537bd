"""Run the complete search on held-out material at several thresholds, to choose the default.

The rule: the lowest threshold with at most one false plate per ten generated scenes. False plates in the real frames
are not counted, because many of them are unlabelled plates.

Usage::

    .venv/bin/python -m training.detector.choose_threshold --frames ../shared/anpr/train_romania --cache DIR \\
        --bank-held-out DIR/plates-val.npz [--models edge_agent/anpr/models]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.detection.plate_decoding import PlateDetections
from edge_agent.anpr.detection.plate_detector import MODELS, NetworkPlateDetector, PlateSearch, open_plate_detector
from training.detector.frames import load_frames
from training.detector.plate_bank import load_bank
from training.detector.scenes import LABELLED_WIDTH_PX, SceneMaker
from training.detector.validate import Example, evaluate

SIZES = ((1280, 720), (960, 640), (1600, 1200), (640, 480))
THRESHOLDS = (0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)


def detect_all(detector: NetworkPlateDetector, examples: list[Example]) -> list[PlateDetections]:
    """Return the detected plates of each example."""
    out = []
    for example in examples:
        plates = detector.find(cv2.cvtColor(example.image, cv2.COLOR_GRAY2BGR))
        corners = [plate.corners for plate in plates if plate.corners is not None]
        score = np.array([plate.score for plate in plates], np.float32)
        out.append(PlateDetections(score, np.array(corners, np.float32).reshape(-1, 4, 2)))
    return out


def photographs(maker: SceneMaker, count: int) -> list[Example]:
    """Return scenes in the sizes of photographs. Each plate is at least 3 % of the width."""
    examples: list[Example] = []
    while len(examples) < count:
        width, height = SIZES[len(examples) % len(SIZES)]
        scene = maker.draw(width, height)
        boxes = np.concatenate([scene.quads.min(1), scene.quads.max(1)], 1).reshape(-1, 4)
        if scene.exact.all() and not scene.faint.any() and not (np.ptp(boxes[:, ::2], 1) < 0.03 * width).any():
            examples.append(Example(scene.image, boxes, scene.quads, max(0.03 * width, scene.doubtful_px)))
    return examples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("frames", "cache", "bank-held-out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--count", type=int, default=160)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    held_out = load_frames(arguments.frames, validation=True, cache=arguments.cache / "frames.npy")
    plates = load_bank(arguments.bank_held_out)
    maker = SceneMaker(frames=held_out, plates=plates, rng=np.random.default_rng(99))
    real = [
        Example(luma, boxes, None, LABELLED_WIDTH_PX) for luma, boxes in zip(held_out.luma, held_out.boxes, strict=True)
    ]
    sets = {"generated": photographs(maker, arguments.count), "real": real}
    names = {
        "whole": arguments.models / "plate_detector.tflite",
        "close": arguments.models / "plate_detector_close.tflite",
    }
    min_score = THRESHOLDS[0]
    searches = {
        "first stage": PlateSearch(threshold=min_score, max_candidates=0, search_again=False),
        "search": PlateSearch(threshold=min_score),
    }
    for title, search in searches.items():
        detector = open_plate_detector(search=search, **names)
        for kind, examples in sets.items():
            outcome = evaluate(examples, detect_all(detector, examples), THRESHOLDS)
            print(title, kind, f"corner error {outcome['corner_error']}", *outcome["at"], sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
