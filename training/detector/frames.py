"""The real frames: 534 dash-camera images with plate boxes (MIT), as luma, split in the order of recording.

The publisher assigned the names ``train_`` and ``valid_`` at random within the same drives, so a split by name would
have neighbouring frames on both sides. Both lists are in the order of recording: the last part of each is held out.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

HELD_OUT_SHARE = 0.15
HEIGHT_PX, WIDTH_PX = 720, 1280


@dataclass(frozen=True, slots=True)
class RealFrames:
    """``luma`` is ``(N, 720, 1280)`` uint8; ``boxes[i]`` is ``(n, 4)`` xyxy pixels.

    ``doubtful[i]`` has the same form: boxes without a label that an earlier network detected (``unlabelled.py``).
    """

    names: tuple[str, ...]
    luma: NDArray[np.uint8]
    boxes: tuple[NDArray[np.float32], ...]
    doubtful: tuple[NDArray[np.float32], ...]


def held_out_names(folder: Path) -> set[str]:
    """Return the names of the frames of the validation drives."""
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    for path in folder.glob("*.jpg"):
        part, number = path.stem.split("_")
        numbers[part][path.name] = int(number)
    held_out: set[str] = set()
    for of_part in numbers.values():
        first, last = min(of_part.values()), max(of_part.values())
        held_out |= {
            name for name, number in of_part.items() if (number - first) / (last - first + 1) >= 1 - HELD_OUT_SHARE
        }
    return held_out


def load_frames(folder: Path, *, validation: bool, cache: Path, doubtful: Path | None = None) -> RealFrames:
    """Read one side of the split. The decoded luma is stored in the file ``cache`` and memory-mapped."""
    boxes: dict[str, list[list[float]]] = defaultdict(list)
    with folder.with_suffix(".csv").open() as table:
        for row in csv.DictReader(table):
            boxes[row["file"]].append([float(row[k]) for k in ("xmin", "ymin", "xmax", "ymax")])
    names = sorted(path.name for path in folder.glob("*.jpg"))
    if not cache.exists():
        cache.parent.mkdir(parents=True, exist_ok=True)
        decoded = np.empty((len(names), HEIGHT_PX, WIDTH_PX), np.uint8)
        for index, name in enumerate(names):
            decoded[index] = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
        np.save(cache, decoded)
    luma = np.load(cache, mmap_mode="r")
    held_out = held_out_names(folder)
    chosen = [i for i, name in enumerate(names) if (name in held_out) == validation]
    extra = json.loads(doubtful.read_text()) if doubtful is not None else {}
    return RealFrames(
        names=tuple(names[i] for i in chosen),
        luma=np.asarray(luma)[chosen],
        boxes=tuple(np.array(boxes[names[i]], np.float32).reshape(-1, 4) for i in chosen),
        doubtful=tuple(np.array(extra.get(names[i], []), np.float32).reshape(-1, 4) for i in chosen),
    )
