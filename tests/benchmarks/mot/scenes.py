"""Generated scenes with ground truth, on which the tracker's parameters are chosen instead of on the MOT15 sequences.

People and vehicles cross the picture at different depths and speeds, stop, and occlude one another. The simulated
detector misses occluded objects more often and scores them lower, detects half bodies now and then, has correlated
jitter, misses objects for several frames, and has false detections.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.types import Detections
from tests.benchmarks.mot.sequences import Sequence


@dataclass(frozen=True, slots=True)
class Scene:
    """Parameters of a generated scene."""

    name: str
    width_px: int = 640
    height_px: int = 480
    frames_per_second: float = 25.0
    seconds: float = 20.0
    entries_per_s: float = 0.6
    crossing_s: tuple[float, float] = (4.0, 9.0)
    object_height_px: tuple[float, float] = (110.0, 260.0)
    aspect: float = 0.4
    """Width divided by height."""
    stop_share: float = 0.2
    """Share of objects that stop for some seconds."""
    miss_rate: float = 0.08
    stretch_rate_per_s: float = 0.05
    """How often an object is missed for several frames, and for how long at most."""
    stretch_s: float = 1.5
    jitter_ratio: float = 0.03
    half_rate: float = 0.03
    """Share of detections that show only the upper half."""
    ghosts_per_frame: float = 0.1


SCENES = (
    Scene("pavement"),
    Scene("crowd", entries_per_s=1.4, miss_rate=0.12, object_height_px=(140.0, 240.0)),
    Scene("side street", entries_per_s=0.3, object_height_px=(60.0, 320.0), jitter_ratio=0.05, ghosts_per_frame=0.3),
    Scene("slow camera", frames_per_second=7.0, seconds=40.0),
    Scene("five a second", frames_per_second=5.0, seconds=60.0, entries_per_s=0.3),
    Scene("one a second", frames_per_second=1.0, seconds=240.0, entries_per_s=0.1, crossing_s=(8.0, 16.0)),
    Scene("table", frames_per_second=10.0, seconds=90.0, entries_per_s=0.06, crossing_s=(3.0, 6.0), stop_share=1.0,
          stretch_rate_per_s=0.15, stretch_s=2.5, jitter_ratio=0.06, half_rate=0.15),
    Scene("vehicles", entries_per_s=0.5, crossing_s=(1.5, 5.0), object_height_px=(40.0, 110.0), aspect=2.2,
          stop_share=0.3),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Staged:
    """The detections of a scene and its ground truth."""

    sequence: Sequence
    truth: list[tuple[int, int, float, float, float, float]]
    """Frame, object, left, top, right, bottom; objects that are hidden by more than 80 % are left out."""


def stage(scene: Scene, seed: int) -> Staged:
    """Generate a scene; the same seed gives the same scene."""
    rng = np.random.default_rng([seed, *scene.name.encode()])
    frames = int(scene.seconds * scene.frames_per_second)
    paths = _paths(scene, frames, rng)
    unseen = [_unseen(scene, frames, rng) for _ in paths]
    wobble = [np.zeros(4) for _ in paths]
    truth: list[tuple[int, int, float, float, float, float]] = []
    detections: dict[int, Detections] = {}
    for frame in range(frames):
        boxes, scores = _ghosts(scene, rng)
        present = {number: path[frame] for number, path in enumerate(paths) if np.isfinite(path[frame]).all()}
        for number, box in present.items():
            visible = _visible(box, [other for other in present.values() if other[3] > box[3]], scene)
            if visible > 0.2:
                truth.append((frame + 1, number + 1, *box.tolist()))
            wobble[number] = 0.7 * wobble[number] + 0.7 * rng.normal(0.0, scene.jitter_ratio, 4)
            missed = scene.miss_rate + (1.0 - scene.miss_rate) * max(0.0, (0.75 - visible) / 0.5)
            if unseen[number][frame] or rng.random() < missed:
                continue
            boxes.append(_observed(box, wobble[number], rng.random() < scene.half_rate, scene))
            scores.append(float(np.clip(rng.normal(0.55 + 0.35 * visible, 0.1), 0.05, 0.999)))
        if boxes:
            detections[frame + 1] = Detections(
                np.array(boxes, np.float32), np.array(scores, np.float32), np.zeros(len(boxes), np.int32)
            )
    name = f"{scene.name} {seed}"
    return Staged(Sequence(name, scene.frames_per_second, detections, frames), truth)


def _paths(scene: Scene, frames: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return each object's true box in every frame, NaN where it is outside the picture."""
    paths: list[np.ndarray] = []
    for _ in range(max(2, rng.poisson(scene.entries_per_s * scene.seconds))):
        height = rng.uniform(*scene.object_height_px)
        width = height * scene.aspect * rng.uniform(0.85, 1.15)
        # A nearer object is larger and its feet are lower in the picture.
        near = (height - scene.object_height_px[0]) / (scene.object_height_px[1] - scene.object_height_px[0] + 1e-9)
        feet = scene.height_px * (0.6 + 0.38 * near)
        speed = (scene.width_px + width) / rng.uniform(*scene.crossing_s) * rng.choice([-1.0, 1.0])
        entered = rng.uniform(-scene.crossing_s[0], scene.seconds) * scene.frames_per_second
        x = -width / 2 if speed > 0 else scene.width_px + width / 2
        stop_at = rng.uniform(0.2, 0.8) * scene.width_px if rng.random() < scene.stop_share else None
        stopped_s = rng.uniform(2.0, 20.0)
        sway, pace = rng.uniform(0, 6.28), rng.uniform(0.7, 1.2)
        path = np.full((frames, 4), np.nan)
        dt = 1.0 / scene.frames_per_second
        for frame in range(int(np.floor(entered)), frames):
            time_s = frame * dt
            factor = 1.0 + 0.25 * np.sin(sway + pace * time_s)
            if stop_at is not None and abs(x - stop_at) < abs(speed) * 0.1 and stopped_s > 0:
                stopped_s -= dt
            else:
                x += speed * factor * dt
            top = feet - height * (1.0 + 0.02 * np.sin(6.0 * time_s + sway))
            box = np.array([x - width / 2, top, x + width / 2, feet])
            inside = min(box[2], scene.width_px) - max(box[0], 0.0)
            if inside < 0.3 * width:
                if abs(x - scene.width_px / 2) > scene.width_px / 2 and (x > scene.width_px / 2) == (speed > 0):
                    break
                continue
            if frame >= 0:
                path[frame] = box
        paths.append(path)
    return paths


