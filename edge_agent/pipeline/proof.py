"""Whether a new or changed camera works: it has delivered a frame, or it was in the same fault before the change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from edge_agent.config import CameraSettings
from edge_agent.pipeline.camera_worker import CameraProgress

FAULT_SETTLES_S: Final = 5.0
"""Seconds for which a camera must be in a fault: some refuse a connection until they have ended the previous one."""
MODEL_WAIT_S: Final = 600.0
"""Maximum seconds for which a model is downloaded and loaded."""

_NUMBER: Final = re.compile(r"\d+(\.\d+)?", re.ASCII)
_SOURCE_FIELDS: Final = ("source", "source_env", "source_file", "stream")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a camera works: ``fault`` is None, or why it does not."""

    fault: str | None = None


class CameraProof:
    """Judges one camera after a change, from its progress."""

    def __init__(
        self, camera: CameraSettings, *, before: CameraProgress | None, now_s: float, is_known_silent: bool = False
    ) -> None:
        """``before`` is the camera's progress with its previous settings; None for a new one.

        ``is_known_silent``: an earlier version was refused because this new camera did not answer, so it need not now.
        """
        self._camera = camera
        self._is_known_silent = is_known_silent
        self._before = before
        self._started_s = now_s
        self._fault_since_s: float | None = None

    def judge(self, progress: CameraProgress, *, now_s: float) -> Verdict | None:
        """Return the verdict, or None while it is open."""
        if progress.has_delivered:
            return Verdict()
        fault = self._settled_fault(progress, now_s)
        if fault is None:
            return None
        return Verdict() if self._is_excused(progress, fault) else Verdict(fault)

    def _settled_fault(self, progress: CameraProgress, now_s: float) -> str | None:
        if progress.has_failed:
            return progress.error or "does not start"
        if progress.error is None:
            self._fault_since_s = None
        elif self._fault_since_s is None:
            self._fault_since_s = now_s
        elif now_s - self._fault_since_s >= FAULT_SETTLES_S:
            return progress.error
        if progress.opened_s is None:
            late = now_s - self._started_s >= MODEL_WAIT_S
            return f"its model could not be loaded within {MODEL_WAIT_S:g} s" if late else None
        limit_s = self._camera.stream.open_timeout_s + self._camera.stream.watchdog_s
        late = now_s - progress.opened_s >= limit_s
        return progress.error or f"no picture within {limit_s:g} s" if late else None

    def _is_excused(self, progress: CameraProgress, fault: str) -> bool:
        """Return whether the camera had no picture before the change either, for the same reason.

        A camera with the same source is switched off, whatever it is called now; only a fault of its settings counts.
        One with another source or login must be in the very fault of before.
        """
        if self._is_known_silent and not progress.has_failed:
            return True
        if self._before is None or self._before.has_picture:
            return False
        if self._before.error is not None and _pattern(self._before.error) == _pattern(fault):
            return True
        return not progress.has_failed and same_source(self._before.camera, self._camera)


def same_source(one: CameraSettings, other: CameraSettings) -> bool:
    """Return whether two cameras have the same address, login and stream settings."""
    return all(getattr(one, name) == getattr(other, name) for name in _SOURCE_FIELDS)


def _pattern(fault: str) -> str:
    """Return a fault without its numbers, such as seconds that count up."""
    return _NUMBER.sub("#", fault)
