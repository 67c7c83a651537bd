"""List detections without a label in the training frames; the next training ignores these areas.

Many plates in the frames have no label. Treating them as background would train the network to miss plates.

Usage::

    .venv/bin/python -m training.detector.unlabelled --frames ../shared/anpr/train_romania --cache DIR \\
        --models DIR --out DIR/doubtful.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.detection.plate_detector import PlateSearch, open_plate_detector
from training.detector.frames import HEIGHT_PX, WIDTH_PX, load_frames
from training.detector.validate import iou_matrix

THRESHOLD = 0.5
PARTS = ((0, 0, WIDTH_PX, HEIGHT_PX), *((x, y, 740, 420) for x in (0, WIDTH_PX - 740) for y in (0, HEIGHT_PX - 420)))
"""Searched parts of a frame: left, top, width, height."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("frames", "models", "cache", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    detector = open_plate_detector(
        search=PlateSearch(threshold=THRESHOLD, max_candidates=0, search_again=False),
        whole=arguments.models / "plate_detector.tflite",
        close=arguments.models / "plate_detector_close.tflite",
    )
    frames = load_frames(arguments.frames, validation=False, cache=arguments.cache / "frames.npy")
    boxes_by_frame: dict[str, list[list[float]]] = {}
    for name, luma, labels in zip(frames.names, frames.luma, frames.boxes, strict=True):
        image = cv2.cvtColor(luma, cv2.COLOR_GRAY2BGR)
        boxes = []
        for x, y, width, height in PARTS:
            plates = detector.find(image[y : y + height, x : x + width])
            boxes += [(plate.left + x, plate.top + y, plate.right + x, plate.bottom + y) for plate in plates]
        seen = np.array(boxes, np.float32).reshape(-1, 4)
        new = seen[(iou_matrix(seen, labels) < 0.2).all(axis=1)] if len(labels) else seen
        boxes_by_frame[name] = new.round(1).tolist()
    arguments.out.write_text(json.dumps(boxes_by_frame))
    print(f"{sum(map(len, boxes_by_frame.values()))} doubtful boxes in {len(boxes_by_frame)} frames")


if __name__ == "__main__":
    main()
