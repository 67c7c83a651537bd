"""The tracker's speed with 20 boxes a frame, against a textbook SORT in the same run.

The baseline is SORT as its paper describes it (Bewley et al., 2016), in a plain implementation: one 7-dimensional
Kalman
filter for each object, an IoU matrix, an exact assignment. Both get the same scene: 20 walking people with jitter, a
few
misses and a few false detections, so that matching is not trivial. The figure is processor time, measured in
alternation,
because the target is for one core without other load. The fastest of several rounds is used, because noise only adds
time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from edge_agent.track.assignment import assign, offers_in
from edge_agent.track.tracker import ByteTracker
from edge_agent.types import Detections
from tests.benchmarks.figures import Figure

OBJECTS = 20
FRAMES = 300
FRAMES_PER_SECOND = 25.0


def run() -> list[Figure]:
    scene = walking_people()

    def ours() -> None:
        tracker = ByteTracker()
        for number, detections in enumerate(scene):
            tracker.update(detections, time_s=number / FRAMES_PER_SECOND)

    def textbook() -> None:
        tracker = TextbookSort()
        for detections in scene:
            tracker.update(detections.xyxy.astype(np.float64))

    seconds = _processor_seconds({"ours": ours, "textbook": textbook}, rounds=9)
    return [
        Figure("updates a second, 20 boxes, one core", FRAMES / seconds["ours"], "/s", 4000, "higher"),
        Figure("times as fast as textbook SORT", seconds["textbook"] / seconds["ours"], "x", None, "higher"),
    ]


def _processor_seconds(actions: Mapping[str, Callable[[], None]], *, rounds: int) -> dict[str, float]:
    fastest = dict.fromkeys(actions, float("inf"))
    for _ in range(rounds):
        for name, action in actions.items():
            start = time.process_time()
            action()
            fastest[name] = min(fastest[name], time.process_time() - start)
    return fastest


def walking_people(objects: int = OBJECTS, frames: int = FRAMES, seed: int = 7) -> list[Detections]:
    """Return the detections of people who walk back and forth in a 1280×720 picture."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform((100, 200), (1180, 560), (objects, 2))
    velocity = rng.uniform(-4.0, 4.0, (objects, 2)) * (1.0, 0.3)
    height = rng.uniform(80, 200, objects)
    half = np.stack([height * 0.2, height * 0.5], axis=1)
    scene: list[Detections] = []
    for _ in range(frames):
        centre += velocity
        for axis, (low, high) in enumerate([(50, 1230), (150, 600)]):
            velocity[:, axis] *= np.where((centre[:, axis] < low) | (centre[:, axis] > high), -1.0, 1.0)
        seen = rng.random(objects) > 0.03
        middle = centre[seen] + rng.normal(0.0, 2.0, (int(seen.sum()), 2))
        boxes = np.concatenate([middle - half[seen], middle + half[seen]], axis=1)
        if rng.random() < 0.2:
            corner = rng.uniform((0, 0), (1200, 600))
            boxes = np.concatenate([boxes, [np.append(corner, corner + np.array([40.0, 100.0]))]])
        count = len(boxes)
        score = rng.uniform(0.4, 0.99, count).astype(np.float32)
        scene.append(Detections(boxes.astype(np.float32), score, np.zeros(count, np.int32)))
    return scene


class TextbookSort:
    """The baseline, without optimisation beyond that of the paper."""

    def __init__(self, *, max_age: int = 30, min_hits: int = 3, min_iou: float = 0.3) -> None:
        self._max_age, self._min_hits, self._min_iou = max_age, min_hits, min_iou
        self._filters: list[_BoxFilter] = []

    def update(self, boxes: np.ndarray) -> list[np.ndarray]:
        predicted = np.array([known.predict() for known in self._filters]).reshape(-1, 4)
        overlap = np.array([[_iou(box, other) for other in boxes] for box in predicted]).reshape(-1, len(boxes))
        pairs = assign(offers_in(np.maximum(overlap - self._min_iou, 0.0)))
        for row, column in pairs:
            self._filters[row].correct(boxes[column])
        self._filters += [
            _BoxFilter(boxes[column]) for column in sorted(set(range(len(boxes))) - {column for _, column in pairs})
        ]
        self._filters = [known for known in self._filters if known.missed <= self._max_age]
        return [known.box() for known in self._filters if known.missed == 0 and known.hits >= self._min_hits]


class _BoxFilter:
    """A Kalman filter of centre, area and aspect ratio, with velocities of centre and area."""

    _F: np.ndarray = np.eye(7) + np.eye(7, k=4)
    _H: np.ndarray = np.eye(4, 7)
    _Q: np.ndarray = np.diag([1.0, 1.0, 1.0, 1.0, 0.01, 0.01, 0.0001])
    _R: np.ndarray = np.diag([1.0, 1.0, 10.0, 10.0])

    def __init__(self, box: np.ndarray) -> None:
        self._x = np.concatenate([_measured(box), np.zeros(3)])
        self._p = np.diag([10.0, 10.0, 10.0, 10.0, 1e4, 1e4, 1e4])
        self.missed, self.hits = 0, 1

    def predict(self) -> np.ndarray:
        if self._x[2] + self._x[6] <= 0:
            self._x[6] = 0.0
        self._x = self._F @ self._x
        self._p = self._F @ self._p @ self._F.T + self._Q
        self.missed += 1
        return self.box()

    def correct(self, box: np.ndarray) -> None:
        gain = self._p @ self._H.T @ np.linalg.inv(self._H @ self._p @ self._H.T + self._R)
        self._x = self._x + gain @ (_measured(box) - self._H @ self._x)
        self._p = (np.eye(7) - gain @ self._H) @ self._p
        self.missed, self.hits = 0, self.hits + 1

    def box(self) -> np.ndarray:
        x, y, area, aspect = self._x[:4]
        width = np.sqrt(max(area * aspect, 1e-9))
        height = area / width
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])


def _measured(box: np.ndarray) -> np.ndarray:
    width, height = box[2] - box[0], box[3] - box[1]
    return np.array([box[0] + width / 2, box[1] + height / 2, width * height, width / height])


def _iou(box: np.ndarray, other: np.ndarray) -> float:
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    either = (box[2] - box[0]) * (box[3] - box[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    return shared / either
