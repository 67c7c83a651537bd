"""Reads MOT challenge detections and writes the tracker's tracks, through its online interface."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.track.tracker import Tracker
from edge_agent.types import Detections


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence's detections, frame by frame."""

    name: str
    frames_per_second: float
    detections: dict[int, Detections]
    """By frame number; frames without detections are absent."""
    last_frame: int

    def __iter__(self) -> Iterator[tuple[int, float, Detections]]:
        for frame in range(1, self.last_frame + 1):
            yield frame, frame / self.frames_per_second, self.detections.get(frame, Detections())


def read_sequence(path: Path, *, frames_per_second: float = 25.0) -> Sequence:
    """Read a MOT detection file (frame, -1, left, top, width, height, score, ...).

    Scores are unchanged if all scores of the file are in 0..1. Otherwise (MOT15's ACF scores are unbounded) the
    logistic
    function maps them to 0..1, centred at the file's lower quartile and scaled by its interquartile range. Without a
    calibration, the lowest quarter of the detections is then treated as low-score.
    """
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    frame = rows[:, 0].astype(int)
    corners = np.concatenate([rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]], axis=1).astype(np.float32)
    score = probability(rows[:, 6]).astype(np.float32)
    detections = {
        int(number): Detections(
            xyxy=corners[frame == number],
            score=score[frame == number],
            class_id=np.zeros(int((frame == number).sum()), np.int32),
        )
        for number in np.unique(frame)
    }
    return Sequence(path.name.split(".")[0], frames_per_second, detections, int(frame.max()))


def probability(score: np.ndarray) -> np.ndarray:
    """Map a file's scores to 0..1; scores that are already in this range do not change."""
    if score.min() >= 0.0 and score.max() <= 1.0:
        return score
    low, high = np.quantile(score, [0.25, 0.75])
    return 1.0 / (1.0 + np.exp((low - score) / max((high - low) / 2.0, 1e-9)))


def write_tracks(sequence: Sequence, tracker: Tracker, path: Path) -> None:
    """Run the tracker over the sequence and write its tracks as a MOT result file."""
    lines: list[str] = []
    for frame, time_s, detections in sequence:
        tracks = tracker.update(detections, time_s=time_s)
        for track_id, (left, top, right, bottom) in zip(tracks.track_id, tracks.xyxy.astype(float), strict=True):
            lines.append(f"{frame},{track_id},{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f},1,-1,-1,-1")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
