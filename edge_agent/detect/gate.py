"""When the detector looks: on motion, and now and then at what is there already."""

from __future__ import annotations

from pydantic import Field

from edge_agent.types import Frame, Motion
from shared.settings import Settings


class GateSettings(Settings):
    """How often the detector runs."""

    motion_gate: bool = Field(default=True, description="Look only while something moves, and at what stays.")
    detect_every: int = Field(default=1, ge=1, le=1000, description="Look at every n-th frame only.")
    linger_s: float = Field(default=0.5, ge=0, le=60, description="Go on looking so long after motion ended.")
    recheck_moving_s: float = Field(
        default=0.5, gt=0, le=60, description="Without motion, look so often after objects that were on the move."
    )
    recheck_still_s: float = Field(
        default=2.0, gt=0, le=60, description="Without motion, look so often after objects that stand still."
    )


class DetectionGate:
    """Decides frame by frame. Time is the source's own, so that a replay decides as the live run did."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._frames = 0
        self._last_motion_s: float | None = None
        self._last_look_s: float | None = None

    @property
    def heeds_motion(self) -> bool:
        """Whether stillness is a reason not to look."""
        return self._settings.motion_gate

    def opens(self, frame: Frame, motion: Motion, *, occupied: bool, restless: bool) -> bool:
        """Say whether to look at this frame.

        ``occupied``: somebody is believed to be there; ``restless``: and not all of them stand still. A frame whose
        picture is unsettled is left out, unless the camera pans: then those who are there are looked after.
        """
        settings = self._settings
        turn = self._frames % settings.detect_every == 0
        self._frames += 1
        if motion.active:
            self._last_motion_s = frame.time_s
        panning = motion.view_change is not None and motion.view_change.shifted
        if motion.unsettled and not panning:
            return False
        if not turn or not self._wanted(frame.time_s, occupied=occupied, restless=restless or panning):
            return False
        self._last_look_s = frame.time_s
        return True

    def _wanted(self, now_s: float, *, occupied: bool, restless: bool) -> bool:
        settings = self._settings
        if not settings.motion_gate:
            return True
        if self._last_motion_s is not None and now_s - self._last_motion_s <= settings.linger_s:
            return True
        if not occupied:
            return False
        interval_s = settings.recheck_moving_s if restless else settings.recheck_still_s
        return self._last_look_s is None or now_s - self._last_look_s >= interval_s
