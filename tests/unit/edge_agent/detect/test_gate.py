"""When the detector looks."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.detect.gate import DetectionGate, GateSettings
from edge_agent.types import ViewChange
from tests.support.edge.builders import BOX, FPS, frame, motion


def _looks(
    active: list[bool], settings: GateSettings | None = None, *, occupied: bool = False, restless: bool = False
) -> list[int]:
    gate = DetectionGate(settings or GateSettings())
    return [
        number
        for number, moving in enumerate(active, 1)
        if gate.opens(frame(number), motion(BOX) if moving else motion(), occupied=occupied, restless=restless)
    ]


def test_edge_40_an_empty_still_scene_costs_no_inference() -> None:
    """Nothing moves, nobody is there: the model rests."""
    assert _looks([False] * 100) == []


def test_motion_opens_the_gate_and_it_lingers() -> None:
    """Every frame with motion, and half a second after."""
    looks = _looks([False] * 3 + [True] * 4 + [False] * 20, GateSettings(linger_s=0.55))
    assert looks == [4, 5, 6, 7, 8, 9, 10, 11, 12]


def test_what_is_there_is_looked_after() -> None:
    """Twice a second what was on the move, every two seconds what stands still."""
    assert _looks([False] * 21, occupied=True, restless=True) == [1, 6, 11, 16, 21]
    assert _looks([False] * 45, occupied=True, restless=False) == [1, 21, 41]


def test_without_the_gate_every_frame_is_looked_at() -> None:
    """--no-motion-gate."""
    assert _looks([False] * 5, GateSettings(motion_gate=False)) == [1, 2, 3, 4, 5]


def test_every_nth_frame_bounds_the_load() -> None:
    """--detect-every holds with motion and without the gate."""
    assert _looks([True] * 10, GateSettings(detect_every=4)) == [1, 5, 9]
    assert _looks([False] * 10, GateSettings(detect_every=4, motion_gate=False)) == [1, 5, 9]


def test_frame_rate_makes_no_difference_to_the_rechecks() -> None:
    """Times are seconds, not frames."""
    gate = DetectionGate(GateSettings(recheck_still_s=1.0))
    looks = [
        number
        for number in range(1, 121)
        if gate.opens(frame(number, fps=60.0), motion(), occupied=True, restless=False)
    ]
    assert looks == [1, 61]
    assert FPS == 10.0


def test_edge_15_a_frame_that_is_odd_as_a_whole_is_left_out() -> None:
    """Neither motion just before nor a disabled gate makes the model look at a corrupted picture."""
    for settings in (GateSettings(), GateSettings(motion_gate=False)):
        gate = DetectionGate(settings)
        assert gate.opens(frame(1), motion(BOX), occupied=True, restless=True)
        odd = replace(motion(), unsettled=True)
        assert not gate.opens(frame(2), odd, occupied=True, restless=True)
        assert gate.opens(frame(3), motion(BOX), occupied=True, restless=True)


def test_edge_20_while_the_camera_pans_those_who_are_there_are_looked_after() -> None:
    """Often, even if they stand still; with nobody there the model rests."""
    panning = replace(motion(), unsettled=True, view_change=ViewChange(shift_x_px=5.0))

    def looks(*, occupied: bool) -> list[int]:
        gate = DetectionGate(GateSettings())
        return [n for n in range(1, 22) if gate.opens(frame(n), panning, occupied=occupied, restless=False)]

    assert looks(occupied=True) == [1, 6, 11, 16, 21]
    assert looks(occupied=False) == []
