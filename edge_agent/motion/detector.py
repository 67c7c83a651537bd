"""The seam between the pipeline and whatever finds motion."""

from __future__ import annotations

from typing import Protocol

from edge_agent.types import Luma, Motion


class MotionDetector(Protocol):
    """Looks at one camera's frames in order. One instance a camera; not for use by two threads at once."""

    def update(self, luma: Luma, *, time_s: float) -> Motion:
        """Return what moves in this frame; ``time_s`` is the frame's time on its source's steady clock."""
        ...

    def reset(self) -> None:
        """Forget the scene, as after a reconnect or a change of view."""
        ...
