"""When the detector looks."""

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


def test_edge_40_an_empty_still_scene_costs_no_inference() -> None:
    """Nothing moves, nobody is there: the model rests."""
    assert _frames_detected([False] * 100) == []


def test_motion_opens_the_gate_and_it_lingers() -> None:
    """Every frame with motion, and half a second after."""
    looks = _frames_detected([False] * 3 + [True] * 4 + [False] * 20, GateSettings(linger_s=0.55))
    assert looks == [4, 5, 6, 7, 8, 9, 10, 11, 12]


def test_remaining_objects_are_rechecked() -> None:
    """Twice a second what was on the move, every two seconds what stands still."""
    assert _frames_detected([False] * 21, has_objects=True, has_moving_objects=True) == [1, 6, 11, 16, 21]
    assert _frames_detected([False] * 45, has_objects=True, has_moving_objects=False) == [1, 21, 41]


def test_without_the_gate_the_detector_runs_on_every_frame() -> None:
    """--no-motion-gate."""
    assert _frames_detected([False] * 5, GateSettings(motion_gate=False)) == [1, 2, 3, 4, 5]


def test_every_nth_frame_bounds_the_load() -> None:
    """--detect-every holds with motion and without the gate."""
    assert _frames_detected([True] * 10, GateSettings(detect_every=4)) == [1, 5, 9]
    assert _frames_detected([False] * 10, GateSettings(detect_every=4, motion_gate=False)) == [1, 5, 9]


def test_frame_rate_makes_no_difference_to_the_rechecks() -> None:
    """Times are seconds, not frames."""
    gate = DetectionGate(GateSettings(recheck_still_s=1.0))
    looks = [
        number
        for number in range(1, 121)
        if gate.should_detect(frame(number, fps=60.0), motion(), has_objects=True, has_moving_objects=False)
    ]
    assert looks == [1, 61]
    assert FPS == 10.0


def test_edge_15_a_frame_that_is_odd_as_a_whole_is_left_out() -> None:
    """Neither motion just before nor a disabled gate makes the model look at a corrupted picture."""
    for settings in (GateSettings(), GateSettings(motion_gate=False)):
        gate = DetectionGate(settings)
        assert gate.should_detect(frame(1), motion(BOX), has_objects=True, has_moving_objects=True)
        odd = replace(motion(), unsettled=True)
        assert not gate.should_detect(frame(2), odd, has_objects=True, has_moving_objects=True)
        assert gate.should_detect(frame(3), motion(BOX), has_objects=True, has_moving_objects=True)


def test_edge_20_while_the_camera_pans_tracked_objects_are_rechecked() -> None:
    """Often, even if they stand still; with nobody there the model rests."""
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
