"""What the frame loop counts for the metrics."""

from __future__ import annotations

import cv2
import pytest

from edge_agent.device.camera_counters import CameraCounters
from tests.support.edge.pipeline_harness import grainy, street, watch


def test_the_frame_loop_counts_frames_motion_detections_and_stages() -> None:
    """The counters of the metrics hold what happened in the frames."""
    counters = CameraCounters()
    scene = street(480, 270)
    pictures = [grainy(scene, index) for index in range(40)]
    for index in range(20, 40):
        cv2.rectangle(pictures[index], (10 * (index - 20), 150), (10 * (index - 20) + 60, 210), (250, 250, 250), -1)
    watch(pictures, counters=counters)
    assert (counters.frames, counters.frames_dropped) == (40, 0)
    assert 10 <= counters.motion_frames <= 25
    assert 0 < counters.motion_area_ratio < 0.2
    assert counters.detections >= 10
    state = counters.inference.state()
    assert sum(state.counts) >= 10
    assert state.sum == pytest.approx(counters.stage_seconds["detect"])
    assert counters.stage_seconds["motion"] > 0