def _unseen(scene: Scene, frames: int, rng: np.random.Generator) -> np.ndarray:
    unseen = np.zeros(frames, bool)
    for start in rng.uniform(0, frames, rng.poisson(scene.stretch_rate_per_s * scene.seconds)).astype(int):
        unseen[start : start + int(rng.uniform(0.2, scene.stretch_s) * scene.frames_per_second)] = True
    return unseen


def _visible(box: np.ndarray, nearer: list[np.ndarray], scene: Scene) -> float:
    """Return the share of a box that is inside the picture and not behind a nearer one, on a coarse grid."""
    xs = np.linspace(box[0], box[2], 12)[:, None]
    ys = np.linspace(box[1], box[3], 12)[None, :]
    seen = (xs >= 0) & (xs <= scene.width_px) & (ys >= 0) & (ys <= scene.height_px)
    for other in nearer:
        seen &= ~((xs >= other[0]) & (xs <= other[2]) & (ys >= other[1]) & (ys <= other[3]))
    return float(seen.mean())


def _observed(box: np.ndarray, wobble: np.ndarray, half: bool, scene: Scene) -> list[float]:
    width, height = box[2] - box[0], box[3] - box[1]
    seen = box + wobble * np.array([width, height, width, height])
    if half:
        seen[3] = seen[1] + 0.55 * height
    limits = [scene.width_px, scene.height_px, scene.width_px, scene.height_px]
    return np.clip(seen, 0.0, limits).tolist()


def _ghosts(scene: Scene, rng: np.random.Generator) -> tuple[list[list[float]], list[float]]:
    boxes: list[list[float]] = []
    for _ in range(rng.poisson(scene.ghosts_per_frame)):
        height = rng.uniform(*scene.object_height_px)
        x, y = rng.uniform(0, scene.width_px), rng.uniform(0, scene.height_px - height / 2)
        boxes.append([x, y, x + height * scene.aspect, y + height])
    return boxes, rng.uniform(0.3, 0.75, len(boxes)).tolist()


def write_truth(staged: Staged, path: Path) -> None:
    """Write the truth as a MOT ground truth file."""
    lines = [
        f"{frame},{number},{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f},1,-1,-1,-1\n"
        for frame, number, left, top, right, bottom in staged.truth
    ]
    path.write_text("".join(lines), encoding="utf-8")
