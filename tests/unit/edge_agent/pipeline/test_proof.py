"""When a changed camera counts as working: it gives a frame, or it was in the same fault before."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.config import CameraSettings
from edge_agent.pipeline.camera_worker import CameraProgress
from edge_agent.pipeline.proof import FAULT_SETTLES_S, MODEL_WAIT_S, CameraProof, Verdict

REFUSED, AWAY = "connection refused; check host and port", "no picture for 12 s"


def _camera(source: str = "usb:0", **fields: Any) -> CameraSettings:
    return CameraSettings.model_validate({"id": "gate", "source": source} | fields)


def _progress(camera: CameraSettings | None = None, **fields: Any) -> CameraProgress:
    defaults: dict[str, Any] = {
        "has_picture": False,
        "has_delivered": False,
        "has_failed": False,
        "opened_s": 0.0,
        "error": None,
    }
    return CameraProgress(camera=camera or _camera(), **(defaults | fields))


def _verdict(proof: CameraProof, progress: CameraProgress, *, after_s: float) -> Verdict | None:
    """Judge the same progress twice a second until ``after_s``."""
    verdict, now_s = None, 0.0
    while verdict is None and now_s <= after_s:
        verdict = proof.judge(progress, now_s=now_s)
        now_s += 0.5
    return verdict


def _new() -> CameraProof:
    return CameraProof(_camera(), before=None, now_s=0.0)


def test_the_first_frame_is_the_proof() -> None:
    """Also of a recording that has ended, and of a picture that is black."""
    assert _new().judge(_progress(has_delivered=True, error="the recording has ended"), now_s=0) == Verdict()


def test_a_new_camera_that_refuses_is_at_fault_after_a_few_seconds() -> None:
    """A fault that passes within that time is not one."""
    proof = _new()
    assert _verdict(proof, _progress(error=REFUSED), after_s=FAULT_SETTLES_S - 0.5) is None
    assert proof.judge(_progress(), now_s=FAULT_SETTLES_S) is None
    assert proof.judge(_progress(error=REFUSED), now_s=FAULT_SETTLES_S + 0.5) is None
    assert _verdict(_new(), _progress(error=REFUSED), after_s=FAULT_SETTLES_S) == Verdict(REFUSED)


def test_a_silent_camera_is_at_fault_after_its_timeouts() -> None:
    """Its own timeouts for opening and for the first picture, counted from when its source was opened."""
    camera = _camera(stream={"open_timeout_s": 2, "watchdog_s": 3})
    proof = CameraProof(camera, before=None, now_s=0.0)
    assert _verdict(proof, _progress(opened_s=10.0), after_s=14.5) is None
    assert proof.judge(_progress(opened_s=10.0), now_s=15.0) == Verdict("no picture within 5 s")


def test_a_model_may_take_longer_to_download() -> None:
    """The camera has not been opened yet."""
    assert _new().judge(_progress(opened_s=None), now_s=MODEL_WAIT_S - 1) is None
    late = _new().judge(_progress(opened_s=None), now_s=MODEL_WAIT_S)
    assert late is not None
    assert "model" in str(late.fault)


def test_settings_that_do_not_work_are_at_fault_at_once() -> None:
    """For example a class that the model does not have."""
    failed = _progress(has_failed=True, error="the model has no class 'lorry'")
    assert _new().judge(failed, now_s=0) == Verdict("the model has no class 'lorry'")


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        # Switched off before and after: a change of its zones, or of another camera, is not held up.
        (_progress(error=REFUSED), _progress(error=REFUSED), None),
        (_progress(error=AWAY), _progress(error=REFUSED), None),
        (_progress(error=None), _progress(error=REFUSED), None),
        # It worked before.
        (_progress(has_picture=True), _progress(error=REFUSED), REFUSED),
        # Switched off, and the new settings do not work.
        (_progress(error=REFUSED), _progress(has_failed=True, error="no such class"), "no such class"),
        (_progress(error="no such class"), _progress(has_failed=True, error="no such class"), None),
        # Another address or login: the very same fault only, whatever its numbers.
        (_progress(_camera("usb:1"), error=REFUSED), _progress(error=REFUSED), None),
        (_progress(_camera("usb:1"), error=AWAY), _progress(error="no picture for 3 s"), None),
        (_progress(_camera("usb:1"), error=AWAY), _progress(error=REFUSED), REFUSED),
        (_progress(_camera("usb:1"), error=None), _progress(error=REFUSED), REFUSED),
    ],
)
def test_the_fault_of_before_is_excused(before: CameraProgress, after: CameraProgress, fault: str | None) -> None:
    """A camera that had no picture before the change need not have one after it."""
    proof = CameraProof(_camera(), before=before, now_s=0.0)
    assert _verdict(proof, after, after_s=FAULT_SETTLES_S) == Verdict(fault)
