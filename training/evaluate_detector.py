"""Evaluate the shipped plate detector on the test photographs: recall, false positives and time.

Usage::

    .venv/bin/python -m training.evaluate_detector [--shared ../shared] [--threshold 0.4] [--first-stage-only] [--list]

No model is trained and no threshold is chosen on these photographs.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_agent.anpr.detection.plate_detector import PlateSearch, open_plate_detector
from edge_agent.anpr.types import PlateDetector
from edge_agent.boxes import box_iou
from edge_agent.types import Image

SETS = ("eu", "us", "br")
FOUND_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one photograph with one labelled plate."""

    file: str
    found: bool
    best_iou: float
    false: int
    best_is_plate: bool


def evaluate(detector: PlateDetector, folder: Path) -> list[Outcome]:
    """Return one outcome per photograph."""
    outcomes = []
    with folder.with_suffix(".csv").open() as table:
        for row in csv.DictReader(table):
            image = cv2.imread(str(folder / row["file"]))
            x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
            overlaps = [box_iou(plate.xyxy, (x, y, x + width, y + height)) for plate in detector.find(image)]
            outcomes.append(
                Outcome(
                    file=row["file"],
                    found=max(overlaps, default=0.0) >= FOUND_IOU,
                    best_iou=max(overlaps, default=0.0),
                    false=sum(overlap < FOUND_IOU for overlap in overlaps),
                    best_is_plate=bool(overlaps) and overlaps[0] >= FOUND_IOU,
                )
            )
    return outcomes


def time_hd(detector: PlateDetector, pictures: list[Image]) -> tuple[float, float, float]:
    """Return the time per 1280×720 image on one thread: median ms, median and 90th percentile of processor ms.

    On a busy machine only the processor time is meaningful.
    """
    detector.find(pictures[0])
    wall, processor = [], []
    for picture in pictures * 3:
        start, used = time.perf_counter(), time.process_time()
        detector.find(picture)
        wall.append((time.perf_counter() - start) * 1e3)
        processor.append((time.process_time() - used) * 1e3)
    return float(np.median(wall)), float(np.median(processor)), float(np.percentile(processor, 90))


def line(name: str, outcomes: list[Outcome]) -> str:
    """Return a row of the table."""
    count = len(outcomes)
    found, first = sum(o.found for o in outcomes), sum(o.best_is_plate for o in outcomes)
    false = sum(o.false for o in outcomes) / count
    return f"{name:>7} {count:5d} {found / count:8.1%} {first / count:9.1%} {false:8.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--threshold", type=float, default=PlateSearch().threshold)
    parser.add_argument("--first-stage-only", action="store_true")
    parser.add_argument("--list", action="store_true", help="list photographs with a missed or a false plate")
    arguments = parser.parse_args()
    alone = arguments.first_stage_only
    search = PlateSearch(
        threshold=arguments.threshold,
        max_candidates=0 if alone else PlateSearch().max_candidates,
        search_again=not alone,
    )
    cv2.setNumThreads(1)
    detector = open_plate_detector(search=search)
    print("    set count    found first is   false per image")
    everything: list[Outcome] = []
    for name in SETS:
        outcomes = evaluate(detector, arguments.shared / "anpr" / "full_frames" / name)
        everything += outcomes
        print(line(name, outcomes), flush=True)
        for outcome in outcomes:
            if arguments.list and (not outcome.found or outcome.false):
                print(f"        {outcome.file}: best IoU {outcome.best_iou:.2f}, {outcome.false} false")
    print(line("pooled", everything))
    frames = sorted((arguments.shared / "anpr" / "train_romania").glob("*.jpg"))[::40]
    wall, processor, slow = time_hd(detector, [cv2.imread(str(path)) for path in frames])
    print(
        f"1280x720, one thread: median {wall:.1f} ms elapsed, {processor:.1f} ms of processor time "
        f"(90th percentile {slow:.1f} ms)"
    )


if __name__ == "__main__":
    main()
