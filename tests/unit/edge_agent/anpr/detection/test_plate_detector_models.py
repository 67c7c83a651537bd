"""The shipped plate detection models: their descriptions, and detections in real frames."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.anpr.detection.plate_detector import CLOSE_MODEL, WHOLE_MODEL, NetworkPlateDetector, open_plate_detector

HELD_OUT = tuple(f"valid_{number:04d}.jpg" for number in range(521, 535, 2))
"""Frames of the drives that were not trained on."""


@pytest.fixture(scope="module")
def detector() -> Iterator[NetworkPlateDetector]:
    detector = open_plate_detector()
    yield detector
    detector.close()


@pytest.mark.parametrize("path", [WHOLE_MODEL, CLOSE_MODEL])
def test_the_description_matches_its_model(path: Path) -> None:
    """Hash and name agree, and the file is small enough to ship."""
    card = json.loads(path.with_suffix(".json").read_text())
    content = path.read_bytes()
    assert card["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["name"] == path.stem
    assert len(content) <= 4 << 20


@pytest.mark.parametrize("shade", [0, 114, 255])
def test_there_is_no_plate_in_an_empty_image(detector: NetworkPlateDetector, shade: int) -> None:
    """The image is black, grey or white; the second pass is included."""
    assert detector.find(np.full((720, 1280, 3), shade, np.uint8)) == []


@pytest.mark.needs_shared
def test_plates_are_detected_in_real_frames(detector: NetworkPlateDetector, shared_material: Path) -> None:
    """Most labelled plates of held-out drives are detected, each with an IoU of at least 0.5."""
    labels: dict[str, list[list[float]]] = defaultdict(list)
    with (shared_material / "anpr" / "train_romania.csv").open() as table:
        for row in csv.DictReader(table):
            labels[row["file"]].append([float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax")])
    hits = []
    for name in HELD_OUT:
        image = cv2.imread(str(shared_material / "anpr" / "train_romania" / name))
        assert image is not None
        found = np.array([(p.left, p.top, p.right, p.bottom) for p in detector.find(image)]).reshape(-1, 4)
        for label in np.array(labels[name]):
            inner = np.minimum(found[:, 2:], label[2:]) - np.maximum(found[:, :2], label[:2])
            shared = np.prod(np.maximum(inner, 0), axis=1)
            union = np.prod(found[:, 2:] - found[:, :2], axis=1) + np.prod(label[2:] - label[:2]) - shared
            hits.append(bool(np.any(shared / union >= 0.5)))
    assert len(hits) >= len(HELD_OUT)
    assert np.mean(hits) >= 0.85
