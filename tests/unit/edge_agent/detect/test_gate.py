"""The decision on which frames the detector runs."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.detect.gate import DetectionGate, GateSettings
from edge_agent.types import ViewChange
from tests.support.edge.builders import BOX, FPS, frame, motion


def _frames_detected(
    active: list[bool],
    settings: GateSettings | None = None,
    *,
    has_objects: bool = False,
    has_moving_objects: bool = False,
) -> list[int]:
    gate = DetectionGate(settings or GateSettings())
    return [
        number
        for number, moving in enumerate(active, 1)
        if gate.should_detect(
            frame(number),
            motion(BOX) if moving else motion(),
            has_objects=has_objects,
            has_moving_objects=has_moving_objects,
        )
    ]


def test_edge_40_no_inference_without_motion_and_objects() -> None:
    """An empty scene without motion needs no inference."""
    assert _frames_detected([False] * 100) == []


def test_detector_runs_during_motion_and_half_a_second_after() -> None:
    """The detector runs on every such frame."""
    looks = _frames_detected([False] * 3 + [True] * 4 + [False] * 20, GateSettings(linger_s=0.55))
    assert looks == [4, 5, 6, 7, 8, 9, 10, 11, 12]


def test_remaining_objects_are_rechecked() -> None:
    """Moving objects are re-checked twice a second, stationary ones every two seconds."""
    assert _frames_detected([False] * 21, has_objects=True, has_moving_objects=True) == [1, 6, 11, 16, 21]
    assert _frames_detected([False] * 45, has_objects=True, has_moving_objects=False) == [1, 21, 41]


def test_without_motion_gate_the_detector_runs_on_every_frame() -> None:
    """This is the option --no-motion-gate."""
    assert _frames_detected([False] * 5, GateSettings(motion_gate=False)) == [1, 2, 3, 4, 5]


def test_detect_every_limits_the_rate() -> None:
    """--detect-every applies during motion and without the gate."""
    assert _frames_detected([True] * 10, GateSettings(detect_every=4)) == [1, 5, 9]
    assert _frames_detected([False] * 10, GateSettings(detect_every=4, motion_gate=False)) == [1, 5, 9]


def test_recheck_intervals_do_not_depend_on_the_frame_rate() -> None:
    """Intervals are in seconds, not in frames."""
    gate = DetectionGate(GateSettings(recheck_still_s=1.0))
    looks = [
        number
        for number in range(1, 121)
        if gate.should_detect(frame(number, fps=60.0), motion(), has_objects=True, has_moving_objects=False)
    ]
    assert looks == [1, 61]
    assert FPS == 10.0


def test_edge_15_unsettled_frame_is_skipped() -> None:
    """A corrupted frame is skipped even after motion and without the gate."""
    for settings in (GateSettings(), GateSettings(motion_gate=False)):
        gate = DetectionGate(settings)
        assert gate.should_detect(frame(1), motion(BOX), has_objects=True, has_moving_objects=True)
        odd = replace(motion(), unsettled=True)
        assert not gate.should_detect(frame(2), odd, has_objects=True, has_moving_objects=True)
        assert gate.should_detect(frame(3), motion(BOX), has_objects=True, has_moving_objects=True)


def test_edge_20_tracked_objects_are_rechecked_during_a_pan() -> None:
    """Stationary objects are re-checked as often as moving ones; without objects there is no inference."""
    panning = replace(motion(), unsettled=True, view_change=ViewChange(shift_x_px=5.0))

    def frames_detected(*, has_objects: bool) -> list[int]:
        gate = DetectionGate(GateSettings())
        return [
            n
            for n in range(1, 22)
            if gate.should_detect(frame(n), panning, has_objects=has_objects, has_moving_objects=False)
        ]

    assert frames_detected(has_objects=True) == [1, 6, 11, 16, 21]
    assert frames_detected(has_objects=False) == []
