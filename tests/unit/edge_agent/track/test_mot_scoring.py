"""The reader of detection files and the synthetic scenes of the MOT benchmark, without the scorer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_agent.track.tracker import ByteTracker
from tests.benchmarks.mot.scenes import SCENES, stage
from tests.benchmarks.mot.sequences import probability, read_sequence, write_tracks


def test_probabilities_are_returned_unchanged() -> None:
    """Scores from 0 to 1 need no mapping."""
    scores = np.array([0.0, 0.4, 1.0])
    assert probability(scores) is scores


@pytest.mark.parametrize("scores", [[-2.0, 0.0, 3.0, 40.0, 100.0], [5.0, 5.0, 5.0], [0.5, 1.5]])
def test_other_scales_are_mapped_to_probabilities_in_order(scores: list[float]) -> None:
    """The order is kept, and at least half of the detections are mapped to 0.5 or more."""
    mapped = probability(np.array(scores))
    assert ((mapped >= 0) & (mapped <= 1)).all()
    assert (np.diff(mapped) >= 0).all()
    assert (mapped >= 0.5).mean() >= 0.5


def test_detection_file_is_tracked_into_a_result_file(tmp_path: Path) -> None:
    """Frames without detections are included."""
    source = tmp_path / "Made-Up.det.txt"
    source.write_text("".join(f"{n},-1,{100 + 2 * n},50,40,100,0.9,-1,-1,-1\n" for n in (1, 2, 3, 5)), encoding="utf-8")
    sequence = read_sequence(source)
    assert (sequence.name, sequence.last_frame) == ("Made-Up", 5)
    assert [len(detections) for _, _, detections in sequence] == [1, 1, 1, 0, 1]
    result = tmp_path / "result.txt"
    write_tracks(sequence, ByteTracker(), result)
    rows = np.loadtxt(result, delimiter=",")
    assert rows[:, :2].tolist() == [[2, 1], [3, 1], [5, 1]]
    np.testing.assert_allclose(rows[0, 2:6], [104, 50, 40, 100], atol=1.0)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_scenes_are_deterministic_for_a_seed(scene) -> None:
    """The scenes contain objects, most of which are detected."""
    short = replace(scene, seconds=4.0 if scene.frames_per_second > 1 else 30.0, entries_per_s=1.0)
    first, again = stage(short, 1), stage(short, 1)
    assert first.truth == again.truth
    assert len(first.truth) > 10
    seen = sum(len(detections) for _, _, detections in first.sequence)
    assert 0.4 < seen / len(first.truth) < 1.6
